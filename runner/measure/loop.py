"""The measuring loop: warm up, time, and keep every sample."""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from runner.contract import Phase
from runner.measure.device import Device
from runner.measure.methods import SAMPLERS, Forward, Sampler, nothing
from runner.trial.description import Timing
from runner.trial.methods import METHODS

BLOCKS = 10  # of the timed part; between them the machine's counters are read
SHORTEST_SAMPLE_MS = 0.1  # below it the cost of clock and method matters
FRESH_WARMUPS = 3  # samples, before those of several passes each
MIN_ON_A_BUDGET = 10  # samples: fewer give no useful median
MIN_SAMPLES = 30  # and
MIN_SECONDS = 1.0  # before an adaptive run may stop

Samples = Sequence[float]


class Keep:
    """Receives samples as soon as they exist, in case the rest never comes; a no-op here."""

    def warmed_up(self, samples_ms: Samples) -> None:
        """Those of the warm-up."""

    def timed(self, samples_ms: Samples) -> None:
        """Those of the next block, milliseconds for one pass."""


@dataclass(frozen=True)
class Around:
    """Callbacks around the samples; by default they do nothing.

    `phase` is called before each phase with its expected seconds (None: unknown). `look` is
    called before, between and after the blocks of the timed part; with `settle` each block begins
    with a pass that is not timed, for devices that fall idle during a look. `turn` waits before
    each block until the device is free, if another process uses it in turns; its time counts for
    nothing, and the pass that is not timed follows it. With a `timing.target`,
    `enough(samples)` decides at growing intervals whether to stop. `keep` receives the samples
    after each block.
    """

    phase: Callable[[Phase, float | None], None] = lambda name, expected_s: None
    look: Callable[[], object] = nothing
    settle: bool = False
    turn: Callable[[], object] | None = None
    enough: Callable[[Samples], bool] = lambda samples: False
    keep: Keep = field(default_factory=Keep)


@dataclass(frozen=True)
class Measurement:
    """Samples in run order, milliseconds for one pass; the warm-up's never mixed in.

    `inner` passes make one timed sample, their mean; the warm-up's are single passes.
    `hidden_device_ms` is the device work still running when the last timed call returned:
    above zero for a method that does not synchronize, or not with every stream the network uses.
    `synced_ms` is the time for a pass by the host's clock around the whole timed part, the last
    synchronization included; null for methods that pause in between. `discarded` counts samples
    that `queued` took again. `converged` says whether an adaptive run reached its target; null
    for a fixed count. `work` is what was timed, as one call: for `graph` the graph.
    """

    warmup_ms: tuple[float, ...]
    latency_ms: tuple[float, ...]
    inner: int
    hidden_device_ms: float
    synced_ms: float | None
    discarded: int
    converged: bool | None
    work: Forward


@dataclass(frozen=True)
class _TimedPart:
    """The timed part: milliseconds for one pass, `synced_ms` for all of them."""

    latency_ms: list[float]
    synced_ms: float
    hidden_ms: float
    converged: bool | None


def measure(
    forward: Forward,
    device: Device,
    timing: Timing,
    around: Around | None = None,
) -> Measurement:
    """Time `timing.iterations` samples of a forward pass by `timing.method`, after its warm-up.

    Warm-up and timed part run alike, so the second continues the first; the device
    is idle when the timed part begins. The callbacks `around` the samples never run inside a timed
    interval.
    Raises MeasureError if the method does not work for this device or network.
    """
    around = around or Around()
    method = SAMPLERS[timing.method]
    prepare = device.flush_cache if timing.cache == "flush" else nothing
    with device.selected(), no_garbage_collection():
        around.phase(Phase.WARM_UP, None)
        take = method(forward, device, prepare)
        warmup_ms = take(timing.warmup).latency_ms
        around.keep.warmed_up(warmup_ms)
        inner = _inner(timing, warmup_ms)
        if inner > 1:
            several = _repeated(forward, inner)
            take = method(several, device, prepare)
            if timing.warmup and take.work is not several:
                take(
                    FRESH_WARMUPS
                )  # the method turned it into something new, a graph, which is still cold
        discarded_before = take.discarded
        device.synchronize()
        around.phase(Phase.TIMED, _expected_seconds(warmup_ms, timing, inner))
        timed = _timed(take, device, timing, around, inner)
    calls = len(timed.latency_ms) * inner
    return Measurement(
        tuple(warmup_ms),
        tuple(timed.latency_ms),
        inner,
        timed.hidden_ms,
        timed.synced_ms / calls if METHODS[timing.method].unbroken else None,
        take.discarded - discarded_before,
        timed.converged,
        take.work,
    )


def _timed(
    take: Sampler,
    device: Device,
    timing: Timing,
    around: Around,
    inner: int,
) -> _TimedPart:
    """Block after block, until the count, the target or the deadline is reached."""
    around.look()
    began_ns = device.now_ns()
    deadline_ns = began_ns + (timing.max_seconds or math.inf) * 1e9
    latency_ms: list[float] = []
    synced_ms = 0.0
    converged = None if timing.target is None else False
    for stop in _block_ends(timing):
        if around.turn is not None:
            since_ns = device.now_ns()
            around.turn()
            deadline_ns += device.now_ns() - since_ns
        settles = around.settle or around.turn is not None
        if settles and (latency_ms or timing.warmup):  # must not hide a cold start
            take.work()
            device.synchronize()
        done = len(latency_ms)
        block = take(stop - done, deadline_ns, MIN_ON_A_BUDGET - done)
        samples_ms = [sample_ms / inner for sample_ms in block.latency_ms]
        latency_ms += samples_ms
        synced_ms += block.synced_ms
        ended_ns = device.now_ns()
        around.keep.timed(samples_ms)
        around.look()
        if timing.target is not None and (ended_ns - began_ns) / 1e9 >= MIN_SECONDS:
            converged = around.enough(latency_ms)
        if converged or len(latency_ms) < stop:  # the latter: past the deadline
            break
    return _TimedPart(latency_ms, synced_ms, block.hidden_ms, converged)


def _inner(timing: Timing, warmup_ms: list[float]) -> int:
    """Passes per sample: as requested, or as many as make a sample long enough."""
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
    """Sample counts after which the counters are read, or the samples so far are judged."""
    count = timing.iterations
    if timing.target is not None:
        end = min(MIN_SAMPLES, count)
        while end < count:  # at growing intervals: each look is a chance to stop too early
            yield end
            end = math.ceil(1.25 * end)
        yield count
    elif METHODS[timing.method].unbroken:
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
