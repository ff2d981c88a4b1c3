"""The queue of a service, with dynamic batching, as pure logic without a clock."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Batch:
    """Queries answered together: `first` is the number of the first, `size` how many.

    `due_ns` is when an idle instance had to begin; earlier than that, it waited.
    """

    first: int
    size: int
    due_ns: int


class Queue:
    """Queries in their order of arrival, of which an idle instance takes up to `max_batch`.

    It takes what has arrived once these are `max_batch`, or the first of them has waited for
    `max_wait_ns`; with a `max_wait_ns` of 0 whatever has arrived. Times are nanoseconds of one
    clock. The queue is fed by its schedule, so no other thread can make a query late.
    """

    def __init__(
        self, arrivals_ns: Sequence[int], max_batch: int = 1, max_wait_ns: float = 0
    ) -> None:
        self._arrivals_ns, self._max_batch = arrivals_ns, max_batch
        self._max_wait_ns = round(max_wait_ns)
        self.taken = 0

    def next(self, now_ns: int) -> Batch | int | None:
        """What an idle instance does: answer a Batch, wait until a moment, or end (None)."""
        first, count = self.taken, len(self._arrivals_ns)
        if first >= count:
            return None
        full = min(first + self._max_batch, count) - 1  # the query that completes a batch
        waited_ns = self._arrivals_ns[first] + self._max_wait_ns
        due_ns = max(self._arrivals_ns[first], min(waited_ns, self._arrivals_ns[full]))
        if now_ns < due_ns:
            return int(due_ns)
        arrived = bisect_right(self._arrivals_ns, now_ns, first, full + 1) - first
        self.taken += arrived
        return Batch(first, arrived, int(due_ns))
