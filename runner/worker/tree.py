"""The processes that a worker's network has started, including those in other sessions."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36  # of Linux's prctl
GONE_S = 5.0  # within which a killed process has ended, unless it waits for a device


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, as a daemon's does (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def descendants(pid: int) -> list[psutil.Process]:
    """All processes below a process, also those in sessions of their own."""
    try:
        if not Path(f"/proc/{pid}/task/{pid}/children").exists():
            return list(psutil.Process(pid).children(recursive=True))  # looks at every process
        found = [psutil.Process(child) for child in _children(pid)]
    except psutil.Error:
        return []
    return [*found, *(below for child in found for below in descendants(child.pid))]


def _children(pid: int) -> list[int]:
    """The children from the kernel's list for each thread, which takes microseconds."""
    found = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += [int(child) for child in (thread / "children").read_text().split()]
    return [child for child in found if psutil.pid_exists(child)]


def end(processes: Sequence[psutil.Process]) -> None:
    """Kill processes that still run, and wait until they are gone.

    A reused pid is left alone.
    """
    for one in processes:
        with suppress(psutil.Error):
            one.kill()
    psutil.wait_procs(processes, timeout=GONE_S)
