"""Flags of the GPU: throttling and other processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runner.contract import Level
from runner.verdict.flag import Case, Flag

SLOW_CLOCK, CLOCK_RANGE = 0.75, 0.05
SUSPECT_HELD, INVALID_HELD = 0.01, 0.05  # of the timed part, in which a limit was active
SLOWDOWNS = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
LIMITS = {0x04: "power cap", 0x10: "sync boost"}
HARD_VIOLATIONS, SOFT_VIOLATIONS = ("thermal",), ("power", "sync_boost", "board_limit")


def of_gpu(case: Case) -> Iterator[Flag]:
    """All GPU flags of a trial, if it ran on CUDA."""
    if case.trial.device_kind == "cuda":
        yield from throttled(case.gpu)
        yield from shared(case.gpu)


def throttled(gpu: dict[str, Any]) -> Iterator[Flag]:
    """Throttling, from the report of a GpuWatch."""
    clocks, fastest = gpu.get("sm_clock_mhz"), gpu.get("max_sm_clock_mhz")
    if gpu.get("event_reasons") is None or not clocks or not fastest:
        text = gpu.get("unknown") or {}
        why = "; ".join(f"{name}: {reason}" for name, reason in text.items()) or "NVML not read"
        yield Flag(
            "NOT_CHECKED",
            Level.SUSPECT,
            None,
            "",
            f"GPU throttling can't be measured here ({why})",
            "measure where NVML works to be sure",
        )
    elif set((gpu.get("violation_ns") or {"none": 0}).values()) == {None}:
        yield Flag(
            "NOT_CHECKED",
            Level.NOTE,
            None,
            "",
            "the duration of clock limits is unknown: this GPU does not count violations",
            "clocks and limits were polled instead",
        )
    hard, soft = _held_back(gpu)
    speed = min(clocks) / fastest if clocks and fastest else None
    if hard or soft:
        yield Flag(
            "THROTTLED",
            Level.INVALID if hard else Level.SUSPECT,
            speed,
            "% of the fastest clock",
            f"the GPU was throttled ({', '.join(hard + soft)})",
            "improve cooling, raise the power limit or lock the clocks, and warm up longer",
        )
    elif clocks and speed is not None and speed < SLOW_CLOCK:
        yield Flag(
            "LOW_CLOCK",
            Level.NOTE,
            speed,
            "% of the fastest clock",
            f"the SM clock was {min(clocks)} of {fastest} MHz under load without throttling: "
            "locked, or not needed",
            "the number is valid for this clock",
        )


def _held_back(gpu: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The reasons that make the number invalid, and those that make it suspect."""
    reasons = (gpu.get("event_reasons") or 0) | (gpu.get("event_reasons_between") or 0)
    hard = [name for bit, name in SLOWDOWNS.items() if reasons & bit]
    soft = [name for bit, name in LIMITS.items() if reasons & bit]
    for name, held_ns in (gpu.get("violation_ns") or {}).items():
        share = (held_ns or 0) / max(gpu.get("watched_ns") or 0, held_ns or 0, 1)
        if share > SUSPECT_HELD:
            held = f"{name} limit for {share:.0%} of the timed part"
            if name in HARD_VIOLATIONS and share > INVALID_HELD:
                hard.append(held)
            elif name in (*HARD_VIOLATIONS, *SOFT_VIOLATIONS):
                soft.append(held)
    clocks = gpu.get("sm_clock_mhz")
    if clocks and (max(clocks) - min(clocks)) / max(clocks) > CLOCK_RANGE:
        soft.append(f"SM clock between {min(clocks)} and {max(clocks)} MHz under load")
    return hard, soft


def shared(gpu: dict[str, Any]) -> Iterator[Flag]:
    """Other processes on a GPU, from the report of a GpuWatch."""
    pids = gpu.get("foreign_pids")
    if pids is None:
        reason = (gpu.get("unknown") or {}).get("foreign_pids", "not read")
        yield Flag(
            "FOREIGN_PROCESS",
            Level.NOTE,
            None,
            "",
            f"other processes on the GPU can't be detected ({reason})",
            "run nvidia-smi on the host",
        )
    elif pids:
        yield Flag(
            "FOREIGN_PROCESS",
            Level.SUSPECT,
            len(pids),
            "processes",
            f"other processes compute on this GPU ({', '.join(map(str, pids[:5]))})",
            "stop them",
        )
