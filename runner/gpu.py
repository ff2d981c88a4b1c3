"""What NVIDIA's management library says of a GPU while a trial runs on it.

A reading that is missing is null, with the reason in `unknown`, and never taken for clean.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

# policies of nvmlDeviceGetViolationStatus, from nvml.h
VIOLATIONS = {"power": 0, "thermal": 1, "sync_boost": 2, "board_limit": 3, "reliability": 5}


class GpuWatch:
    """Reads clocks and their limits at each `look`, to be called between timed intervals.

    `uuid` as torch gives it, without a prefix. NVML may be missing altogether: then
    everything is unknown, with that reason.
    """

    def __init__(self, uuid: str | None) -> None:
        self._unknown: dict[str, str] = {}
        self._clocks_mhz: list[int] = []
        self._reasons = 0
        self._before: dict[str, Any] = {}
        self._handle: Any = None
        self._nvml: Any = None
        try:
            import pynvml
        except ImportError as error:
            self._unknown["nvml"] = str(error)
            return
        self._nvml = pynvml
        self._read("nvml", pynvml.nvmlInit)
        if self._unknown:
            return
        self._handle = self._found(uuid)
        self._before = self._counters()

    def _found(self, uuid: str | None) -> Any:
        if uuid is None:
            self._unknown["nvml"] = "torch does not tell the GPU's UUID"
            return None
        for prefix in ("GPU-", "MIG-"):
            handle = self._read("nvml", self._nvml.nvmlDeviceGetHandleByUUID, f"{prefix}{uuid}")
            if handle is not None:
                self._unknown.pop("nvml", None)
                return handle
        return None

    def _read(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except (self._nvml.NVMLError, AttributeError) as error:
            self._unknown[name] = str(error)
            return None

    def _of_device(self, name: str, function: str, *arguments: Any) -> Any:
        """One reading of the device; None, with the reason kept, when it can't be had."""
        if self._handle is None:
            self._unknown.setdefault(name, self._unknown.get("nvml", "no device"))
            return None
        return self._read(name, lambda: getattr(self._nvml, function)(self._handle, *arguments))

    def look(self) -> None:
        """Read the SM clock and what limits it; two calls, about a millisecond."""
        clock = self._of_device("sm_clock_mhz", "nvmlDeviceGetClockInfo", 1)
        if clock is not None:
            self._clocks_mhz.append(int(clock))
        reasons = self._of_device("event_reasons", "nvmlDeviceGetCurrentClocksEventReasons")
        self._reasons |= int(reasons or 0)

    def _counters(self) -> dict[str, Any]:
        """Nanoseconds for which each limit has held since the driver was loaded."""
        found = {}
        for name, policy in VIOLATIONS.items():
            status = self._of_device(f"{name}_violation", "nvmlDeviceGetViolationStatus", policy)
            found[name] = None if status is None else int(status.violationTime)
        return found

    def report(self) -> dict[str, Any]:
        """Clocks, limits, temperature, power and other processes over all looks."""
        after = self._counters()
        violations = {
            name: None
            if after[name] is None or self._before.get(name) is None
            else after[name] - self._before[name]
            for name in VIOLATIONS
        }
        power_mw = self._of_device("power_w", "nvmlDeviceGetPowerUsage")
        limit_mw = self._of_device("power_limit_w", "nvmlDeviceGetEnforcedPowerLimit")
        mig = self._of_device("mig", "nvmlDeviceGetMigMode")
        return {
            "sm_clock_mhz": list(self._clocks_mhz) or None,
            "max_sm_clock_mhz": self._of_device("max_sm_clock_mhz", "nvmlDeviceGetMaxClockInfo", 1),
            "event_reasons": None if "event_reasons" in self._unknown else self._reasons,
            "violation_ns": violations,
            "temperature_c": self._of_device("temperature_c", "nvmlDeviceGetTemperature", 0),
            "power_w": None if power_mw is None else power_mw / 1000,
            "power_limit_w": None if limit_mw is None else limit_mw / 1000,
            "p_state": self._of_device("p_state", "nvmlDeviceGetPerformanceState"),
            "mig": None if mig is None else bool(mig[0]),
            "foreign_pids": self._foreign_pids(),
            "unknown": dict(self._unknown),
        }

    def _foreign_pids(self) -> list[int] | None:
        """Other compute processes on the GPU; None (unknown) when our own is not seen either."""
        processes = self._of_device("foreign_pids", "nvmlDeviceGetComputeRunningProcesses")
        if processes is None:
            return None
        pids = {int(process.pid) for process in processes}
        if os.getpid() not in pids:
            self._unknown["foreign_pids"] = (
                "this process is not in NVML's list, so others may be missing too, "
                "as in a container"
            )
            return None
        return sorted(pids - {os.getpid()})

    def close(self) -> None:
        """Give NVML back."""
        if self._handle is not None:
            self._read("nvml", self._nvml.nvmlShutdown)
