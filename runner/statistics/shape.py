"""Structure in a series of samples: a slow start, a drift, two modes.

The rules and their error rates (detections and false alarms) are in
docs/verdict.md; benchmarks/flags.py measures them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from runner.statistics.quantiles import CLOCK_DIGITS, clock_step

CLIPPED = 0.9
FAR = 5.0  # standard deviations, by the median absolute deviation
TENTH = 1.1  # times the median: least level at which samples of a slow start are clipped
MIN_FOR_SHAPE = 40  # samples needed to detect drift and modes
MAX_CORRELATED = 0.95
BATCHES, TREND = 20, 0.005  # of a run, and the p below which they rise or fall
ROUNDING = 1e-9  # smaller shares are rounding errors
ORDERED = 0.95  # of the samples, on the right side of a single change


@dataclass(frozen=True)
class SlowStart:
    """The warm-up was too short; `enough` passes would have sufficed.

    `bias` is what the slow passes do to the mean of the timed part, as a share, `median_bias`
    what they do to its median.
    """

    enough: int
    bias: float
    median_bias: float


@dataclass(frozen=True)
class Modes:
    """Two clusters: their centres in milliseconds, and the share of the smaller one.

    `changed_at` is the index of the sample at which the time changed for good from one to the
    other, to the `slower_later` one or to the faster; None where they alternate.
    """

    low_ms: float
    high_ms: float
    minority: float
    changed_at: int | None
    slower_later: bool


@dataclass(frozen=True)
class Shape:
    """Detected structure, None where there is none; `drift` as a share of the median.

    Not a `sure_drift` if correlated noise also explains such a trend.
    """

    slow_start: SlowStart | None
    drift: float | None
    modes: Modes | None
    sure_drift: bool = True


def spread(values: np.ndarray) -> float:
    """A robust standard deviation: 1.4826 * the median absolute deviation."""
    return float(stats.median_abs_deviation(values, scale="normal"))


def outliers(samples: Sequence[float] | np.ndarray) -> int:
    """How many samples lie more than 5 robust standard deviations from the median."""
    values = np.asarray(samples, dtype=float)
    return int((abs(values - np.median(values)) > FAR * spread(values)).sum())


def steady_from(samples: Sequence[float] | np.ndarray, least_far: float = 1.0) -> int:
    """Index at which a series has settled: MSER's truncation point, at most half the series.

    argmin over d <= n/2 of Var(x[d:]) / (n - d), after samples above the median + 5 robust
    standard deviations of the second half were clipped, at `least_far` times it at least.
    Source: White, 1997.
    """
    values = np.round(np.asarray(samples, dtype=float), CLOCK_DIGITS)
    n = len(values)
    second = values[n // 2 :]
    middle = np.median(second)
    far = max(middle + FAR * spread(second), np.quantile(second, CLIPPED), least_far * middle)
    clipped = np.minimum(values, far) if far > middle else values
    centred = clipped - clipped[n // 2 :].mean()
    left = np.arange(n, 0, -1)  # samples that are left from each index on
    sums = np.cumsum(centred[::-1])[::-1]
    squares = np.cumsum(centred[::-1] ** 2)[::-1]
    variances = squares / left - (sums / left) ** 2
    errors = (variances / left)[: n // 2 + 1]
    return int(np.argmax(errors <= errors.min() + ROUNDING * errors.max()))  # the first of equals


def slow_start(samples: Sequence[float] | np.ndarray, warmup: int) -> SlowStart | None:
    """Whether the first timed samples are still part of the warm-up.

    `samples` are the warm-up's and the timed ones. Raised when the series settles more
    than two samples after the warm-up's end and the medians before and after that point
    differ by more than 2 %. A `bias` below zero means that the first samples are the faster ones.
    """
    values = np.asarray(samples, dtype=float)
    if len(values) - warmup < 5:
        return None
    for settled in (steady_from(values), steady_from(values, TENTH)):
        early, steady = values[warmup:settled], values[settled:]
        median = np.median(steady)
        if settled > warmup + 2 and abs(np.median(early) - median) > 0.02 * median:
            break
    else:
        return None
    enough = settled  # MSER overshoots a little: go back to the last sample that differs
    while enough > warmup + 1 and abs(values[enough - 1] - median) <= 3 * spread(steady):
        enough -= 1
    timed = values[warmup:]
    bias, median_bias = timed.mean() / steady.mean() - 1, np.median(timed) / median - 1
    return SlowStart(enough, float(bias), float(median_bias))


def drift(samples: Sequence[float] | np.ndarray) -> float | None:
    """The change from the first to the last sample, as a share of the median; None without one.

    Theil-Sen's slope over 20 batch medians, when it is above 2 % in all and Mann-Kendall's
    test calls it a trend (two-sided p < 0.005).
    """
    values = np.asarray(samples, dtype=float)
    if len(values) < MIN_FOR_SHAPE:
        return None
    medians = np.array([np.median(batch) for batch in np.array_split(values, BATCHES)])
    middle = np.median(medians)
    if middle <= 0 or np.ptp(medians) == 0:
        return None
    trend = stats.kendalltau(np.arange(BATCHES), medians)
    change = float(stats.theilslopes(medians).slope * (BATCHES - 1) / middle)
    return change if abs(change) > 0.02 and trend.pvalue < TREND else None


def is_sure(samples: Sequence[float] | np.ndarray) -> bool:
    """Whether a drift stays significant after correcting for autocorrelation.

    Mann-Kendall's test over 20 batch medians, the variance corrected for the first
    autocorrelation of the ranks about the trend, as if each were that of the one before.
    Source: Hamed and Rao, 1998.
    """
    values = np.asarray(samples, dtype=float)
    n, places = BATCHES, np.arange(BATCHES)
    medians = np.array([np.median(batch) for batch in np.array_split(values, n)])
    signs = np.sign(medians[None, :] - medians[:, None])
    score = float(np.triu(signs, 1).sum())
    level = stats.rankdata(medians - stats.theilslopes(medians).slope * places)
    level = level - level.mean()
    first = float(level[1:] @ level[:-1]) / float(level @ level) if np.ptp(level) > 0 else 0.0
    first = min(max((n * first + 1) / (n - 4), 0.0), MAX_CORRELATED)  # Kendall, 1954: its bias
    variance = n * (n - 1) * (2 * n + 5) / 18 * (1 + first) / (1 - first)
    return bool(2 * stats.norm.sf((abs(score) - 1) / np.sqrt(variance)) < TREND)


def modes(samples: Sequence[float] | np.ndarray, step_ms: float = 0.0) -> Modes | None:
    """Two clusters where the samples are not one, else None.

    Neighbouring steps of a coarse clock, of `step_ms`, are one.

    The split of the sorted samples (1st to 99th percentile) with the least variance within,
    each side more than a tenth; two modes when the sides' medians lie 4 robust standard
    deviations and 3 % apart, with fewer samples half-way than at the upper one.
    Sources: Otsu, 1979; Ashman, 1994.
    """
    values = np.asarray(samples, dtype=float)
    n = len(values)
    if n < MIN_FOR_SHAPE:
        return None
    ordered = np.sort(values)[n // 100 : n - n // 100]
    n = len(ordered)
    count = np.arange(1, n)
    sums = np.cumsum(ordered - ordered.mean())[:-1]
    explained = sums**2 / count + sums**2 / (n - count)  # variance that is not within the sides
    explained[np.minimum(count, n - count) <= 0.1 * n] = -1
    split = int(np.argmax(explained)) + 1
    low, high = ordered[:split], ordered[split:]
    low_ms, high_ms = float(np.median(low)), float(np.median(high))
    within = np.sqrt((spread(low) ** 2 + spread(high) ** 2) / 2)
    gap_ms = high_ms - low_ms
    if gap_ms <= max(4.0 * within, 0.03 * low_ms, 1.5 * step_ms):
        return None
    upper = int((ordered > (low_ms + high_ms) / 2).sum())
    if min(upper, n - upper) <= 0.1 * n:
        return None  # a few spikes, to which the split had to add others
    # a long tail has no dip before its far end: as wide a window there must hold twice as many
    between = abs(ordered - (low_ms + high_ms) / 2) <= gap_ms / 6
    at_the_end = abs(ordered - high_ms) <= gap_ms / 6
    if 2 * between.sum() > at_the_end.sum():
        return None
    slow = values > (low_ms + high_ms) / 2
    changed_at = _single_change(slow)
    slower_later = changed_at is not None and bool(slow[changed_at:].mean() > 0.5)
    return Modes(low_ms, high_ms, min(len(low), len(high)) / n, changed_at, slower_later)


def _single_change(slow: np.ndarray) -> int | None:
    """Index from which on the samples are of the other kind; None where they alternate."""
    slow_before = np.cumsum(slow)[:-1]
    index = np.arange(1, len(slow))
    slower = index - slow_before + slow.sum() - slow_before  # right, if it became slower there
    right = np.maximum(slower, len(slow) - slower)
    best = int(np.argmax(right))
    return best + 1 if right[best] >= ORDERED * len(slow) else None


def shape_of(samples: Sequence[float] | np.ndarray, warmup: int) -> Shape:
    """Detect all three; drift and modes are searched in the settled part.

    A series that still drifts there, or that begins fast, has no slow start: more warm-up would
    not help it. What begins fast drifts.
    """
    values = np.asarray(samples, dtype=float)
    slow = slow_start(values, warmup)
    rest = values[slow.enough if slow else warmup :]
    change = drift(rest)
    if slow and (change is not None or slow.bias < 0):
        if change is None:
            change = float(np.median(rest) / np.median(values[warmup : slow.enough]) - 1)
        slow, rest = None, values[warmup:]
    sure = change is None or len(rest) < MIN_FOR_SHAPE or is_sure(rest)
    return Shape(slow, change, modes(rest, clock_step(values)), sure)


def warmup_needed(samples: Sequence[float] | np.ndarray) -> int | None:
    """The number of slow first passes; None if the series had not settled half-way.

    By `slow_start`, or otherwise by the first samples that are outliers.
    """
    values = np.asarray(samples, dtype=float)
    half = len(values) // 2
    slow = slow_start(values, 0)
    if slow is not None and slow.bias > 0:
        return slow.enough if steady_from(values) < half else None
    far = values > np.median(values[half:]) + FAR * spread(values[half:])
    return int(np.argmin(far[:half])) if not far[:half].all() else None
