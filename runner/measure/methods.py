"""The timing methods: each answers another question, and says which.

A method is given what to time and gives a Sampler, which takes so many samples in
milliseconds. To add one, write its function and its line in METHODS, and say in
runner/trial.py on which devices it works; nothing else changes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

from runner.measure.device import Device, MeasureError

RECENT = 20  # passes whose launch times decide how long `queued` keeps the device busy
LEAST_BUSY_MS = 0.1
BUSY_MARGIN = 1.5  # times the longest of them
MOST_DISCARDED = 12  # samples in a row

Forward = Callable[[], object]


class Sampler(Protocol):
    """Takes samples of one workload by one method."""

    def __call__(self, count: int, deadline_ns: float = math.inf, least: int = 0) -> list[float]:
        """`count` samples in run order, or, past the deadline of the host clock, `least`."""


Method = Callable[[Forward, Device, Callable[[], object]], Sampler]


def _one_by_one(device: Device, sample_ms: Callable[[], float]) -> Sampler:
    def take(count: int, deadline_ns: float = math.inf, least: int = 0) -> list[float]:
        latency_ms: list[float] = []
        append, now_ns = latency_ms.append, device.now_ns
        for done in range(count):
            if done >= least and now_ns() >= deadline_ns:
                break
            append(sample_ms())
        return latency_ms

    return take


def naive(forward: Forward, device: Device, prepare: Callable[[], object]) -> Sampler:
    """What does the call cost the host? Clock, forward, clock: the article's first two ways.

    On an asynchronous device this is the launch cost until the queue is full, and
    the device's throughput afterwards. Kept to be shown, not to be believed.
    """
    now_ns = device.now_ns

    def sample_ms() -> float:
        prepare()
        start_ns = now_ns()
        forward()
        return (now_ns() - start_ns) / 1e6

    return _one_by_one(device, sample_ms)


def wall(forward: Forward, device: Device, prepare: Callable[[], object]) -> Sampler:
    """What does a blocking caller see? Synchronize, clock, forward, synchronize, clock."""
    now_ns, synchronize = device.now_ns, device.synchronize

    def sample_ms() -> float:
        prepare()
        synchronize()
        start_ns = now_ns()
        forward()
        synchronize()
        return (now_ns() - start_ns) / 1e6

    return _one_by_one(device, sample_ms)


def event(forward: Forward, device: Device, prepare: Callable[[], object]) -> Sampler:
    """What does one isolated request take? The article's third way.

    Record, forward, record, synchronize, elapsed_time: the device's own clock. Gaps in
    which the device waits for the host's next launch lie inside the interval.
    """
    start, end = device.event(), device.event()

    def sample_ms() -> float:
        prepare()
        start.record()
        forward()
        end.record()
        end.synchronize()  # elapsed_time is undefined until the end event has completed
        return start.elapsed_time(end)

    return _one_by_one(device, sample_ms)


class Queued:
    """Samples of device time without the host's gaps.

    The device is kept busy while the host launches the pass, so that all of it lies queued
    when the start event is reached. A sample whose start had already passed when its end was
    recorded did wait for the host: it is counted in `discarded`, and taken again behind a
    longer spin. The spin follows the launch times, so that it needs no calibration of its own.
    """

    def __init__(self, forward: Forward, device: Device, prepare: Callable[[], object]) -> None:
        self._forward, self._device, self._prepare = forward, device, prepare
        self._start, self._end = device.event(), device.event()
        self._enqueue_ms: deque[float] = deque([0.0], maxlen=RECENT)
        self._margin = BUSY_MARGIN
        self.discarded = 0
        self._take = _one_by_one(device, self._sample_ms)

    def __call__(self, count: int, deadline_ns: float = math.inf, least: int = 0) -> list[float]:
        """See Sampler. Raises MeasureError for a pass that can't be queued as a whole."""
        return self._take(count, deadline_ns, least)

    def _sample_ms(self) -> float:
        for _ in range(MOST_DISCARDED):
            busy_ms = max(LEAST_BUSY_MS, self._margin * max(self._enqueue_ms))
            self._prepare()
            self._device.occupy(busy_ms)
            self._start.record()
            launched_ns = self._device.now_ns()
            self._forward()
            enqueue_ms = (self._device.now_ns() - launched_ns) / 1e6
            self._end.record()
            drained = self._start.query()
            self._end.synchronize()
            # growing by steps: the first launch of all may take a thousand times the others
            self._enqueue_ms.append(min(enqueue_ms, 10 * busy_ms))
            if not drained:
                return self._start.elapsed_time(self._end)
            self.discarded += 1
            self._margin *= 1.2
        raise MeasureError(
            f"the device ran dry {MOST_DISCARDED} times in a row, behind a spin of "
            f"{busy_ms:.1f} ms: the network waits for the device, or launches more kernels than "
            "the launch queue holds; use timing.method=event or graph"
        )


def queued(forward: Forward, device: Device, prepare: Callable[[], object]) -> Sampler:
    """How long does the device work, without the host's gaps? See Queued."""
    return Queued(forward, device, prepare)


def pipelined(forward: Forward, device: Device, prepare: Callable[[], object]) -> Sampler:
    """How many images per second? All passes launched in a row, one synchronization at the end.

    The samples are device times between the events around each pass; they overlap the host's
    launches of the next passes and are no latency.
    """

    def take(count: int, deadline_ns: float = math.inf, least: int = 0) -> list[float]:
        pairs = [(device.event(), device.event()) for _ in range(count)]
        done = 0
        for start, end in pairs:
            if done >= least and device.now_ns() >= deadline_ns:
                break
            start.record()
            forward()
            end.record()
            done += 1
        device.synchronize()
        return [start.elapsed_time(end) for start, end in pairs[:done]]

    return take


def graph(forward: Forward, device: Device, prepare: Callable[[], object]) -> Sampler:
    """What is the lower bound? The pass as one captured graph: no Python, no dispatcher."""
    return event(device.capture(forward), device, prepare)


METHODS: dict[str, Method] = {
    "naive": naive,
    "wall": wall,
    "event": event,
    "queued": queued,
    "pipelined": pipelined,
    "graph": graph,
}
