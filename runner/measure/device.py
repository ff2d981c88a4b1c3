"""What the timing methods need of a device: a host clock, a barrier and, on some, events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

UNCAPTURED = (
    "a graph needs fixed shapes and no wait for the device or copy to the host, as detectors "
    "have; use timing.method=event"
)


class Event(Protocol):
    """A mark on a device's time line, as torch.cuda.Event is."""

    def record(self) -> None:
        """Put the mark behind all the work queued so far."""

    def query(self) -> bool:
        """Whether the device has passed the mark."""

    def synchronize(self) -> None:
        """Block until the device has passed the mark."""

    def elapsed_time(self, end_event: Event, /) -> float:
        """Milliseconds of device time from this mark to `end_event`."""


class Device(Protocol):
    """A device as the methods see it: TorchDevice, or a SimulatedDevice."""

    def now_ns(self) -> int:
        """The host clock, in nanoseconds."""

    def synchronize(self) -> None:
        """Block until the device has nothing left to do."""

    def event(self) -> Event:
        """A new mark that keeps the time."""

    def occupy(self, busy_ms: float) -> None:
        """Queue about `busy_ms` of work that does nothing; returns at once."""

    def other_streams(self, forward: Callable[[], object]) -> int:
        """On how many streams beside the current one a pass works, where that can be seen."""

    def capture(self, forward: Callable[[], object]) -> Callable[[], object]:
        """`forward` as a graph, to be launched as one."""

    def flush_cache(self) -> None:
        """Queue work that drives everything out of the last-level cache."""

    def selected(self) -> AbstractContextManager[object]:
        """Make this device the current one, so that events land on its stream."""
