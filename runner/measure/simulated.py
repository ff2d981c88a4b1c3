"""A simulated asynchronous device with a scripted clock: exact, whatever the machine's load.

The host launches kernels and continues; the device executes them one by one. The timing methods
are tested on it, and `sweep=demo` runs on it, because its true time is known.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields
from types import NoneType
from typing import Any

from runner.contract import MeasureError
from runner.measure.device import UNCAPTURED


def _cost(default: float | None = None, least: float = 0, *, count: bool = False) -> Any:
    """A cost with its bound; `count` for whole numbers."""
    bound = {"least": least, "kind": int if count else (int, float)}
    return field(default=default, metadata=bound) if default is not None else field(metadata=bound)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The costs of a pass on a simulated device, in milliseconds, and how they change.

    The host needs `enqueue_ms` to launch the `launches` kernels of a pass, which take the device
    `kernel_ms` in all, and `cold_ms` more in the first pass, when kernels are loaded and algorithms
    chosen. At most `queue_length` kernels are in flight: a launch into a full queue blocks the host
    until the oldest one is done, as CUDA's does.
    The kernels of the first `slow_passes` passes take `slow_factor` times as long; each pass
    takes `drift` (a share of kernel_ms) longer than the one before; once the device has worked
    for `throttle_after_ms` (None: never) it is `throttle_factor` times slower; after a flush of
    the cache a pass takes `cache_miss_ms` more. A replayed graph costs the host `graph_enqueue_ms`,
    and `graph_cold_ms` more the first time. After every `sync_every` launches (0: never) the host
    waits for the device, as a detector does to read a result; such a pass can't be captured.
    `side_ms` of each pass's work runs on a second stream, which no event sees; with `side_wait` (1)
    the host waits for it before the pass returns. A spin lasts
    `spin_share` of what was asked for, as it does when the clock has moved since its calibration.
    `left_over_ms` of earlier work are in the queue at the start. Each further query of a batch
    takes the device `batch_ms` (None: as long as the first).
    Raises ValueError for impossible costs, such as one below zero.
    """

    enqueue_ms: float = _cost()
    kernel_ms: float = _cost()
    launches: int = _cost(1, 1, count=True)
    queue_length: int = _cost(1024, 1, count=True)
    cold_ms: float = _cost(0.0)
    slow_passes: int = _cost(0, count=True)
    slow_factor: float = _cost(1.0, 1)
    drift: float = _cost(0.0, -1)
    throttle_after_ms: float | None = field(
        default=None, metadata={"least": 0, "kind": (int, float, NoneType)}
    )
    throttle_factor: float = _cost(1.0, 1)
    cache_miss_ms: float = _cost(0.0)
    graph_enqueue_ms: float = _cost(0.0)
    graph_cold_ms: float = _cost(0.0)
    sync_every: int = _cost(0, count=True)
    side_ms: float = _cost(0.0)
    side_wait: int = _cost(0, count=True)
    spin_share: float = _cost(1.0)
    left_over_ms: float = _cost(0.0)
    batch_ms: float | None = field(
        default=None, metadata={"least": 0, "kind": (int, float, NoneType)}
    )

    def __post_init__(self) -> None:
        for part in fields(self):
            value, bound = getattr(self, part.name), part.metadata
            least, kind = bound["least"], bound["kind"]
            if not isinstance(value, kind) or not least <= (value or 0.0) < math.inf:
                what = "a whole number" if kind is int else "a number"
                raise ValueError(f"{part.name} is {value}; expected {what} of at least {least}")


class SimulatedDevice:
    """A device on which a forward pass has the given costs; see Costs."""

    def __init__(self, **costs: Any) -> None:
        self._costs = Costs(**costs)
        self.host_ms = 0.0
        self.idle_at_ms = self._costs.left_over_ms
        self.side_idle_at_ms = 0.0
        self.passes = 0
        self._cold_ms, self._graph_cold_ms = self._costs.cold_ms, self._costs.graph_cold_ms
        self._missing_ms = 0.0
        self._worked_ms = 0.0
        self._ends_ms: deque[float] = deque()

    @property
    def latency_ms(self) -> float:
        """The time of one isolated, warm pass from its first launch to its last kernel's end.

        Without what runs on the second stream.
        """
        costs = self._costs
        first_ms, kernel_ms = costs.enqueue_ms / costs.launches, costs.kernel_ms / costs.launches
        slower_ms = max(first_ms, kernel_ms)
        # of launches between which the host does not wait
        stretches = math.ceil(costs.launches / costs.sync_every) if costs.sync_every else 1
        return stretches * (first_ms + kernel_ms) + slower_ms * (costs.launches - stretches)

    def forward(self, queries: int = 1) -> None:
        """Launch the kernels of one pass, for so many queries together."""
        self.host_ms += self._cold_ms
        self._cold_ms = 0.0
        each_ms = self._costs.kernel_ms if self._costs.batch_ms is None else self._costs.batch_ms
        self._missing_ms += (queries - 1) * each_ms
        self._run(self._costs.enqueue_ms, self._costs.launches)

    def wait_until(self, at_ms: float) -> None:
        """Let the host wait until its clock shows `at_ms`."""
        self.host_ms = max(self.host_ms, at_ms)

    def _run(self, enqueue_ms: float, launches: int) -> None:
        costs = self._costs
        work_ms = costs.kernel_ms * max(0.0, 1 + costs.drift * self.passes)
        if self.passes < costs.slow_passes:
            work_ms *= costs.slow_factor
        after_ms = costs.throttle_after_ms
        if after_ms is not None and self._worked_ms >= after_ms:
            work_ms *= costs.throttle_factor
        work_ms += self._missing_ms
        self._missing_ms = 0.0
        self.passes += 1
        self._worked_ms += work_ms
        self.side_idle_at_ms = max(self.host_ms, self.side_idle_at_ms) + costs.side_ms
        for number in range(1, launches + 1):
            self._launch(enqueue_ms / launches, work_ms / launches)
            if costs.sync_every and number % costs.sync_every == 0:
                self.host_ms = max(self.host_ms, self.idle_at_ms)
        if costs.side_wait:
            self.host_ms = max(self.host_ms, self.side_idle_at_ms)

    def _launch(self, enqueue_ms: float, work_ms: float) -> None:
        while self._ends_ms and self._ends_ms[0] <= self.host_ms:
            self._ends_ms.popleft()
        if len(self._ends_ms) >= self._costs.queue_length:
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
        self._launch(0.0, busy_ms * self._costs.spin_share)

    def other_streams(self, forward: Callable[[], object]) -> int:
        """Always 0: hidden work is not detectable here."""
        return 0

    def capture(self, forward: Callable[[], object]) -> Callable[[], object]:
        """One launch for everything that `forward` would launch.

        Raises MeasureError for a pass that waits for the device.
        """
        if self._costs.sync_every:
            raise MeasureError(f"this pass waits for the device: {UNCAPTURED}")
        before = self.passes
        for _ in range(3):
            forward()
        passes = (self.passes - before) // 3
        self.synchronize()
        cold = [self._graph_cold_ms]

        def replay() -> None:
            self.host_ms += cold.pop() if cold else 0.0
            self._run(self._costs.graph_enqueue_ms, 1)
            for _ in range(passes - 1):
                self._run(0.0, 1)

        return replay

    def flush_cache(self) -> None:
        """Empty the cache for the next pass."""
        self._missing_ms = self._costs.cache_miss_ms

    def selected(self) -> AbstractContextManager[object]:
        """Nothing to select: there is one simulated device."""
        return nullcontext()


class SimulatedEvent:
    """An event that completes when the work queued before it has completed."""

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
