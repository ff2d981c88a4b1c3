"""Robust location of values with spikes: medians that skip gaps, and Huber's estimate."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import stats

TUNING = 1.5  # spreads from the centre, beyond which a value counts less
STEPS = 8
OF_HALF = 0.7413  # width of the narrowest half to standard deviation, for normal values
OF_FEW_HALVES = 2.0  # correction for few values, divided by their number
NEAR, OF_NEAR = 3.0, 1.03  # deviations that count as usual, and the correction for the rest
NORMAL = 1.4826  # median absolute deviation to standard deviation
OF_FEW = 1.3  # correction: deviations of about five values from their median are too small
MIN_SPREAD = 0.3  # of the typical spread: a few values may show none by chance


def median(values: np.ndarray, axis: int) -> np.ndarray:
    """The median along an axis, ignoring NaN; NaN if there is nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of slices that are all NaN
        found: np.ndarray = np.nanmedian(values, axis=axis)
    return found


def huber(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Huber's estimate along the last axis, ignoring NaN, for a known `scale` of each row.

    Hardly more uncertain than the mean for normal values, and affected by a spike no more
    than by a value at 1.5 spreads. Source: Huber, 1964.
    """
    centre = median(values, axis=-1)
    there = ~np.isnan(values)
    for _ in range(STEPS):
        far = abs(values - centre[..., None]) / (TUNING * scale[..., None])
        weights = np.where(there, 1 / np.maximum(far, 1), 0.0)
        total = weights.sum(axis=-1)
        with np.errstate(invalid="ignore"):
            centre = np.nansum(weights * values, axis=-1) / np.where(total > 0, total, np.nan)
    return centre


def spread_between(values: np.ndarray, many: bool) -> np.ndarray:
    """The robust spread of each trial's processes about their night; nights x trials x processes.

    With `many` trials none is assumed to be far below the typical one.
    """
    deviations = abs(values - median(values, axis=-1)[..., None])
    by_trial = np.moveaxis(deviations, 1, 0).reshape(values.shape[1], -1)
    spread = NORMAL * OF_FEW * np.nan_to_num(median(by_trial, axis=-1))
    least = MIN_SPREAD * float(np.median(spread)) if many else 0.0
    found: np.ndarray = np.maximum(spread, max(least, np.finfo(float).tiny))
    return found


def of_most(values: np.ndarray) -> tuple[float, float]:
    """Centre and standard deviation of most values; nearly half of them may be far off.

    They come from the values near the narrowest half, so that an efficient estimate does not
    pay for being robust: if many trials changed at once, the others show what is usual.
    Source: Rousseeuw and Leroy, 1988 (least median of squares, reweighted).
    """
    ordered = np.sort(values)
    count = len(ordered) // 2 + 1
    widths = ordered[count - 1 :] - ordered[: len(ordered) - count + 1]
    at = int(np.argmin(widths))
    deviation = float(widths[at]) * OF_HALF * (1 + OF_FEW_HALVES / len(ordered))
    middle = float(ordered[at] + ordered[at + count - 1]) / 2
    near = ordered[abs(ordered - middle) <= NEAR * deviation]
    if len(near) < 2:
        return middle, deviation
    return float(np.median(near)), float(near.std(ddof=1)) * OF_NEAR


def drawn_in(residuals: np.ndarray, far: float) -> np.ndarray:
    """Clip values along the first axis to `far` spreads from their centre."""
    spread = stats.median_abs_deviation(residuals, axis=0, scale="normal", nan_policy="omit")
    limit = np.where(spread > 0, far * spread, np.inf)
    found: np.ndarray = np.clip(residuals, -limit, limit)
    return found
