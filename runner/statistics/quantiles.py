"""Quantiles with intervals that account for correlation between successive samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
CLOCK_DIGITS = 6  # clock resolution in digits of milliseconds; smaller differences are ties
INDEPENDENT = 1.05  # below this correlation time the exact binomial ranks are used
MIN_PARTS, MAX_PARTS = 4, 20  # into which a run is divided
MIN_IN_PARTS, IN_PART = 20, 60  # least samples of a run, and usual samples of a part
SIGNIFICANT = 1.645  # of a normal score
LONGEST = 0.2  # of the latencies of a queue, whose clustering is that of its tail
NO_SIGN = 0.75  # p of the analysis of variance between parts, above which they count as equal
TAILS = (0.90, 0.95, 0.99, 0.999)  # one-sided 95 % bounds; the others have two-sided ones


def samples_needed(q: float) -> int:
    """Fewest independent samples whose largest bounds the quantile: 1 - q^n >= 0.95.

    29 for a p90, 59 for a p95, 299 for a p99, 2995 for a p99.9. Source: order statistics.
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(q))


def correlation_time(values: Sequence[float] | np.ndarray) -> float:
    """Correlation time: 1 + 2 * the sum of autocorrelations, in samples.

    Summed in pairs while a pair is positive (Geyer's initial positive sequence); 1 for
    independent, constant or fewer than four values, never below.
    """
    centred = np.asarray(values, dtype=float)
    n = len(centred)
    centred = centred - centred.mean()
    power = float(centred @ centred)
    if n < 4 or power <= 0:
        return 1.0
    spectrum = np.fft.rfft(centred, 2 * n)
    correlations = np.fft.irfft(spectrum * spectrum.conj())[: n // 2 * 2] / power
    pairs = correlations.reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    positive = pairs[: ends[0] if len(ends) else len(pairs)]
    tau = 2 * positive.sum() - 1
    return float(min(max(tau, 1.0), n))


def autocorrelation(values: np.ndarray) -> float:
    """Correlation of neighbours; 0 if not significant (one-sided, 5 %) or if they hardly vary."""
    centred = values - values.mean()
    power = float(centred @ centred)
    found = float(centred[1:] @ centred[:-1]) / power if power > 0 else 0.0
    return found if found > SIGNIFICANT / math.sqrt(len(values)) else 0.0


def clustering(values: Sequence[float] | np.ndarray, over: np.ndarray | None = None) -> float:
    """The correlation time of long values in a queue, in samples: of the longest fifth.

    Or of the indicator `over`, if that is larger.
    """
    known = np.asarray(values, dtype=float)
    fifth = correlation_time((known > np.quantile(known, 1 - LONGEST)).astype(float))
    return fifth if over is None else max(fifth, correlation_time(over.astype(float)))


def clock_step(samples: Sequence[float] | np.ndarray) -> float:
    """The step of a coarse clock, of which all samples are multiples; 0 if there is none.

    It needs three samples of a value, and fewer distinct values than a third of the samples.
    """
    values = np.round(np.asarray(samples, dtype=float), CLOCK_DIGITS)
    levels = np.unique(values)
    if len(levels) < 2 or 3 * len(levels) > len(values):
        return 0.0
    step = float(np.diff(levels).min())
    multiples = levels / step
    return step if np.allclose(multiples, np.round(multiples), atol=1e-3) else 0.0


def independent(samples: Sequence[float] | np.ndarray) -> float:
    """The effective number of independent samples."""
    return len(samples) / correlation_time(samples)


def ranks(n: int, q: float, tau: float = 1.0) -> tuple[int, int]:
    """Ranks (from 1) of the sorted samples between which the quantile lies; may fall outside 1..n.

    Exact binomial ranks for independent samples (n = 100, q = 0.5: 40 and 61), Student's t over
    the n / tau independent ones otherwise. 95 % from both sides; a tail quantile has 95 % on
    each side.
    """
    outside = 1 - CONFIDENCE if q in TAILS else (1 - CONFIDENCE) / 2
    if tau <= INDEPENDENT:
        lower, upper = stats.binom.ppf([outside, 1 - outside], n, q)
        return int(lower), int(upper) + 1
    wide = stats.t.ppf(1 - outside, max(n / tau - 1, 1))  # tau itself is an estimate
    half = wide * math.sqrt(n * q * (1 - q) * tau)
    return math.floor(n * q - half), math.ceil(n * q + half) + 1


def interval(
    samples: Sequence[float] | np.ndarray, q: float, tau: float | None = None
) -> tuple[float, float] | None:
    """The 95 % interval of a quantile, in the samples' unit; None if they can't bound it.

    With a known correlation time `tau`, by that alone. `samples` in run order, taken as equal
    below a nanosecond's difference in milliseconds.
    Source: order statistics; dependence by the correlation time of the indicator
    1{x <= quantile}, and, for all but the tails, by the spread between parts of the run.
    """
    values = np.asarray(samples, dtype=float)
    if tau is not None:
        return _at_ranks(values, ranks(len(values), q, tau))
    text = np.round(values, CLOCK_DIGITS)
    below = text <= np.quantile(text, q)
    # few samples are in a tail, so a correlation there counts only if significant
    depends = q not in TAILS or autocorrelation(below.astype(float)) > 0
    bounds = _at_ranks(values, ranks(len(values), q, correlation_time(below) if depends else 1.0))
    if q in TAILS:
        return bounds
    return _widened(bounds, values, below.astype(float), lambda part: float(np.quantile(part, q)))


def _at_ranks(values: np.ndarray, ends: tuple[int, int]) -> tuple[float, float] | None:
    lower, upper = ends
    if lower < 1 or upper > len(values):
        return None
    ordered = np.sort(values)
    return float(ordered[lower - 1]), float(ordered[upper - 1])


def _widened(
    bounds: tuple[float, float] | None,
    values: np.ndarray,
    compared: np.ndarray,
    figure: Callable[[np.ndarray], float],
) -> tuple[float, float] | None:
    """Bounds widened by the differences between parts of the run.

    Correlation over tens of samples (clocks that hop between levels, a neighbour that comes
    and goes) makes the correlation time an underestimate: too few such periods fit a run. The
    parts are long enough to be nearly independent, and Student's t accounts for their number.
    They are ignored only if `compared` shows no sign of a difference between them, so that
    independent samples keep a narrow interval: benchmarks/flags.py, docs/verdict.md.
    """
    if len(values) < MIN_IN_PARTS or np.ptp(compared) == 0:
        return bounds
    count = min(max(MIN_PARTS, len(values) // IN_PART), MAX_PARTS)
    parts = np.array_split(compared, count)
    if all(np.ptp(part) == 0 for part in parts):
        alike = 0.0  # each part entirely below or above: the largest possible difference
    else:
        alike = float(stats.f_oneway(*parts).pvalue)
    if alike > NO_SIGN and bounds is not None:
        return bounds
    figures = np.array([figure(part) for part in np.array_split(values, count)])
    wide = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1))
    half, centre = wide * float(figures.std(ddof=1)) / math.sqrt(count), float(figures.mean())
    by_parts = centre - half, centre + half
    if bounds is None:
        return by_parts
    return min(bounds[0], by_parts[0]), max(bounds[1], by_parts[1])


def half_width(samples: Sequence[float] | np.ndarray) -> float | None:
    """Half of the median's 95 % interval, as a share of the median; None without one."""
    bounds = interval(samples, 0.5)
    median = float(np.median(samples))
    return None if bounds is None or median <= 0 else (bounds[1] - bounds[0]) / 2 / median


def mean_interval(samples: Sequence[float] | np.ndarray) -> tuple[float, float] | None:
    """The 95 % interval of the mean, by t over the effective number of independent samples.

    Widened like that of a quantile where parts of the run may differ, and never narrower than the
    step of a coarse clock, which rounds all samples alike.
    """
    values = np.asarray(samples, dtype=float)
    worth = independent(values)
    bounds = None
    if worth >= 3:
        error = values.std(ddof=1) / math.sqrt(worth)
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, worth - 1) * error)
        half = max(half, clock_step(values))
        bounds = float(values.mean()) - half, float(values.mean()) + half
    return _widened(bounds, values, values, lambda part: float(part.mean()))
