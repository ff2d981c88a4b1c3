"""NVML's readings on a made-up library: what is there is read, what is missing is unknown."""

from __future__ import annotations

import os
import sys
import time
from types import SimpleNamespace

import pytest
from fakes.nvml import FakeNvml, NVMLError, NVMLLibraryMismatchError

from runner.host.gpu import GpuWatch, identity, near_cpus


@pytest.fixture
def nvml(monkeypatch):
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def reported(uuid="1234"):
    watch = GpuWatch(uuid)
    watch.look()
    watch.look_under_load()
    watch.look()
    report = watch.report()
    watch.close()
    return report


def test_everything_is_read_and_idle_looks_stay_apart_from_those_under_load(nvml):
    nvml.readings["nvmlDeviceGetClockInfo"] = 345
    watch = GpuWatch("1234")
    watch.look()
    nvml.violations[1] = 7
    nvml.readings["nvmlDeviceGetCurrentClocksEventReasons"] = 0x01
    watch.look()
    nvml.violations[1] = 100  # after the timed part
    nvml.readings["nvmlDeviceGetClockInfo"] = 1900
    nvml.readings["nvmlDeviceGetCurrentClocksEventReasons"] = 0x40
    watch.look_under_load()
    nvml.readings["nvmlDeviceGetPowerUsage"] = 60_000
    nvml.readings["nvmlDeviceGetCurrentClocksEventReasons"] = 0x04
    watch.look_under_load()
    report = watch.report()
    watch.close()
    assert report["uuid"] == "GPU-1234"
    assert report["sm_clock_mhz"] == [1900, 1900]
    assert report["sm_clock_mhz_between"] == [345, 345]
    assert report["max_sm_clock_mhz"] == 1980
    assert report["event_reasons"] == 0x44  # of all looks under load
    assert report["event_reasons_between"] == 0x01
    assert report["violation_ns"]["thermal"] == 7
    assert report["violation_ns"]["power"] == 0
    assert report["watched_ns"] > 0
    assert (report["power_w"], report["power_limit_w"]) == (350, 700)  # the most, under load
    assert (report["temperature_c"], report["p_state"], report["mig"]) == (41, 0, False)
    assert report["foreign_pids"] == []
    assert report["unknown"] == {}
    assert not nvml.open


def test_a_thread_looks_while_the_gpu_works(nvml):
    watch = GpuWatch("1234")
    with watch.looking():
        until = time.monotonic() + 60
        while not watch.report()["sm_clock_mhz"] and time.monotonic() < until:
            time.sleep(0.01)
    assert watch.report()["sm_clock_mhz"]


@pytest.mark.parametrize(
    "error",
    [NVMLError("Not Supported"), NVMLLibraryMismatchError("Not Supported")],
    ids=lambda error: type(error).__name__,
)
def test_a_missing_reading_is_null_with_its_reason(nvml, error):
    for name in ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetCurrentClocksEventReasons"):
        nvml.readings[name] = error
    report = reported()
    assert report["power_w"] is report["event_reasons"] is None
    assert report["unknown"] == {"power_w": "Not Supported", "event_reasons": "Not Supported"}


def test_what_was_not_looked_at_under_load_is_unknown_and_not_clean(nvml):
    watch = GpuWatch("1234")
    watch.look()
    report = watch.report()
    assert report["sm_clock_mhz"] is report["event_reasons"] is report["power_w"] is None
    assert set(report["unknown"].values()) == {"not read under load"}


@pytest.mark.parametrize("error", [NVMLError, NVMLLibraryMismatchError])
def test_no_driver_makes_everything_unknown(nvml, error):
    nvml.init_error = error("Driver Not Loaded")
    report = reported()
    assert report["unknown"]["nvml"] == "Driver Not Loaded"
    assert report["sm_clock_mhz"] is report["event_reasons"] is report["foreign_pids"] is None
    assert set(report["violation_ns"].values()) == {None}
    assert identity("1234") == {
        "gpu_uuid": None,
        "gpu_driver": None,
        "gpu_uuid_reason": "NVML: Driver Not Loaded",
        "gpu_driver_reason": "NVML: Driver Not Loaded",
    }


def test_a_gpu_that_nvml_does_not_know_is_unknown_and_nvml_is_given_back(nvml):
    assert reported("9999")["unknown"]["nvml"] == "Not Found"
    assert not nvml.open
    assert reported(None)["unknown"]["nvml"] == "torch does not report the GPU's UUID"
    assert identity("9999")["gpu_uuid"] is None
    assert identity("1234") == {"gpu_uuid": "GPU-1234", "gpu_driver": "580.1"}


def test_other_processes_are_listed_and_a_container_is_unknown(nvml):
    other, own = SimpleNamespace(pid=17), SimpleNamespace(pid=os.getpid())
    nvml.readings["nvmlDeviceGetComputeRunningProcesses"] = [own, other]
    assert reported()["foreign_pids"] == [17]
    nvml.readings["nvmlDeviceGetGraphicsRunningProcesses"] = [SimpleNamespace(pid=9)]
    assert reported()["foreign_pids"] == [9, 17]  # a desktop takes of the GPU, too
    nvml.readings["nvmlDeviceGetGraphicsRunningProcesses"] = NVMLError("Not Supported")
    assert reported()["foreign_pids"] == [17]
    nvml.readings["nvmlDeviceGetComputeRunningProcesses"] = []
    report = reported()
    assert report["foreign_pids"] is None
    assert "container" in report["unknown"]["foreign_pids"]


def test_an_instance_of_a_gpu_has_its_own_processes_and_the_clocks_of_the_whole(nvml):
    report = reported("5678")
    assert report["uuid"] == identity("5678")["gpu_uuid"] == "MIG-5678"
    assert report["mig"] is True
    assert report["foreign_pids"] == []
    assert report["sm_clock_mhz"] == [1900]
    assert report["unknown"] == {}


def test_an_instance_that_torch_does_not_name_has_unknown_neighbours(nvml):
    nvml.readings["nvmlDeviceGetMigMode"] = (1, 1)
    report = reported()
    assert report["mig"] is True
    assert report["foreign_pids"] is None
    assert "MIG" in report["unknown"]["foreign_pids"]


def test_the_cpus_beside_a_gpu_are_those_of_nvmls_mask(nvml, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 96)
    nvml.readings["nvmlDeviceGetCpuAffinity"] = [0b1011, 1 << 3]
    assert near_cpus("1234") == {0, 1, 3, 67}
    nvml.readings["nvmlDeviceGetCpuAffinity"] = NVMLError("Not Supported")
    assert near_cpus("1234") is near_cpus("9999") is near_cpus(None) is None
