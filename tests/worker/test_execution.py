"""What a worker does around the timing, with a made-up CUDA where a real one is needed."""

from __future__ import annotations

import sys
import time

import torch
from fakes.nvml import FakeNvml
from fakes.program import until

from runner.host.gpu import GpuWatch
from runner.measure.torch_device import TorchDevice
from runner.worker import execution, observe

CUDA = torch.device("cuda", 0)


def test_the_clocks_are_read_under_the_load_that_was_timed_for_long_enough(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    watch, calls = GpuWatch("1234"), []

    def work() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.002)

    began = time.perf_counter()
    observe.keep_loaded(watch, work, TorchDevice(torch.device("cpu")))
    assert time.perf_counter() - began >= 0.5
    assert calls[-1] - calls[0] >= 0.4
    assert len(watch.report()["sm_clock_mhz"]) >= 3
    assert watch.report()["sm_clock_mhz_between"] is None


def test_a_chunk_of_the_load_is_as_long_as_passes_really_take(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    clock = TorchDevice(torch.device("cpu"))
    passes, waited = [], []

    def synchronize() -> None:  # what no sample saw: each pass keeps the device for 50 ms
        waited.append(len(passes) - sum(waited))
        time.sleep(0.05 * waited[-1])

    monkeypatch.setattr(clock, "synchronize", synchronize)
    observe.keep_loaded(GpuWatch("1234"), lambda: passes.append(1), clock)
    assert set(waited) == {1}


def test_a_load_that_fails_ends_its_looks(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    watch, findings = GpuWatch("1234"), execution.OptionalReads()

    calls = []

    def fails() -> None:
        calls.append(1)
        if len(calls) == 1:
            return  # the pass by which the load is planned
        until(lambda: watch.report()["sm_clock_mhz"])
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    clock = TorchDevice(torch.device("cpu"))
    findings.get("load", lambda: observe.keep_loaded(watch, fails, clock))
    assert "illegal memory access" in findings.why_null["load"]
    looks = len(watch.report()["sm_clock_mhz"])
    time.sleep(0.2)
    assert len(watch.report()["sm_clock_mhz"]) == looks > 0
