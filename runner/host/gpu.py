"""State of an NVIDIA GPU while a trial runs on it, read through NVML.

A missing reading is null, with the reason in `unknown`, and never counts as clean.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# policies of nvmlDeviceGetViolationStatus, from nvml.h
VIOLATIONS = {"power": 0, "thermal": 1, "sync_boost": 2, "board_limit": 3, "reliability": 5}
SM_CLOCK, GPU_TEMPERATURE = 1, 0  # NVML_CLOCK_SM, NVML_TEMPERATURE_GPU
MASK_BITS = 64  # CPUs in a word of nvmlDeviceGetCpuAffinity: an unsigned long
LOOK_EVERY_S = 0.05  # under load
NOT_SEEN = "this process is not in NVML's list, so others may be missing too, as in a container"


class Nvml:
    """An open NVML session; a call that fails returns None and leaves its reason in `unknown`."""

    def __init__(self) -> None:
        self.unknown: dict[str, str] = {}
        self._library: Any = None
        try:
            import pynvml
        except ImportError as error:
            self.unknown["nvml"] = str(error)
            return
        self._library = pynvml
        self.call("nvml", "nvmlInit")
        if "nvml" in self.unknown:
            self._library = None

    def call(self, name: str, function: str, *arguments: Any) -> Any:
        """The result of an NVML function; its error is kept under `name`."""
        if self._library is None:
            self.unknown.setdefault(name, self.unknown["nvml"])
            return None
        try:
            return getattr(self._library, function)(*arguments)
        except Exception as error:  # the binding raises other errors besides NVML's own
            self.unknown[name] = str(error) or type(error).__name__
            return None

    def device(self, uuid: str | None) -> tuple[str, Any] | None:
        """The handle of a GPU or an instance of one, by torch's UUID, which lacks the prefix."""
        if uuid is None:
            self.unknown["nvml"] = "torch does not report the GPU's UUID"
            return None
        for prefix in ("GPU-", "MIG-"):
            handle = self.call("nvml", "nvmlDeviceGetHandleByUUID", prefix + uuid)
            if handle is not None:
                self.unknown.pop("nvml", None)
                return prefix + uuid, handle
        return None

    def close(self) -> None:
        """Close NVML."""
        if self._library is not None:
            self.call("nvml", "nvmlShutdown")
            self._library = None


def identity(uuid: str | None) -> dict[str, str | None]:
    """UUID with its prefix, and driver version, each null with a reason if unknown."""
    nvml = Nvml()
    try:
        found = nvml.device(uuid)
        facts = {
            "gpu_uuid": found[0] if found else None,
            "gpu_driver": nvml.call("gpu_driver", "nvmlSystemGetDriverVersion"),
        }
    finally:
        nvml.close()
    reasons = {
        f"{name}_reason": f"NVML: {nvml.unknown.get(name, nvml.unknown.get('nvml'))}"
        for name, value in facts.items()
        if value is None
    }
    return facts | reasons


def near_cpus(uuid: str | None) -> set[int] | None:
    """The CPUs on a GPU's own NUMA node; None if unknown."""
    nvml = Nvml()
    try:
        found = nvml.device(uuid)
        words = math.ceil((os.cpu_count() or 1) / MASK_BITS)
        masks = found and nvml.call("cpus", "nvmlDeviceGetCpuAffinity", found[1], words)
    finally:
        nvml.close()
    if masks is None:
        return None
    bits = range(len(masks) * MASK_BITS)
    return {bit for bit in bits if int(masks[bit // MASK_BITS]) >> bit % MASK_BITS & 1} or None


def torch_uuid(properties: Any) -> str | None:
    """The UUID of a CUDA device as torch reports it, without NVML's prefix."""
    uuid = getattr(properties, "uuid", None)
    return None if uuid is None else str(uuid)


class GpuWatch:
    """Reads clocks and their limits, between timed intervals and under load.

    `uuid` as torch reports it, without a prefix. NVML may be missing altogether: then
    everything is unknown, with that reason. On an instance of a GPU (MIG) clocks, limits and
    power are those of the whole GPU, processes those of the instance.
    """

    def __init__(self, uuid: str | None) -> None:
        self._nvml = Nvml()
        found = self._nvml.device(uuid)
        self._uuid: str | None = found[0] if found else None
        self._handle: Any = found[1] if found else None
        self._instance: Any = None
        if self._uuid is not None and self._uuid.startswith("MIG-"):
            self._instance = self._handle
            self._handle = self._nvml.call(
                "nvml", "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", self._instance
            )
        self._clocks_mhz: dict[bool, list[int]] = {False: [], True: []}  # by whether under load
        self._reasons = {False: 0, True: 0}
        self._power_mw: list[int] = []
        self._loads = 0
        self._first: tuple[int, dict[str, Any]] | None = None
        self._last: tuple[int, dict[str, Any]] | None = None

    def _of_device(self, name: str, function: str, *arguments: Any) -> Any:
        """One reading of the device; None if unavailable, with the reason kept."""
        if self._handle is None:
            unknown = self._nvml.unknown
            unknown.setdefault(name, unknown.get("nvml", "no device"))
            return None
        return self._nvml.call(name, function, self._handle, *arguments)

    def look(self) -> None:
        """Read clock, limits and their counters between two blocks; about a millisecond."""
        self._read_clock(under_load=False)
        self._last = time.perf_counter_ns(), self._counters()
        self._first = self._first or self._last

    def look_under_load(self) -> None:
        """Read clock, limits and power while the GPU works."""
        self._loads += 1
        self._read_clock(under_load=True)
        power = self._of_device("power_w", "nvmlDeviceGetPowerUsage")
        if power is not None:
            self._power_mw.append(int(power))

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Read repeatedly under load, in a thread, while the block runs."""
        done = threading.Event()

        def look() -> None:
            while not done.wait(LOOK_EVERY_S):
                self.look_under_load()

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(timeout=5)

    def _read_clock(self, *, under_load: bool) -> None:
        clock = self._of_device("sm_clock_mhz", "nvmlDeviceGetClockInfo", SM_CLOCK)
        if clock is not None:
            self._clocks_mhz[under_load].append(int(clock))
        reasons = self._of_device("event_reasons", "nvmlDeviceGetCurrentClocksEventReasons")
        self._reasons[under_load] |= int(reasons or 0)

    def _counters(self) -> dict[str, Any]:
        """Nanoseconds for which each limit has held since the driver was loaded."""
        found = {}
        for name, policy in VIOLATIONS.items():
            status = self._of_device(f"{name}_violation", "nvmlDeviceGetViolationStatus", policy)
            found[name] = None if status is None else int(status.violationTime)
        return found

    def report(self) -> dict[str, Any]:
        """Clocks, limits, temperature, power and other processes over all readings.

        `sm_clock_mhz`, `event_reasons` and `power_w` under load; `..._between` at rest between
        blocks; `violation_ns` of the `watched_ns` from the first to the last of those.
        """
        unknown = self._nvml.unknown
        began, before = self._first or (0, {})
        ended, after = self._last or (0, {})
        violations = {
            name: None
            if after.get(name) is None or before.get(name) is None
            else after[name] - before[name]
            for name in VIOLATIONS
        }
        known = "event_reasons" not in unknown
        if not self._loads:
            loaded = ("sm_clock_mhz", "event_reasons", "power_w")
            unknown |= {name: "not read under load" for name in loaded if name not in unknown}
        limit_mw = self._of_device("power_limit_w", "nvmlDeviceGetEnforcedPowerLimit")
        return {
            "uuid": self._uuid,
            "sm_clock_mhz": self._clocks_mhz[True] or None,
            "sm_clock_mhz_between": self._clocks_mhz[False] or None,
            "max_sm_clock_mhz": self._of_device(
                "max_sm_clock_mhz", "nvmlDeviceGetMaxClockInfo", SM_CLOCK
            ),
            "event_reasons": self._reasons[True] if known and self._loads else None,
            "event_reasons_between": self._reasons[False] if known else None,
            "violation_ns": violations,
            "watched_ns": ended - began,
            "temperature_c": self._of_device(
                "temperature_c", "nvmlDeviceGetTemperature", GPU_TEMPERATURE
            ),
            "power_w": max(self._power_mw) / 1000 if self._power_mw else None,
            "power_limit_w": None if limit_mw is None else limit_mw / 1000,
            "p_state": self._of_device("p_state", "nvmlDeviceGetPerformanceState"),
            "mig": self._mig(),
            "foreign_pids": self._foreign_pids(),
            "unknown": dict(unknown),
        }

    def _mig(self) -> bool | None:
        """Whether this is an instance of a GPU, or a GPU divided into instances (MIG)."""
        if self._instance is not None:
            return True
        mode = self._of_device("mig", "nvmlDeviceGetMigMode")
        return None if mode is None else bool(mode[0])

    def _foreign_pids(self) -> list[int] | None:
        """Other processes on the GPU, graphics included; unknown if our own is not listed."""
        function = "nvmlDeviceGetComputeRunningProcesses"
        if self._instance is not None:
            processes = self._nvml.call("foreign_pids", function, self._instance)
        else:
            processes = self._of_device("foreign_pids", function)
        if processes is None:
            return None
        graphics = None
        if self._instance is None:  # such as a desktop on the same GPU
            function = "nvmlDeviceGetGraphicsRunningProcesses"
            graphics = self._of_device("graphics_pids", function)
        pids = {int(process.pid) for process in (*processes, *(graphics or ()))}
        if os.getpid() not in pids:
            self._nvml.unknown["foreign_pids"] = NOT_SEEN
            return None
        if self._instance is None and self._mig():
            self._nvml.unknown["foreign_pids"] = (
                "the GPU is divided into instances (MIG), and torch does not report which one is "
                "used"
            )
            return None
        return sorted(pids - {os.getpid()})

    def close(self) -> None:
        """Close NVML."""
        self._nvml.close()
