"""The interface of a device for the timing methods: host clock, barrier, events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

UNCAPTURED = (
    "a graph needs fixed shapes and must not wait for the device or copy to the host, as "
    "detectors do; use timing.method=event"
)


class Event(Protocol):
    """A mark on a device's time line, like torch.cuda.Event."""

    def record(self) -> None:
        """Record the mark behind all work queued so far."""

    def query(self) -> bool:
        """Whether the device has passed the mark."""

    def synchronize(self) -> None:
        """Block until the device has passed the mark."""

    def elapsed_time(self, end_event: Event, /) -> float:
        """Milliseconds of device time from this mark to `end_event`."""


class Device(Protocol):
    """A device as the methods see it: TorchDevice or SimulatedDevice."""

    def now_ns(self) -> int:
        """The host clock, in nanoseconds."""

    def synchronize(self) -> None:
        """Block until the device has nothing left to do."""

    def event(self) -> Event:
        """A new mark that keeps the time."""

    def occupy(self, busy_ms: float) -> None:
        """Queue about `busy_ms` of idle work; returns at once."""

    def other_streams(self, forward: Callable[[], object]) -> int:
        """Number of streams that a pass uses beside the current one, if that can be detected."""

    def capture(self, forward: Callable[[], object]) -> Callable[[], object]:
        """`forward` as a graph that is launched as one."""

    def flush_cache(self) -> None:
        """Queue work that evicts everything from the last-level cache."""

    def selected(self) -> AbstractContextManager[object]:
        """Make this device the current one, so that events land on its stream."""
