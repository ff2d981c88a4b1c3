"""The kernel's OOM killer, which ends processes when memory runs out."""

from __future__ import annotations

from pathlib import Path

VMSTAT = Path("/proc/vmstat")


def oom_kills() -> int | None:
    """How many processes it has killed since boot; None if unknown."""
    try:
        lines = VMSTAT.read_text().splitlines()
    except OSError:
        return None
    counts = dict(line.split(" ", 1) for line in lines)
    return int(counts["oom_kill"]) if "oom_kill" in counts else None
