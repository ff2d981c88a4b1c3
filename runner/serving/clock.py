"""Clocks of a service: the host's, which waits precisely and can be paused."""

from __future__ import annotations

import ctypes
import sys
import time

SPIN_NS = 200_000  # before a moment is due: a sleep ends too late by less than this, mostly
PR_SET_TIMERSLACK = 29  # of Linux's prctl: the kernel may delay a sleep by 50 us unless told
LEAD_NS = 20_000_000  # from the end of the warm-up to the start of the schedule


class HostClock:
    """Nanoseconds since `start`, without pauses; `shared` by several threads."""

    def __init__(self, *, shared: bool) -> None:
        self._start_ns = time.perf_counter_ns()
        self._shared = shared

    def start(self) -> None:
        """Begin to count a moment from now."""
        self._start_ns = time.perf_counter_ns() + LEAD_NS

    def now_ns(self) -> int:
        """The time."""
        return time.perf_counter_ns() - self._start_ns

    def skip(self, since_ns: int) -> None:
        """Make what passed since `since_ns` not count."""
        self._start_ns += self.now_ns() - since_ns

    def wait_until(self, at_ns: int) -> None:
        """Sleep until shortly before, then watch the clock."""
        if (left_ns := at_ns - self.now_ns()) > SPIN_NS:
            time.sleep((left_ns - SPIN_NS) / 1e9)
        while self.now_ns() < at_ns:
            if self._shared:
                time.sleep(0)  # other instances need the interpreter


def sleep_precisely() -> None:
    """Have the kernel end this thread's sleeps on time (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
