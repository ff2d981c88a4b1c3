"""Which batch size to try next, to find the largest that fits in few steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CLOSE = 1.03  # of the largest batch that fits: the smallest that does not is known to be near
MAX_TRIES = 20


@dataclass(frozen=True)
class Tried:
    """A batch size: whether it fitted, its peak of memory, and the seconds of a pass."""

    batch: int
    fits: bool
    peak_mib: float | None = None
    pass_s: float | None = None


@dataclass(frozen=True)
class Room:
    """The limits of a search: batch size, memory that can be used, and seconds for a pass."""

    batch: int
    memory_mib: float | None
    pass_s: float


def next_batch(tried: Sequence[Tried], start: int, room: Room) -> int | str:
    """The next batch size to try, or why the search ends.

    It doubles until one does not fit, then halves the gap.
    """
    if not tried:
        return start
    fitting = sorted((one for one in tried if one.fits), key=lambda one: one.batch)
    failed = [one.batch for one in tried if not one.fits]
    if not fitting:
        return f"even a batch of {start} does not fit"
    largest, smallest = fitting[-1].batch, min(failed, default=None)
    if smallest is None:
        if largest >= room.batch:
            return f"sweep.max_batch={room.batch} fits, and larger ones were not tried"
        return _doubled(fitting, min(2 * largest, room.batch), room)
    if smallest - largest <= 1 or smallest / largest <= CLOSE or len(tried) >= MAX_TRIES:
        return f"{smallest} does not fit"
    middle = round(math.sqrt(largest * smallest))
    return min(max(middle, largest + 1), smallest - 1)


def _doubled(fitting: Sequence[Tried], batch: int, room: Room) -> int | str:
    """The next batch, unless it takes too long or more memory than the machine has."""
    last = fitting[-1]
    pass_s = (last.pass_s or 0.0) * batch / last.batch
    if pass_s > room.pass_s:
        return f"a batch of {batch} was not tried, as a pass would take about {pass_s:.0f} s"
    largest = _by_memory(fitting, room.memory_mib)
    if largest is not None and largest < batch and room.memory_mib is not None:
        return (
            f"a batch of {batch} was not tried, as {room.memory_mib / 1024:.3g} GiB of memory are "
            f"left, enough for about {largest:.0f}"
        )
    return batch


def _by_memory(fitting: Sequence[Tried], memory_mib: float | None) -> float | None:
    """The batch at which the memory is full, by the line through the last two; None if unknown."""
    known = [one for one in fitting if one.peak_mib is not None]
    if len(known) < 2 or memory_mib is None:
        return None
    before, last = known[-2:]
    each_mib = ((last.peak_mib or 0) - (before.peak_mib or 0)) / (last.batch - before.batch)
    if each_mib <= 0:
        return None
    return last.batch + (memory_mib - (last.peak_mib or 0)) / each_mib
