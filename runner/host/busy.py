"""Other processes on the CPUs, and how much they use."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

WINDOW_S = 0.4  # of one measurement: clock ticks are 10 ms
MAX_NAMED = 3  # processes that are named
MIN_SHARE = 0.05  # of a CPU: processes below are not named
BUSY = 0.25  # CPUs in use by others, from which on the machine counts as busy


@dataclass(frozen=True)
class Others:
    """CPU use of other processes: `cpus` is a number of CPUs, `busiest` names the largest."""

    cpus: float
    busiest: tuple[str, ...]

    @property
    def busy(self) -> bool:
        """Whether that would disturb a measurement."""
        return self.cpus >= BUSY

    def __str__(self) -> str:
        named = f": {', '.join(self.busiest)}" if self.busiest else ""
        return f"others use {self.cpus:.1f} of {os.cpu_count()} CPUs{named}"


def others(window_s: float = WINDOW_S) -> Others:
    """Measure the CPU use of processes that are not ours."""
    before, began = dict(_times()), time.monotonic()
    time.sleep(window_s)
    passed = time.monotonic() - began
    names = dict[tuple[int, float], tuple[str, float]]()
    for process, seconds in _times():
        if process in before:
            names[process] = before[process][0], (seconds[1] - before[process][1]) / passed
    shares = sorted(names.items(), key=lambda item: -item[1][1])
    busiest = [
        f"{name} (pid {pid}, {share:.0%} of a CPU)"
        for (pid, _), (name, share) in shares[:MAX_NAMED]
        if share >= MIN_SHARE
    ]
    return Others(sum(share for _, (_, share) in shares), tuple(busiest))


def _times() -> Iterator[tuple[tuple[int, float], tuple[str, float]]]:
    """Name and CPU seconds of each process that is neither this one nor its descendant."""
    own = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    for process in psutil.process_iter():
        try:
            if process.pid not in own:
                with process.oneshot():
                    spent = process.cpu_times()
                    key = process.pid, process.create_time()
                    yield key, (process.name(), spent.user + spent.system)
        except psutil.Error:
            continue  # it has ended, or access is denied
