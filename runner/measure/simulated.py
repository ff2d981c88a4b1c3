"""A simulated asynchronous device with a scripted clock: exact, and proof against any load.

The host launches kernels and goes on; the device works them off one by one. It is what
the timing methods are proven on, and what `sweep=demo` runs on, where the true time is known.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from runner.measure.device import UNCAPTURED, MeasureError

COUNTS = ("launches", "queue_length", "slow_passes", "sync_every")


class SimulatedDevice:
    """A device on which one forward pass is `launches` kernels of `kernel_ms` in all.

    The host needs `enqueue_ms` to launch them, and `cold_ms` more in the first pass, when
    kernels are loaded and algorithms chosen. At most `queue_length` kernels are in flight:
    a launch into a full queue blocks the host until the oldest one is done, as CUDA's does.
    The kernels of the first `slow_passes` passes take `slow_factor` times as long; each pass
    takes `drift` (a share of kernel_ms) longer than the one before; once the device has worked
    for `throttle_after_ms` it is `throttle_factor` times slower; after a flush of the cache
    a pass takes `cache_miss_ms` more. A replayed graph costs the host `graph_enqueue_ms`, and
    `graph_cold_ms` more the first time. After every `sync_every` launches (0: never) the host
    waits for the device, as a detector does that reads a result; such a pass can't be captured.
    `side_ms` of each pass's work runs on a second stream, which no event sees. A spin lasts
    `spin_share` of what was asked for, as it does when the clock has moved since its calibration.
    `left_over_ms` of someone else's work are in the queue at the start.
    Raises ValueError for what no device could have, as a cost below zero.
    """

    def __init__(
        self,
        *,
        enqueue_ms: float,
        kernel_ms: float,
        launches: int = 1,
        queue_length: int = 1024,
        cold_ms: float = 0.0,
        slow_passes: int = 0,
        slow_factor: float = 1.0,
        drift: float = 0.0,
        throttle_after_ms: float | None = None,
        throttle_factor: float = 1.0,
        cache_miss_ms: float = 0.0,
        graph_enqueue_ms: float = 0.0,
        graph_cold_ms: float = 0.0,
        sync_every: int = 0,
        side_ms: float = 0.0,
        spin_share: float = 1.0,
        left_over_ms: float = 0.0,
    ) -> None:
        for name, value, least in (
            ("enqueue_ms", enqueue_ms, 0),
            ("kernel_ms", kernel_ms, 0),
            ("launches", launches, 1),
            ("queue_length", queue_length, 1),
            ("cold_ms", cold_ms, 0),
            ("slow_passes", slow_passes, 0),
            ("slow_factor", slow_factor, 1),
            ("drift", drift, -1),
            ("throttle_after_ms", throttle_after_ms or 0.0, 0),
            ("throttle_factor", throttle_factor, 1),
            ("cache_miss_ms", cache_miss_ms, 0),
            ("graph_enqueue_ms", graph_enqueue_ms, 0),
            ("graph_cold_ms", graph_cold_ms, 0),
            ("sync_every", sync_every, 0),
            ("side_ms", side_ms, 0),
            ("spin_share", spin_share, 0),
            ("left_over_ms", left_over_ms, 0),
        ):
            kind = int if name in COUNTS else (int, float)
            if not isinstance(value, kind) or not least <= value < math.inf:
                what = "a whole number" if kind is int else "a number"
                raise ValueError(f"{name} is {value}; expected {what} of at least {least}")
        self.host_ms = 0.0
        self.idle_at_ms = left_over_ms
        self.side_idle_at_ms = 0.0
        self.passes = 0
        self._enqueue_ms, self._kernel_ms, self._launches = enqueue_ms, kernel_ms, launches
        self._queue_length = queue_length
        self._cold_ms = cold_ms
        self._slow_passes, self._slow_factor = slow_passes, slow_factor
        self._drift = drift
        self._throttle_after_ms = math.inf if throttle_after_ms is None else throttle_after_ms
        self._throttle_factor = throttle_factor
        self._cache_miss_ms, self._missing_ms = cache_miss_ms, 0.0
        self._graph_enqueue_ms, self._graph_cold_ms = graph_enqueue_ms, graph_cold_ms
        self._sync_every, self._side_ms, self._spin_share = sync_every, side_ms, spin_share
        self._worked_ms = 0.0
        self._ends_ms: deque[float] = deque()

    @property
    def latency_ms(self) -> float:
        """What one isolated, warm pass takes from its first launch to its last kernel's end.

        Without what runs on the second stream.
        """
        first_ms = self._enqueue_ms / self._launches
        kernel_ms = self._kernel_ms / self._launches
        slower_ms = max(first_ms, kernel_ms)
        # of launches between which the host does not wait
        stretches = math.ceil(self._launches / self._sync_every) if self._sync_every else 1
        return stretches * (first_ms + kernel_ms) + slower_ms * (self._launches - stretches)

    def forward(self) -> None:
        """Launch the kernels of one pass."""
        self.host_ms += self._cold_ms
        self._cold_ms = 0.0
        self._run(self._enqueue_ms, self._launches)

    def _run(self, enqueue_ms: float, launches: int) -> None:
        work_ms = self._kernel_ms * max(0.0, 1 + self._drift * self.passes)
        if self.passes < self._slow_passes:
            work_ms *= self._slow_factor
        if self._worked_ms >= self._throttle_after_ms:
            work_ms *= self._throttle_factor
        work_ms += self._missing_ms
        self._missing_ms = 0.0
        self.passes += 1
        self._worked_ms += work_ms
        self.side_idle_at_ms = max(self.host_ms, self.side_idle_at_ms) + self._side_ms
        for number in range(1, launches + 1):
            self._launch(enqueue_ms / launches, work_ms / launches)
            if self._sync_every and number % self._sync_every == 0:
                self.host_ms = max(self.host_ms, self.idle_at_ms)

    def _launch(self, enqueue_ms: float, work_ms: float) -> None:
        while self._ends_ms and self._ends_ms[0] <= self.host_ms:
            self._ends_ms.popleft()
        if len(self._ends_ms) >= self._queue_length:
            self.host_ms = self._ends_ms.popleft()
        self.host_ms += enqueue_ms
        self.idle_at_ms = max(self.host_ms, self.idle_at_ms) + work_ms
        self._ends_ms.append(self.idle_at_ms)

    def now_ns(self) -> int:
        """The scripted host clock."""
        return round(self.host_ms * 1e6)

    def synchronize(self) -> None:
        """Wait for the queue to drain."""
        self.host_ms = max(self.host_ms, self.idle_at_ms, self.side_idle_at_ms)

    def event(self) -> SimulatedEvent:
        """A mark on this device's time line."""
        return SimulatedEvent(self)

    def occupy(self, busy_ms: float) -> None:
        """Give the device `busy_ms` of idle work."""
        self._launch(0.0, busy_ms * self._spin_share)

    def capture(self, forward: Callable[[], object]) -> Callable[[], object]:
        """One launch for all that `forward` would have launched.

        Raises MeasureError for a pass that waits for the device.
        """
        if self._sync_every:
            raise MeasureError(f"this pass waits for the device: {UNCAPTURED}")
        before = self.passes
        for _ in range(3):
            forward()
        passes = (self.passes - before) // 3
        self.synchronize()
        cold = [self._graph_cold_ms]

        def replay() -> None:
            self.host_ms += cold.pop() if cold else 0.0
            self._run(self._graph_enqueue_ms, 1)
            for _ in range(passes - 1):
                self._run(0.0, 1)

        return replay

    def flush_cache(self) -> None:
        """The next pass finds nothing in the cache."""
        self._missing_ms = self._cache_miss_ms

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

    def query(self) -> bool:
        """Whether the mark is passed."""
        return self.at_ms <= self._device.host_ms

    def synchronize(self) -> None:
        """Wait until the mark is passed."""
        self._device.host_ms = max(self._device.host_ms, self.at_ms)

    def elapsed_time(self, end_event: SimulatedEvent, /) -> float:
        """Milliseconds to `end_event`. Raises RuntimeError if that was not waited for."""
        if end_event.at_ms > self._device.host_ms:
            raise RuntimeError("the end event has not completed: synchronize it first")
        return end_event.at_ms - self.at_ms
