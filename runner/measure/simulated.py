"""A simulated asynchronous device with a scripted clock: exact, and proof against any load.

The host enqueues a kernel (`enqueue_ms`) and goes on; the device works the kernels
off one by one. `synchronize` moves the host's clock to the end of the queue.
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager, nullcontext


class SimulatedDevice:
    """A device whose kernels take exactly `kernel_ms`, `cold_ms` more for the first one.

    At most `queue_length` kernels are in flight: a launch into a full queue blocks
    the host until the oldest one is done, as CUDA's does.
    """

    def __init__(
        self, *, enqueue_ms: float, kernel_ms: float, cold_ms: float = 0.0, queue_length: int = 1024
    ) -> None:
        self.host_ms = 0.0
        self._enqueue_ms = enqueue_ms
        self._kernel_ms = kernel_ms
        self._cold_ms = cold_ms
        self._queue_length = queue_length
        self._ends_ms: deque[float] = deque()
        self.idle_at_ms = 0.0

    def forward(self) -> None:
        """Launch one kernel."""
        while self._ends_ms and self._ends_ms[0] <= self.host_ms:
            self._ends_ms.popleft()
        if len(self._ends_ms) >= self._queue_length:
            self.host_ms = self._ends_ms.popleft()
        self.host_ms += self._enqueue_ms
        work_ms, self._cold_ms = self._kernel_ms + self._cold_ms, 0.0
        self.idle_at_ms = max(self.host_ms, self.idle_at_ms) + work_ms
        self._ends_ms.append(self.idle_at_ms)

    def now_ns(self) -> int:
        """The scripted host clock."""
        return round(self.host_ms * 1e6)

    def synchronize(self) -> None:
        """Wait for the queue to drain."""
        self.host_ms = max(self.host_ms, self.idle_at_ms)

    def event(self) -> SimulatedEvent:
        """A mark on this device's time line."""
        return SimulatedEvent(self)

    def selected(self) -> AbstractContextManager[object]:
        """Nothing to select: there is one simulated device."""
        return nullcontext()


class SimulatedEvent:
    """Completes when the work queued before it has."""

    def __init__(self, device: SimulatedDevice) -> None:
        self._device = device
        self.at_ms = float("nan")

    def record(self) -> None:
        """Mark the end of the work queued so far."""
        self.at_ms = max(self._device.host_ms, self._device.idle_at_ms)

    def synchronize(self) -> None:
        """Wait until the mark is passed."""
        self._device.host_ms = max(self._device.host_ms, self.at_ms)

    def elapsed_time(self, end_event: SimulatedEvent, /) -> float:
        """Milliseconds to `end_event`. Raises RuntimeError if that was not waited for."""
        if end_event.at_ms > self._device.host_ms:
            raise RuntimeError("the end event has not completed: synchronize it first")
        return end_event.at_ms - self.at_ms
