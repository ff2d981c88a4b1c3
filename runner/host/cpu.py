"""CPU contention, as far as it can be measured without root.

Standard library only. Whatever is unavailable on this system is null, with the reason in
`unknown`, and never counts as quiet.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

PROC, SYS = Path("/proc"), Path("/sys")
T = TypeVar("T")


def affinity() -> list[int]:
    """Numbers of the CPUs on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def whole_cores(cpus: Sequence[int], sys: Path = SYS) -> list[tuple[int, ...]]:
    """CPUs grouped by physical core; each its own core if that is unknown."""
    cores: dict[str, list[int]] = {}
    for number in cpus:
        path = sys / f"devices/system/cpu/cpu{number}/topology/thread_siblings_list"
        try:
            siblings = path.read_text().strip()
        except OSError:
            siblings = str(number)
        cores.setdefault(siblings, []).append(number)
    return [tuple(core) for core in cores.values()]


def shared_out(
    cores: Sequence[tuple[int, ...]], near: Sequence[set[int] | None]
) -> list[tuple[int, ...]]:
    """Divide CPUs among several slots, in whole cores that are not shared while there are enough.

    `near` are the CPUs near each slot (None: any). Slots near the same CPUs divide these
    evenly; cores that are near none are divided among all.
    """
    everywhere = {cpu for core in cores for cpu in core}
    sides = [frozenset(everywhere if cpus is None else cpus & everywhere) for cpus in near]
    shares: list[list[int]] = [[] for _ in near]
    for side in dict.fromkeys(sides):
        beside = [core for core in cores if side.issuperset(core)]
        own = [share for share, other in zip(shares, sides, strict=True) if other == side]
        _deal(beside, own, max(1, len(beside) // len(own)))
    rest = [core for core in cores if not any(side.issuperset(core) for side in sides)]
    _deal(rest, shares, len(rest) // len(shares))
    return [tuple(share) for share in shares]


def _deal(cores: Sequence[tuple[int, ...]], shares: Sequence[list[int]], each: int) -> None:
    """Give each share `count` consecutive cores, starting over if there are too few."""
    for number, share in enumerate(shares):
        first = number * each % max(1, len(cores))
        share += [cpu for core in cores[first : first + each] for cpu in core]


def usable_cpus(proc: Path = PROC, sys: Path = SYS) -> int:
    """Number of CPUs that this process may use, by affinity and cgroup quota."""
    quota = cgroup_cpus(proc, sys)
    allowed = len(affinity())
    return allowed if quota is None else max(1, min(allowed, math.floor(quota)))


def cgroup_cpus(proc: Path = PROC, sys: Path = SYS) -> float | None:
    """The tightest CPU quota of this process's cgroups, in CPUs; None without a quota."""
    quotas = []
    for folder in _cgroups(proc, sys):
        try:
            if (folder / "cpu.max").is_file():
                limit, period = (folder / "cpu.max").read_text().split()
            else:
                limit = (folder / "cpu.cfs_quota_us").read_text().strip()
                period = (folder / "cpu.cfs_period_us").read_text()
        except (OSError, ValueError):
            continue  # the root has no quota
        if limit not in ("max", "-1"):
            quotas.append(int(limit) / int(period))
    return min(quotas, default=None)


def _cgroups(proc: Path, sys: Path) -> list[Path]:
    """The CPU cgroup of this process and those above it, of version 2 or 1."""
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = sys / "fs/cgroup" / controllers
        inside = root / name.lstrip("/")
        folders += [inside, *(above for above in inside.parents if above.is_relative_to(root))]
    # in a container the name may be the host's, and only the root may be mounted
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def governor(sys: Path = SYS) -> str | None:
    """The frequency governors of the allowed CPUs; None if unknown."""
    found = set()
    for cpu in affinity():
        try:
            path = sys / f"devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"
            found.add(path.read_text().strip())
        except OSError:
            return None
    return " ".join(sorted(found)) or None


def turbo(sys: Path = SYS) -> bool | None:
    """Whether the CPUs may exceed their nominal frequency; None if unknown."""
    for name, on in (("intel_pstate/no_turbo", "0"), ("cpufreq/boost", "1")):
        try:
            return (sys / "devices/system/cpu" / name).read_text().strip() == on
        except OSError:
            continue
    return None


def virtual_machine(proc: Path = PROC) -> bool | None:
    """Whether this is a virtual machine, by the CPU's flags; None if unknown."""
    try:
        text = (proc / "cpuinfo").read_text()
    except OSError:
        return None
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return None if flags is None else "hypervisor" in flags[1].split()


@dataclass(frozen=True)
class _Reading:
    """Counters at one moment; a counter that can't be read is None.

    What happened between the reading before it and one `after_pause` does not count.
    """

    after_pause: bool
    at_ns: int
    wait_ns: dict[str, int] | None
    steal_ms: float | None
    pressure_ms: float | None
    throttled_ms: float | None


class CpuWatch:
    """Reads the scheduler's counters at each `look`, called between timed intervals.

    `threads` compute at once in this process; waits are shares of their time.
    """

    def __init__(self, threads: int, proc: Path = PROC, sys: Path = SYS) -> None:
        self._threads = threads
        self._proc, self._sys = proc, sys
        self._cpus = {f"cpu{number}" for number in affinity()}
        self._cgroup = next(iter(_cgroups(proc, sys)), None)
        self._unknown: dict[str, str] = {}
        self._readings: list[_Reading] = []

    def look(self, *, after_pause: bool = False) -> None:
        """Take one reading; a block lies between two, unless the second is `after_pause`."""
        self._readings.append(
            _Reading(
                after_pause,
                time.perf_counter_ns(),
                self._read("run_queue_wait", self._waits_ns),
                self._read("steal", self._steal_ms),
                self._read("pressure", self._pressure_ms),
                self._read("throttled", self._throttled_ms),
            )
        )

    def _read(self, name: str, counter: Callable[[], T]) -> T | None:
        try:
            return counter()
        except (OSError, ValueError, IndexError, StopIteration) as error:
            self._unknown[name] = f"{type(error).__name__}: {error}"
            return None

    def _waits_ns(self) -> dict[str, int]:
        """Time each thread was ready to run and did not; field 2 of schedstat."""
        waits = {}
        for task in (self._proc / "self/task").iterdir():
            try:
                waits[task.name] = int((task / "schedstat").read_text().split()[1])
            except (FileNotFoundError, ProcessLookupError):
                if not (self._proc / "self/schedstat").exists():
                    raise
                continue  # the thread has ended
        return waits

    def _steal_ms(self) -> float:
        """Time in which the hypervisor ran others on the allowed CPUs."""
        lines = (line.split() for line in (self._proc / "stat").read_text().splitlines())
        ticks = sum(int(words[8]) for words in lines if words and words[0] in self._cpus)
        return ticks * 1000 / os.sysconf("SC_CLK_TCK")

    def _pressure_ms(self) -> float:
        """Time in which some task of the machine waited for a CPU (pressure stall)."""
        some = (self._proc / "pressure/cpu").read_text().splitlines()[0]
        return int(some.rpartition("total=")[2]) / 1000

    def _throttled_ms(self) -> float:
        """Time in which the cgroup had used up its quota."""
        if self._cgroup is None:
            raise OSError("no cgroup with a CPU controller")
        words = (self._cgroup / "cpu.stat").read_text().split()
        values = dict(zip(words[::2], words[1::2], strict=True))
        if "throttled_usec" in values:
            return int(values["throttled_usec"]) / 1000
        return int(values.get("throttled_time", "0")) / 1e6

    def report(self) -> dict[str, Any]:
        """Changes over all blocks, in milliseconds and as shares.

        Shares are of the wall time of `threads` threads (pressure: of the wall time).
        Raises ValueError after fewer than two looks.
        """
        pairs = [
            (before, after) for before, after in pairwise(self._readings) if not after.after_pause
        ]
        if not pairs:
            raise ValueError("two looks make a block")
        whole = self._over(pairs)
        blocks = [self._over([pair])["run_queue_wait_share"] for pair in pairs]
        settings = {"governor": governor(self._sys), "turbo": turbo(self._sys)}
        untold = {
            name: "no cpufreq in /sys, as in a virtual machine"
            for name, value in settings.items()
            if value is None
        }
        return (
            whole
            | settings
            | {
                "threads": self._threads,
                "run_queue_wait_share_by_block": blocks,
                "affinity": affinity(),
                "virtual_machine": virtual_machine(self._proc),
                "cgroup_cpus": cgroup_cpus(self._proc, self._sys),
                "unknown": self._unknown | untold,
            }
        )

    def _over(self, pairs: Sequence[tuple[_Reading, _Reading]]) -> dict[str, Any]:
        """Changes within all these blocks together."""
        wall_ms = sum(after.at_ns - before.at_ns for before, after in pairs) / 1e6

        def passed(name: str) -> float | None:
            """Null if a counter could not be read at any moment."""
            total = 0.0
            for before, after in pairs:
                first, last = getattr(before, name), getattr(after, name)
                if first is None or last is None:
                    return None
                total += last - first
            return total

        waits = [_waited_ms(before.wait_ns, after.wait_ns) for before, after in pairs]
        known = [ms for ms in waits if ms is not None]
        lost = {
            "run_queue_wait": sum(known) if len(known) == len(waits) else None,
            "steal": passed("steal_ms"),
            "throttled": passed("throttled_ms"),
        }
        shares = {
            f"{name}_share": None if ms is None else ms / (wall_ms * self._threads)
            for name, ms in lost.items()
        }
        pressure_ms = passed("pressure_ms")
        return {
            "wall_ms": wall_ms,
            **{f"{name}_ms": ms for name, ms in lost.items()},
            **shares,
            "pressure_share": None if pressure_ms is None else pressure_ms / wall_ms,
        }


def _waited_ms(before: dict[str, int] | None, after: dict[str, int] | None) -> float | None:
    """How long the threads waited between two readings; null without one of them."""
    if before is None or after is None:
        return None
    return sum(ns - before.get(task, 0) for task, ns in after.items()) / 1e6
