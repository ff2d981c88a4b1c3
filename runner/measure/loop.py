"""The measuring loop: warm up, time, and keep every sample."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from runner.measure.device import Device
from runner.measure.methods import METHODS, Budget, Forward
from runner.trial import Timing


@dataclass(frozen=True)
class Measurement:
    """Samples in run order, milliseconds; the warm-up's never mixed in.

    `hidden_device_ms` is the device work still running when the last timed call
    returned: above zero for a method that does not synchronize.
    """

    warmup_ms: tuple[float, ...]
    latency_ms: tuple[float, ...]
    hidden_device_ms: float


def measure(
    forward: Forward,
    device: Device,
    timing: Timing,
    announce: Callable[[str, float | None], None] = lambda phase, seconds: None,
) -> Measurement:
    """Time `timing.iterations` forward passes by `timing.method`, after its warm-up.

    Warm-up and timed part run alike, so that the second continues the first; the
    device is idle when the timed part begins. `announce` hears each phase before it
    starts, with its expected seconds (None: unknown); nobody is called while timing.
    """
    time_samples = METHODS[timing.method]
    with device.selected(), no_garbage_collection():
        announce("warm-up", None)
        warmup_ms = time_samples(forward, device, Budget(timing.warmup))
        device.synchronize()
        announce("timed", _expected_seconds(warmup_ms, timing))
        latency_ms = time_samples(forward, device, Budget(timing.iterations, timing.max_seconds))
        returned_ns = device.now_ns()
        device.synchronize()
        hidden_device_ms = (device.now_ns() - returned_ns) / 1e6
    return Measurement(tuple(warmup_ms), tuple(latency_ms), hidden_device_ms)


def _expected_seconds(warmup_ms: list[float], timing: Timing) -> float | None:
    if not warmup_ms:
        return None
    seconds = statistics.median(warmup_ms[-5:]) * timing.iterations / 1000
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
