"""Several processes of one trial: the process is the unit, its log median the value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from runner.statistics.quantiles import CONFIDENCE


@dataclass(frozen=True)
class Processes:
    """`n` processes: their typical median in milliseconds, its 95 % interval, their spread.

    `spread` is the standard deviation between processes, as a share. Interval and spread are
    None for a single process.
    """

    n: int
    median_ms: float
    ci_ms: tuple[float, float] | None
    spread: float | None


@dataclass(frozen=True)
class Ratio:
    """A speed-up: `value` and its 95 % interval, None if a side has one process."""

    value: float
    ci: tuple[float, float] | None


def speed_up(before_ms: Sequence[float], after_ms: Sequence[float]) -> Ratio:
    """The ratio of two trials by the medians of their processes: Welch's t on logarithms.

    Raises ValueError without a median on a side, or for one that is not above 0.
    """
    if not before_ms or not after_ms or min(*before_ms, *after_ms) <= 0:
        raise ValueError("processes are compared by the logarithms of medians above 0")
    before, after = np.log(np.asarray(before_ms)), np.log(np.asarray(after_ms))
    change = float(before.mean() - after.mean())
    if min(len(before), len(after)) < 2:
        return Ratio(math.exp(change), None)
    error, freedom = welch(before, after)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Ratio(math.exp(change), (math.exp(change - half), math.exp(change + half)))


def welch(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Standard error of the difference of two means, and its degrees of freedom.

    By Welch and Satterthwaite, for at least two values on each side.
    """
    parts = np.array([side.var(ddof=1) / len(side) for side in (before, after)])
    if not parts.any():  # then the degrees of freedom are undefined
        return 0.0, float(len(before) + len(after) - 2)
    freedom = parts.sum() ** 2 / (parts**2 / [len(before) - 1, len(after) - 1]).sum()
    return math.sqrt(parts.sum()), float(freedom)


def combine(medians_ms: Sequence[float]) -> Processes:
    """Combine the medians of several processes on the log scale, with Student's t.

    The interval within one process is too narrow to compare by: on a busy machine processes
    differ several times more than their samples say. Raises ValueError without a median, or
    for one that is not above 0.
    """
    if not medians_ms or min(medians_ms) <= 0:
        raise ValueError("processes are combined by the logarithms of medians above 0")
    if len(medians_ms) == 1:
        return Processes(1, float(medians_ms[0]), None, None)
    logs = np.log(np.asarray(medians_ms, dtype=float))
    n, centre = len(logs), float(logs.mean())
    deviation = float(logs.std(ddof=1))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * deviation / math.sqrt(n)
    bounds = math.exp(centre - half), math.exp(centre + half)
    return Processes(n, math.exp(centre), bounds, math.expm1(deviation))
