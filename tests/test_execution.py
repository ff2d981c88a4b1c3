"""What a worker does around the timing, with a made-up CUDA where a real one is needed."""

from __future__ import annotations

import contextlib
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from conftest import make_trial
from fake_nvml import FakeNvml

from runner import execution
from runner.gpu import GpuWatch
from runner.measure.device import MeasureError
from runner.measure.torch_device import TorchDevice
from runner.models import Workload, build, effective_settings

CUDA = torch.device("cuda", 0)


@pytest.fixture
def newer_switches():
    """What makes reading allow_tf32 raise."""
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    matmul.fp32_precision, conv.fp32_precision = "tf32", "ieee"
    yield
    matmul.fp32_precision, conv.fp32_precision = "ieee", "tf32"  # torch's defaults


def test_settings_are_read_after_a_network_has_used_the_newer_switches(newer_switches):
    workload = Workload(torch.nn.Conv2d(3, 4, 1).eval(), (torch.zeros(1, 3, 8, 8),))
    findings = execution.Findings()
    settings = effective_settings(workload, CUDA, (8, 8))
    found = {name: findings.get(name, read) for name, read in settings.items()}
    assert (found["tf32_matmul"], found["tf32_cudnn"]) == (True, False)
    assert found["dtype"] == "float32"
    if not torch.cuda.is_available():  # one reading that fails costs only itself
        assert found["device_name"] is None
        assert list(findings.why_null) == ["device_name"]


def test_the_clocks_are_read_under_the_load_that_was_timed_for_long_enough(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    watch, calls = GpuWatch("1234"), []

    def work() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.002)

    began = time.perf_counter()
    execution._load(watch, work, TorchDevice(torch.device("cpu")), pass_ms=2.0)
    assert time.perf_counter() - began >= 0.5
    assert calls[-1] - calls[0] >= 0.4
    assert len(watch.report()["sm_clock_mhz"]) >= 3
    assert watch.report()["sm_clock_mhz_between"] is None


def test_a_load_that_fails_ends_its_looks(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    watch, findings = GpuWatch("1234"), execution.Findings()

    def fails() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    clock = TorchDevice(torch.device("cpu"))
    findings.get("load", lambda: execution._load(watch, fails, clock, 1.0))
    assert "illegal memory access" in findings.why_null["load"]
    looks = len(watch.report()["sm_clock_mhz"] or [])
    time.sleep(0.2)
    assert len(watch.report()["sm_clock_mhz"] or []) == looks


@pytest.mark.parametrize("kind", ["cuda", "xpu"])
def test_the_peak_of_a_devices_own_memory_is_without_what_measuring_takes(monkeypatch, kind):
    module = SimpleNamespace(max_memory_allocated=lambda device: 300 * 2**20)
    monkeypatch.setattr(torch, "get_device_module", lambda device: module)
    assert execution._peak_mib(torch.device(kind), own_bytes=100 * 2**20) == 200


def test_where_torch_counts_no_peak_it_is_unknown():
    with pytest.raises(MeasureError, match="no peak of the memory of mps"):
        execution._peak_mib(torch.device("mps"), 0)


def test_what_measuring_takes_is_known():
    clock = TorchDevice(torch.device("cpu"))
    assert clock.own_bytes == 0
    clock.flush_cache()
    assert clock.own_bytes > 2**10
    workload = build(make_trial(model={"name": "squeezenet1_1"}), torch.device("cpu"))
    image_bytes = 3 * 64 * 64 * 4
    assert workload.own_bytes == 0
    assert workload.rotated(10 * image_bytes).own_bytes == 11 * image_bytes  # besides the first


class FakeCapture:
    """torch.cuda's part in a capture; `ends` is raised when the capture ends."""

    def __init__(self, monkeypatch, ends: Exception | None = None) -> None:
        stream = SimpleNamespace(wait_stream=lambda other: None)

        @contextlib.contextmanager
        def graph(_graph):
            try:
                yield
            finally:
                if ends is not None:
                    raise ends

        for name, value in {
            "Stream": lambda: stream,
            "current_stream": lambda: stream,
            "stream": lambda stream: contextlib.nullcontext(),
            "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None),
            "graph": graph,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)


def after(passes: int, error: Exception):
    """A forward pass that raises once so many have succeeded."""
    left = [None] * passes

    def forward() -> None:
        if not left:
            raise error
        left.pop()

    return forward


@pytest.mark.parametrize("ends", [None, RuntimeError("capture failed due to a previous error")])
def test_out_of_memory_in_a_capture_is_out_of_memory(monkeypatch, ends):
    FakeCapture(monkeypatch, ends)
    with pytest.raises(torch.OutOfMemoryError, match="99 GiB"):
        TorchDevice(CUDA).capture(after(3, torch.OutOfMemoryError("tried to allocate 99 GiB")))


@pytest.mark.parametrize("ends", [None, RuntimeError("capture failed due to a previous error")])
def test_a_network_that_can_not_be_captured_is_advised_to_use_events(monkeypatch, ends):
    FakeCapture(monkeypatch, ends)
    reason = r"\(operation not permitted\).*copy to the host.*use timing\.method=event"
    with pytest.raises(MeasureError, match=reason):
        TorchDevice(CUDA).capture(after(3, RuntimeError("operation not permitted\nwhen capturing")))


def test_a_spin_needs_no_device_of_another_kind():
    with pytest.raises(MeasureError, match="kept busy"):
        TorchDevice(torch.device("mps")).occupy(1.0)
