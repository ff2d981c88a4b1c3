"""A made-up pynvml: one GPU whose readings a test sets, each of which may be unsupported."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

UUID, INSTANCE = "GPU-1234", "MIG-5678"


class NVMLError(Exception):
    """As pynvml's."""


class NVMLLibraryMismatchError(Exception):
    """As pynvml's: an error of its own that is no NVMLError."""


class FakeNvml:
    """Put it into sys.modules as `pynvml`; `readings` maps function names to values.

    The GPU has one instance (MIG), which knows its processes and nothing else.
    """

    NVMLError = NVMLError

    def __init__(self, **readings: Any) -> None:
        self.init_error: Exception | None = None
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
            "nvmlDeviceGetGraphicsRunningProcesses": [],
        } | readings
        self.open = False

    def nvmlInit(self) -> None:  # noqa: N802
        if self.init_error:
            raise self.init_error
        self.open = True

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open = False

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.1"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid not in (UUID, INSTANCE):
            raise NVMLError("Not Found")
        return uuid

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: str) -> str:  # noqa: N802
        assert handle == INSTANCE
        return UUID

    def nvmlDeviceGetViolationStatus(self, handle: str, policy: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(violationTime=self.violations[policy])

    def __getattr__(self, name: str) -> Any:
        if name not in self.readings:
            raise AttributeError(name)
        value = self.readings[name]

        def read(handle: str, *arguments: Any) -> Any:
            assert self.open
            if isinstance(value, Exception):
                raise value
            if handle == INSTANCE and name != "nvmlDeviceGetComputeRunningProcesses":
                raise NVMLError("Not Supported")
            return value

        return read
