"""What the timing methods need of a device: a host clock, a barrier and, on some, events."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch


class Event(Protocol):
    """A mark on a device's time line, as torch.cuda.Event is."""

    def record(self) -> None:
        """Put the mark behind all the work queued so far."""

    def synchronize(self) -> None:
        """Block until the device has passed the mark."""

    def elapsed_time(self, end_event: Event, /) -> float:
        """Milliseconds of device time from this mark to `end_event`."""


class Device(Protocol):
    """A device as the methods see it; TorchDevice is the real one."""

    def now_ns(self) -> int:
        """The host clock, in nanoseconds."""

    def synchronize(self) -> None:
        """Block until the device has nothing left to do."""

    def event(self) -> Event:
        """A new mark that keeps the time."""

    def selected(self) -> AbstractContextManager[object]:
        """Make this device the current one, so that events land on its stream."""


class TorchDevice:
    """A device of torch: cpu, cuda, xpu or mps."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._module = None if device.type == "cpu" else torch.get_device_module(device)
        self.now_ns = time.perf_counter_ns

    def synchronize(self) -> None:
        """Block until all streams are done; the CPU is never behind."""
        if self._module is not None:
            self._module.synchronize()

    def event(self) -> Event:
        """A timing event of the current stream. Raises TypeError on a CPU, which has none."""
        if self._module is None:
            raise TypeError("a cpu has no events; time it with the host clock (timing.method=wall)")
        event: Event = self._module.Event(enable_timing=True)
        return event

    def selected(self) -> AbstractContextManager[object]:
        """The context in which this device is torch's current one."""
        if self._device.type in ("cuda", "xpu"):
            context: AbstractContextManager[object] = self._module.device(self._device)  # type: ignore[union-attr]
            return context
        return nullcontext()
