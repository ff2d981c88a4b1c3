"""Is the number good? Flags are values with a code, a figure and an advice.

Judged here so far is what a timing method and a missing warm-up do to a number;
a trial without a flag is not called valid before its noise has been judged too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runner.record import Outcome
from runner.statistics import Summary
from runner.trial import Trial


@dataclass(frozen=True)
class Flag:
    """One thing wrong with a number: `level` is suspect or invalid."""

    code: str
    level: str
    figure: float | None
    advice: str


def flags(trial: Trial, outcome: Outcome, summary: Summary) -> Iterator[Flag]:
    """What is wrong with a completed trial's numbers."""
    if trial.timing.method == "naive" and trial.device.partition(":")[0] != "cpu":
        hidden_ms = outcome.series.get("hidden_device_ms")
        yield Flag(
            "NO_SYNC",
            "invalid",
            hidden_ms,
            f"not synchronized: {hidden_ms or 0:.2f} ms of device work still ran when the last "
            "call returned; use timing.method=event",
        )
    if outcome.effective.get("finite") is False:
        yield Flag(
            "NOT_FINITE",
            "suspect",
            None,
            "the output holds NaN or infinity, on which a device may be faster or slower than on "
            "real data; look at the network, its weights and input.fill",
        )
    if trial.timing.warmup == 0:
        bias = summary.mean_ms / summary.p50_ms - 1 if summary.p50_ms else 0.0
        yield Flag(
            "NO_WARMUP",
            "suspect",
            summary.first_ms,
            f"no warm-up: the first iteration took {summary.first_ms:.2f} ms against a median of "
            f"{summary.p50_ms:.2f}, the mean is {bias:+.1%} off the median; raise timing.warmup",
        )


def verdict_of(found: list[Flag]) -> str | None:
    """`invalid` or `suspect` by the worst flag; None, not judged, when there is none."""
    levels = {flag.level for flag in found}
    return next((level for level in ("invalid", "suspect") if level in levels), None)
