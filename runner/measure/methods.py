"""The timing methods: each answers another question, and says which.

A method times `count` iterations and gives one sample in milliseconds for each.
To add one, write its function and its line in METHODS; nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runner.measure.device import Device
from runner.trial import MIN_ITERATIONS_ON_A_BUDGET

Forward = Callable[[], object]
Method = Callable[[Forward, Device, "Budget"], list[float]]


@dataclass(frozen=True)
class Budget:
    """How many iterations to time, and the host time after which to stop early."""

    iterations: int
    max_seconds: float | None = None

    def samples(self, device: Device, sample_ms: Callable[[], float]) -> list[float]:
        """Call `sample_ms` once per iteration until the budget is used up."""
        latency_ms: list[float] = []
        append = latency_ms.append
        if self.max_seconds is None:
            for _ in range(self.iterations):
                append(sample_ms())
            return latency_ms
        deadline_ns = device.now_ns() + round(self.max_seconds * 1e9)
        for done in range(self.iterations):
            if done >= MIN_ITERATIONS_ON_A_BUDGET and device.now_ns() >= deadline_ns:
                break
            append(sample_ms())
        return latency_ms


def naive(forward: Forward, device: Device, budget: Budget) -> list[float]:
    """Host clock around the call, no synchronization: the article's first two ways.

    On an asynchronous device this is the launch cost until the queue is full, and
    the device's throughput afterwards. Kept to be shown, not to be believed.
    """
    now_ns = device.now_ns

    def sample_ms() -> float:
        start_ns = now_ns()
        forward()
        return (now_ns() - start_ns) / 1e6

    return budget.samples(device, sample_ms)


def wall(forward: Forward, device: Device, budget: Budget) -> list[float]:
    """Synchronize, host clock, forward, synchronize, host clock: what a blocking caller sees."""
    now_ns, synchronize = device.now_ns, device.synchronize

    def sample_ms() -> float:
        synchronize()
        start_ns = now_ns()
        forward()
        synchronize()
        return (now_ns() - start_ns) / 1e6

    return budget.samples(device, sample_ms)


def event(forward: Forward, device: Device, budget: Budget) -> list[float]:
    """Record, forward, record, synchronize, elapsed_time: the article's third way.

    Latency of one isolated request on the device's own clock; gaps in which the
    device waits for the host's next launch lie inside it.
    """
    start, end = device.event(), device.event()

    def sample_ms() -> float:
        start.record()
        forward()
        end.record()
        end.synchronize()  # elapsed_time is undefined until the end event has completed
        return start.elapsed_time(end)

    return budget.samples(device, sample_ms)


METHODS: dict[str, Method] = {"naive": naive, "wall": wall, "event": event}
