"""The timing methods; the docstring of each begins with the question it answers.

A method takes the work to time and returns a Sampler, which takes blocks of samples. To add
one, write it here, name it in SAMPLERS, and describe it in runner/trial/methods.py.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from runner.contract import MeasureError
from runner.measure.device import Device, Event

RECENT = 20  # passes whose launch times decide how long `queued` keeps the device busy
BUSY_MARGIN = 1.5  # times the longest of them
MIN_BUSY_MS = 0.1
MAX_LAUNCHES = 4  # a spin lasts at most so many launch times, but at least
MIN_CAP_MS = 1.0  # because a short launch is easily delayed many times over; never above
MAX_BUSY_MS = 100.0
MAX_DISCARDED = 6  # samples in a row
UNSEEN_SHARE = 0.05  # of the launch time; a shorter pass can't have been seen by events
MAX_STRETCH = 20.0  # of a spin: the most by which a GPU's clocks differ

_UNQUEUED = (
    "the network waits for the device, as detectors do, or launches more kernels than the launch "
    "queue holds; use timing.method=event"
)

Forward = Callable[[], object]
Prepare = Callable[[], object]


@dataclass(frozen=True)
class Block:
    """Samples in milliseconds and run order, and the host's time around all of them.

    `synced_ms`: from before the first launch until the device was idle;
    `hidden_ms`: the part of it after the last call had returned.
    """

    latency_ms: list[float]
    synced_ms: float
    hidden_ms: float


class Sampler(Protocol):
    """Takes samples of `work` by one method; `discarded` counts repeated ones."""

    work: Forward
    discarded: int

    def __call__(self, count: int, deadline_ns: float = math.inf, least: int = 0) -> Block:
        """`count` samples, or `least` once the deadline of the host clock has passed."""


Method = Callable[[Forward, Device, Prepare], Sampler]


class OneByOne:
    """Samples that each end before the next begins."""

    def __init__(self, work: Forward, device: Device, sample_ms: Callable[[], float]) -> None:
        self.work, self.discarded = work, 0
        self._device, self._sample_ms = device, sample_ms

    def __call__(self, count: int, deadline_ns: float = math.inf, least: int = 0) -> Block:
        """See Sampler."""
        latency_ms: list[float] = []
        append, now_ns, sample_ms = latency_ms.append, self._device.now_ns, self._sample_ms
        began_ns = now_ns()
        for done in range(count):
            if done >= least and now_ns() >= deadline_ns:
                break
            append(sample_ms())
        return _block(latency_ms, self._device, began_ns)


def _block(latency_ms: list[float], device: Device, began_ns: int) -> Block:
    returned_ns = device.now_ns()
    device.synchronize()
    ended_ns = device.now_ns()
    return Block(latency_ms, (ended_ns - began_ns) / 1e6, (ended_ns - returned_ns) / 1e6)


def nothing() -> None:
    """Prepare nothing between samples."""


def naive(forward: Forward, device: Device, prepare: Prepare = nothing) -> Sampler:
    """What does the call cost the host? Clock, forward, clock: the article's first two ways.

    On an asynchronous device this is the launch cost until the queue is full, and
    the device's throughput afterwards. Kept as a demonstration, not to be relied on.
    """
    now_ns = device.now_ns

    def sample_ms() -> float:
        prepare()
        start_ns = now_ns()
        forward()
        return (now_ns() - start_ns) / 1e6

    return OneByOne(forward, device, sample_ms)


def wall(forward: Forward, device: Device, prepare: Prepare = nothing) -> Sampler:
    """What does a blocking caller see? Synchronize, clock, forward, synchronize, clock."""
    now_ns, synchronize = device.now_ns, device.synchronize

    def sample_ms() -> float:
        prepare()
        synchronize()
        start_ns = now_ns()
        forward()
        synchronize()
        return (now_ns() - start_ns) / 1e6

    return OneByOne(forward, device, sample_ms)


def event(forward: Forward, device: Device, prepare: Prepare = nothing) -> Sampler:
    """What does one isolated request take? The article's third way.

    Record, forward, record, synchronize, elapsed_time: the device's own clock. Gaps during
    which the device waits for the host's next launch are inside the interval.
    """
    start, end = device.event(), device.event()

    def sample_ms() -> float:
        prepare()
        start.record()
        forward()
        end.record()
        end.synchronize()  # elapsed_time is undefined until the end event has completed
        return start.elapsed_time(end)

    return OneByOne(forward, device, sample_ms)


class Queued(OneByOne):
    """How long does the device work? Its time without the host's gaps.

    The device is kept busy while the host launches the pass, so that all of it lies queued
    when the start event is reached. A sample whose start had already completed when its end was
    recorded waited for the host: it is counted in `discarded`, and repeated behind a
    longer spin. The spin follows the launch times of passes that were queued as a whole; those
    of others contain the spin itself, and a spin that followed them would grow without bound.
    Hence its cap: a few times `launch_ms`, that of a pass on an empty queue, which is measured
    here unless given. After `give_up_ns` of the host clock no sample is repeated.

    Only the stream of the events is held back: what a pass does on another one may lie before the
    start event, so a pass with several streams is refused. Where that can't be detected, as with an
    engine, a time far below the launch time is refused: the pass waited somewhere else.
    """

    def __init__(
        self,
        forward: Forward,
        device: Device,
        prepare: Prepare = nothing,
        *,
        launch_ms: float | None = None,
        give_up_ns: float = math.inf,
    ) -> None:
        super().__init__(forward, device, self._taken_ms)
        self._prepare = prepare
        self._launch_ms, self._give_up_ns = launch_ms, give_up_ns
        self._before, self._start, self._end = device.event(), device.event(), device.event()
        self._recent_ms: deque[float] = deque(maxlen=RECENT)
        self._stretch = 1.0  # correction, because the clock may have changed since calibration
        self._others: int | None = None  # number of other streams it uses

    def _taken_ms(self) -> float:
        """One sample. Raises MeasureError for a pass that can't be queued as a whole."""
        if self._others is None:
            self._others = self._device.other_streams(self.work)
            self._device.synchronize()
        if self._others:
            raise MeasureError(
                "the network uses another stream than that of the events, and only the latter "
                "can be "
                "held back while a pass is launched; use timing.method=event or wall"
            )
        if self._launch_ms is None:
            self._launch_ms = min(self._empty_launch_ms() for _ in range(2))  # the first is cold
        if self._launch_ms > MAX_BUSY_MS:
            raise MeasureError(
                f"launching a pass takes {self._launch_ms:.1f} ms on an empty queue, longer than "
                f"the device may be kept busy for it ({MAX_BUSY_MS:.0f} ms): {_UNQUEUED}"
            )
        cap_ms = min(MAX_BUSY_MS, max(MIN_CAP_MS, MAX_LAUNCHES * self._launch_ms))
        busy_ms = BUSY_MARGIN * max(self._recent_ms, default=self._launch_ms)
        for tried in range(1, MAX_DISCARDED + 1):  # noqa: B007 (used in the error)
            busy_ms = min(max(busy_ms, MIN_BUSY_MS), cap_ms)
            if (sample_ms := self._attempt_ms(busy_ms)) is not None:
                return sample_ms
            self.discarded += 1
            busy_ms *= 2
            if self._device.now_ns() >= self._give_up_ns:
                break
        raise MeasureError(
            f"the queue ran dry {tried} times in a row, the last time behind {busy_ms / 2:.1f} "
            "ms of "
            f"other work, where a launch takes {self._launch_ms:.1f} ms: {_UNQUEUED}"
        )

    def _attempt_ms(self, busy_ms: float) -> float | None:
        """Time a pass behind a device that is busy for `busy_ms`; None if that was too short."""
        self._prepare()
        self._before.record()
        self._device.occupy(busy_ms * self._stretch)
        self._start.record()
        launched_ns = self._device.now_ns()
        self.work()
        launch_ms = (self._device.now_ns() - launched_ns) / 1e6
        self._end.record()
        drained = self._start.query()
        self._end.synchronize()
        spun_ms = self._before.elapsed_time(self._start)
        stretch = self._stretch * busy_ms / max(spun_ms, busy_ms / MAX_STRETCH)
        self._stretch = min(max(stretch, 1 / MAX_STRETCH), MAX_STRETCH)
        if drained:
            return None
        sample_ms = self._start.elapsed_time(self._end)
        if sample_ms < UNSEEN_SHARE * launch_ms:
            raise MeasureError(
                f"events measure {sample_ms:.3g} ms for a pass that keeps the host busy for "
                f"{launch_ms:.3g}: "
                "the network works on a stream of its own and waits for it, or on the host; use "
                "timing.method=wall"
            )
        self._recent_ms.append(launch_ms)
        return sample_ms

    def _empty_launch_ms(self) -> float:
        self._device.synchronize()
        launched_ns = self._device.now_ns()
        self.work()
        launch_ms = (self._device.now_ns() - launched_ns) / 1e6
        self._device.synchronize()
        self.discarded += 1
        return launch_ms


class Pipelined:
    """How many images per second? All passes launched in a row, one synchronization at the end.

    The samples are device times between the events around each pass; they overlap the host's
    launches of the next passes and are not latencies. Events are created before and read after.
    """

    def __init__(self, work: Forward, device: Device, prepare: Prepare = nothing) -> None:
        self.work, self.discarded = work, 0
        self._device = device

    def __call__(self, count: int, deadline_ns: float = math.inf, least: int = 0) -> Block:
        """See Sampler."""
        device, work = self._device, self.work
        pairs: list[tuple[Event, Event]] = [(device.event(), device.event()) for _ in range(count)]
        for event in itertools.chain.from_iterable(pairs):
            event.record()  # torch creates them at their first record, which takes microseconds
        device.synchronize()
        done, began_ns = 0, device.now_ns()
        for start, end in pairs:
            if done >= least and device.now_ns() >= deadline_ns:
                break
            start.record()
            work()
            end.record()
            done += 1
        block = _block([], device, began_ns)
        block.latency_ms.extend(start.elapsed_time(end) for start, end in pairs[:done])
        return block


def graph(forward: Forward, device: Device, prepare: Prepare = nothing) -> Sampler:
    """What is the lower bound? The pass as one captured graph: no Python, no dispatcher."""
    return event(device.capture(forward), device, prepare)


SAMPLERS: dict[str, Method] = {  # by the word for timing.method
    "naive": naive,
    "wall": wall,
    "event": event,
    "queued": Queued,
    "pipelined": Pipelined,
    "graph": graph,
}
