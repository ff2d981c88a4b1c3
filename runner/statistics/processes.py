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


def combine(medians_ms: Sequence[float]) -> Processes:
    """Combine the medians of several processes by their logarithms, with Student's t.

    The interval within one process is too narrow to compare by: on a busy machine processes
    differ several times more than their samples say. Raises ValueError without a median, or
    for one that is not above 0.
    """
    if not medians_ms or min(medians_ms) <= 0:
        raise ValueError("processes are combined by the logarithms of medians above 0")
    logs = np.log(np.asarray(medians_ms, dtype=float))
    n, centre = len(logs), float(logs.mean())
    if n == 1:
        return Processes(1, math.exp(centre), None, None)
    deviation = float(logs.std(ddof=1))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * deviation / math.sqrt(n)
    bounds = math.exp(centre - half), math.exp(centre + half)
    return Processes(n, math.exp(centre), bounds, math.expm1(deviation))
