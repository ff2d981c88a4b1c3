"""Quantiles with intervals that know of the dependence between successive samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
CLOCK_DIGITS = 6  # of milliseconds, that clocks tell; what differs less is equal
INDEPENDENT = 1.05  # below this correlation time the exact binomial ranks are used
FEWEST_PARTS, MOST_PARTS = 4, 20  # of a run that is looked at in parts,
LEAST_IN_PARTS, IN_PART = 20, 60  # samples it must have, and those of a part if there are enough
SIGNIFICANT = 1.645  # of a normal score
NO_SIGN = 0.75  # p of the analysis of variance between the parts, above which they are alike
TAILS = (0.90, 0.95, 0.99)  # bounded from above at 95 %; the others from both sides


def samples_needed(q: float) -> int:
    """Fewest independent samples whose largest bounds the quantile: 1 - q^n >= 0.95.

    29 for a p90, 59 for a p95, 299 for a p99. Source: order statistics.
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(q))


def correlation_time(values: Sequence[float] | np.ndarray) -> float:
    """Samples that one independent sample is worth: 1 + 2 * the sum of autocorrelations.

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
    """Of neighbours; 0 where they show no significant one (one-sided, 5 %), or hardly vary."""
    centred = values - values.mean()
    power = float(centred @ centred)
    found = float(centred[1:] @ centred[:-1]) / power if power > 0 else 0.0
    return found if found > SIGNIFICANT / math.sqrt(len(values)) else 0.0


def clock_step(samples: Sequence[float] | np.ndarray) -> float:
    """The step of a coarse clock, of which all samples are multiples; 0 where there is none.

    Three samples of a value are seen for it, and fewer values than a third of the samples.
    """
    values = np.round(np.asarray(samples, dtype=float), CLOCK_DIGITS)
    levels = np.unique(values)
    if len(levels) < 2 or 3 * len(levels) > len(values):
        return 0.0
    step = float(np.diff(levels).min())
    multiples = levels / step
    return step if np.allclose(multiples, np.round(multiples), atol=1e-3) else 0.0


def independent(samples: Sequence[float] | np.ndarray) -> float:
    """How many independent samples these are worth."""
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


def interval(samples: Sequence[float] | np.ndarray, q: float) -> tuple[float, float] | None:
    """The 95 % interval of a quantile, in the samples' unit; None if they can't bound it.

    `samples` in run order, taken as equal below a nanosecond's difference in milliseconds.
    Source: order statistics; dependence by the correlation time of the indicator
    1{x <= quantile}, and, for all but the tails, by the spread between parts of the run.
    """
    values = np.asarray(samples, dtype=float)
    told = np.round(values, CLOCK_DIGITS)
    below = told <= np.quantile(told, q)
    # few samples lie in a tail: a correlation there that is not significant is chance
    depends = q not in TAILS or autocorrelation(below.astype(float)) > 0
    lower, upper = ranks(len(values), q, correlation_time(below) if depends else 1.0)
    bounds = None
    if lower >= 1 and upper <= len(values):
        ordered = np.sort(values)
        bounds = float(ordered[lower - 1]), float(ordered[upper - 1])
    if q in TAILS:
        return bounds
    return _widened(bounds, values, below.astype(float), lambda part: float(np.quantile(part, q)))


def _widened(
    bounds: tuple[float, float] | None,
    values: np.ndarray,
    compared: np.ndarray,
    figure: Callable[[np.ndarray], float],
) -> tuple[float, float] | None:
    """Bounds that also hold what the parts of the run say of a figure, where these may differ.

    What correlates over tens of samples (clocks that hop between levels, a neighbour that comes
    and goes) makes the correlation time an underestimate: too few such stays fit into a run. The
    parts are long enough to be nearly independent, and Student's t knows that they are few.
    They are left out only where `compared` shows no sign of a difference between them, so that
    independent samples keep a narrow interval: benchmarks/flags.py, docs/verdict.md.
    """
    if len(values) < LEAST_IN_PARTS or np.ptp(compared) == 0:
        return bounds
    count = min(max(FEWEST_PARTS, len(values) // IN_PART), MOST_PARTS)
    parts = np.array_split(compared, count)
    if all(np.ptp(part) == 0 for part in parts):
        alike = 0.0  # each part all below or all above: nothing could differ more
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
    """Half of the median's 95 % interval, as a share of the median; None if there is none."""
    bounds = interval(samples, 0.5)
    median = float(np.median(samples))
    return None if bounds is None or median <= 0 else (bounds[1] - bounds[0]) / 2 / median


def mean_interval(samples: Sequence[float] | np.ndarray) -> tuple[float, float] | None:
    """The 95 % interval of the mean, by t over the independent samples there are.

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
