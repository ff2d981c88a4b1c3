"""The measuring loop: warm up, time, and keep every sample."""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from runner.measure.device import Device
from runner.measure.methods import METHODS, Forward, event, queued
from runner.trial import MIN_ITERATIONS_ON_A_BUDGET, UNBROKEN, Timing

BLOCKS = 10  # of the timed part; between them the machine is looked at
SHORTEST_SAMPLE_MS = 0.1  # below it the clock and the method are too large a share of a sample
LEAST_SAMPLES = 30  # and
LEAST_SECONDS = 1.0  # before an adaptive run may stop
PROBED = 10  # passes by each way of the launch probe
PROBE_SECONDS = 1.0  # after which it stops, with at least 3

Announce = Callable[[str, float | None], None]
Samples = Sequence[float]


@dataclass(frozen=True)
class Measurement:
    """Samples in run order, milliseconds for one pass; the warm-up's never mixed in.

    `inner` passes make one timed sample, their mean; the warm-up's are single passes.
    `hidden_device_ms` is the device work still running when the last timed call returned:
    above zero for a method that does not synchronize. `synced_ms` is the time for a pass by
    the host's clock around the whole timed part, the last synchronization included; null for
    methods that pause in between. `discarded` counts samples that `queued` took again.
    `converged` says whether an adaptive run reached its target; null for a fixed count.
    """

    warmup_ms: tuple[float, ...]
    latency_ms: tuple[float, ...]
    inner: int
    hidden_device_ms: float
    synced_ms: float | None
    discarded: int
    converged: bool | None


@dataclass(frozen=True)
class LaunchCost:
    """Medians of a few passes, in milliseconds: they tell whether the device waits for the host.

    `enqueue_ms` is the host's time for launching a pass on an empty queue, `event_ms` the
    pass by events from an empty queue, `queued_ms` behind a busy device.
    """

    enqueue_ms: float
    event_ms: float
    queued_ms: float


def measure(
    forward: Forward,
    device: Device,
    timing: Timing,
    announce: Announce = lambda phase, seconds: None,
    *,
    between_blocks: Callable[[], object] = lambda: None,
    enough: Callable[[Samples], bool] = lambda samples: False,
) -> Measurement:
    """Time `timing.iterations` samples of a forward pass by `timing.method`, after its warm-up.

    Warm-up and timed part run alike, so that the second continues the first; the device
    is idle when the timed part begins. `announce` hears each phase before it starts, with
    its expected seconds (None: unknown). `between_blocks` is called before, between and
    after the blocks of the timed part, never inside a timed interval. With a
    `timing.target`, `enough(samples)` is asked at growing intervals whether to stop.
    Raises MeasureError for what this device or network can't be asked.
    """
    method = METHODS[timing.method]
    prepare = device.flush_cache if timing.cache == "flush" else _nothing
    with device.selected(), no_garbage_collection():
        announce("warm-up", None)
        take = method(forward, device, prepare)
        warmup_ms = take(timing.warmup)
        inner = _inner(timing, warmup_ms)
        if inner > 1:
            take = method(_repeated(forward, inner), device, prepare)
        discarded_before = getattr(take, "discarded", 0)
        device.synchronize()
        announce("timed", _expected_seconds(warmup_ms, timing, inner))
        between_blocks()
        began_ns = device.now_ns()
        deadline_ns = began_ns + (timing.max_seconds or math.inf) * 1e9
        latency_ms: list[float] = []
        synced_ns = 0
        converged = None if timing.target is None else False
        for stop in _block_ends(timing):
            done, block_began_ns = len(latency_ms), device.now_ns()
            latency_ms += take(stop - done, deadline_ns, MIN_ITERATIONS_ON_A_BUDGET - done)
            returned_ns = device.now_ns()
            device.synchronize()
            ended_ns = device.now_ns()
            synced_ns += ended_ns - block_began_ns
            between_blocks()
            if timing.target is not None and (ended_ns - began_ns) / 1e9 >= LEAST_SECONDS:
                converged = enough(latency_ms)
            if converged or len(latency_ms) < stop:  # the latter: past the deadline
                break
    calls = len(latency_ms) * inner
    return Measurement(
        tuple(warmup_ms),
        tuple(sample / inner for sample in latency_ms),
        inner,
        (ended_ns - returned_ns) / 1e6,
        synced_ns / 1e6 / calls if timing.method in UNBROKEN else None,
        getattr(take, "discarded", 0) - discarded_before,
        converged,
    )


def launch_cost(forward: Forward, device: Device) -> LaunchCost:
    """Look at a few passes by event and by queued, to tell device time from launch time.

    For devices that `queued` works on. Raises MeasureError if a pass can't be queued.
    """
    enqueue_ms: list[float] = []

    def launched() -> None:
        start_ns = device.now_ns()
        forward()
        enqueue_ms.append((device.now_ns() - start_ns) / 1e6)

    event_ms: list[float] = []
    queued_ms: list[float] = []
    with device.selected(), no_garbage_collection():
        device.synchronize()
        alone, behind = event(launched, device, _nothing), queued(forward, device, _nothing)
        until_ns = device.now_ns() + PROBE_SECONDS * 1e9
        while len(event_ms) < 3 or (len(event_ms) < PROBED and device.now_ns() < until_ns):
            event_ms += alone(1)  # in turn, so that a drift falls on both
            queued_ms += behind(1)
    return LaunchCost(*map(statistics.median, (enqueue_ms, event_ms, queued_ms)))


def _nothing() -> None:
    """Between samples there is nothing to prepare."""


def _inner(timing: Timing, warmup_ms: list[float]) -> int:
    """Passes per sample: what was asked for, or as many as make it long enough."""
    if timing.inner is not None:
        return timing.inner
    if not warmup_ms or timing.cache == "flush":  # only the first of several would be cold
        return 1
    pass_ms = statistics.median(warmup_ms[len(warmup_ms) // 2 :])
    return max(1, math.ceil(SHORTEST_SAMPLE_MS / max(pass_ms, 1e-4)))


def _repeated(forward: Forward, inner: int) -> Forward:
    def several() -> None:
        for _ in range(inner):
            forward()

    return several


def _block_ends(timing: Timing) -> Iterator[int]:
    """Counts of samples after which the machine is looked at, or the samples so far."""
    count = timing.iterations
    if timing.target is not None:
        end = min(LEAST_SAMPLES, count)
        while end < count:  # looked at ever more seldom: each look is a chance to stop too early
            yield end
            end = math.ceil(1.25 * end)
        yield count
    elif timing.method in UNBROKEN:
        yield count
    else:
        yield from dict.fromkeys(math.ceil(count * part / BLOCKS) for part in range(1, BLOCKS + 1))


def _expected_seconds(warmup_ms: list[float], timing: Timing, inner: int) -> float | None:
    if not warmup_ms or timing.target is not None:
        return None
    seconds = statistics.median(warmup_ms[-5:]) * inner * timing.iterations / 1000
    return seconds if timing.max_seconds is None else min(seconds, timing.max_seconds)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect once, then keep the collector out of the timed part.

    One full collection after importing torchvision takes as long as many small
    forward passes.
    """
    gc.collect()
    gc.freeze()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
