"""How a time grows along an axis: an exponent, and the knee of a curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from runner.statistics.quantiles import CONFIDENCE

NEAR_BEST = 0.95  # of the best throughput, which the knee must reach


@dataclass(frozen=True)
class PowerLaw:
    """Time ~ place ** `exponent`, and its 95 % interval.

    None for two places only, or where all times are the same.
    """

    exponent: float
    ci: tuple[float, float] | None


def power_law(places: Sequence[float], values: Sequence[float]) -> PowerLaw | None:
    """Fit by least squares of logarithms; None below two places, or if a value is not above 0.

    Proportional to the pixels is 2 for an image side, and 1 for a batch.
    """
    x, y = np.asarray(places, dtype=float), np.asarray(values, dtype=float)
    if len(set(places)) < 2 or min(*x, *y) <= 0:
        return None
    fit = stats.linregress(np.log(x), np.log(y))
    if len(x) < 3 or np.ptp(y) == 0:
        return PowerLaw(float(fit.slope), None)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(x) - 2)) * fit.stderr
    return PowerLaw(float(fit.slope), (float(fit.slope - half), float(fit.slope + half)))


def knee(places: Sequence[int], rates: Sequence[float], near: float = NEAR_BEST) -> int:
    """The first place, in their order, whose rate is near the best. Raises ValueError for none."""
    enough = near * max(rates)
    return next(place for place, rate in zip(places, rates, strict=True) if rate >= enough)
