"""NVML's readings on a made-up library: what is there is read, what is missing is unknown."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest
from fake_nvml import FakeNvml, NVMLError

from runner.gpu import GpuWatch


@pytest.fixture
def nvml(monkeypatch):
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def test_everything_is_read(nvml):
    watch = GpuWatch("1234")
    watch.look()
    nvml.readings["nvmlDeviceGetClockInfo"] = 1500
    nvml.readings["nvmlDeviceGetCurrentClocksEventReasons"] = 0x40
    nvml.violations[1] = 7
    watch.look()
    nvml.readings["nvmlDeviceGetCurrentClocksEventReasons"] = 0x04
    watch.look()
    report = watch.report()
    watch.close()
    assert report["sm_clock_mhz"] == [1900, 1500, 1500]
    assert report["max_sm_clock_mhz"] == 1980
    assert report["event_reasons"] == 0x44  # of all looks
    assert report["violation_ns"]["thermal"] == 7
    assert report["violation_ns"]["power"] == 0
    assert (report["power_w"], report["power_limit_w"]) == (350, 700)
    assert (report["temperature_c"], report["p_state"], report["mig"]) == (41, 0, False)
    assert report["foreign_pids"] == []
    assert report["unknown"] == {}
    assert not nvml.open


def test_a_missing_reading_is_null_with_its_reason(nvml):
    for name in ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetCurrentClocksEventReasons"):
        nvml.readings[name] = NVMLError("Not Supported")
    watch = GpuWatch("1234")
    watch.look()
    report = watch.report()
    assert report["power_w"] is report["event_reasons"] is None
    assert report["unknown"] == {"power_w": "Not Supported", "event_reasons": "Not Supported"}


def test_no_driver_makes_everything_unknown(nvml):
    nvml.init_error = "Driver Not Loaded"
    watch = GpuWatch("1234")
    watch.look()
    report = watch.report()
    watch.close()
    assert report["unknown"]["nvml"] == "Driver Not Loaded"
    assert report["sm_clock_mhz"] is report["event_reasons"] is report["foreign_pids"] is None
    assert set(report["violation_ns"].values()) == {None}


def test_a_gpu_that_nvml_does_not_know_is_unknown(nvml):
    report = GpuWatch("9999").report()
    assert report["unknown"]["nvml"] == "Not Found"
    assert GpuWatch(None).report()["unknown"]["nvml"] == "torch does not tell the GPU's UUID"


def test_other_processes_are_listed_and_a_container_is_unknown(nvml):
    other, own = SimpleNamespace(pid=17), SimpleNamespace(pid=os.getpid())
    nvml.readings["nvmlDeviceGetComputeRunningProcesses"] = [own, other]
    assert GpuWatch("1234").report()["foreign_pids"] == [17]
    nvml.readings["nvmlDeviceGetComputeRunningProcesses"] = []
    report = GpuWatch("1234").report()
    assert report["foreign_pids"] is None
    assert "container" in report["unknown"]["foreign_pids"]
