"""A made-up pynvml: one GPU whose readings a test sets, each of which may be unsupported."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

UUID = "GPU-1234"


class NVMLError(Exception):
    """As pynvml's."""


class FakeNvml:
    """Put it into sys.modules as `pynvml`; `readings` maps function names to values."""

    NVMLError = NVMLError

    def __init__(self, **readings: Any) -> None:
        self.init_error: str | None = None
        self.violations = dict.fromkeys(range(6), 0)
        self.readings = {
            "nvmlDeviceGetClockInfo": 1900,
            "nvmlDeviceGetMaxClockInfo": 1980,
            "nvmlDeviceGetCurrentClocksEventReasons": 0,
            "nvmlDeviceGetPowerUsage": 350_000,
            "nvmlDeviceGetEnforcedPowerLimit": 700_000,
            "nvmlDeviceGetMigMode": (0, 0),
            "nvmlDeviceGetTemperature": 41,
            "nvmlDeviceGetPerformanceState": 0,
            "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=os.getpid())],
        } | readings
        self.open = False

    def nvmlInit(self) -> None:  # noqa: N802
        if self.init_error:
            raise NVMLError(self.init_error)
        self.open = True

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open = False

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid != UUID:
            raise NVMLError("Not Found")
        return uuid

    def nvmlDeviceGetViolationStatus(self, handle: str, policy: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(violationTime=self.violations[policy])

    def __getattr__(self, name: str) -> Any:
        if name not in self.readings:
            raise AttributeError(name)
        value = self.readings[name]

        def read(handle: str, *arguments: Any) -> Any:
            assert self.open
            if isinstance(value, NVMLError):
                raise value
            return value

        return read
