"""When a step began: the nights on which it may have begun, by likelihood."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from runner.statistics.location import huber
from runner.statistics.quantiles import CONFIDENCE

FAR = 3.5  # spreads, beyond which a night is clipped
FLOOR = 1e-4  # the least spread of a night's value, as a share


def onset(values: np.ndarray) -> tuple[int, int] | None:
    """First and last index at which a rise that lasts to the end may have begun.

    `values` are logarithms, one a night. An index is as likely as two levels, split there, fit
    the values; those that a likelihood ratio can't exclude at 95 % are the answer. None if
    nothing has risen.
    """
    # estimated from neighbours, which a step or a spike hardly affects
    apart = stats.median_abs_deviation(np.diff(values), scale="normal") if len(values) > 3 else 0
    spread = max(float(apart) / math.sqrt(2), FLOOR)
    misfits = {}
    for at in range(1, len(values)):
        (before, misfit), (after, more) = (
            _level(side, spread) for side in (values[:at], values[at:])
        )
        if after > before:
            misfits[at] = misfit + more
    if not misfits:
        return None
    limit = min(misfits.values()) + float(stats.chi2.ppf(CONFIDENCE, 1))
    likely = [at for at, misfit in misfits.items() if misfit <= limit]
    return likely[0], likely[-1]


def _level(values: np.ndarray, spread: float) -> tuple[float, float]:
    """The level of values, and the misfit."""
    level = float(huber(values[None], np.array([spread]))[0])
    off = np.clip((values - level) / spread, -FAR, FAR)
    return level, float((off**2).sum())
