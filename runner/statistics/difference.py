"""Whether trials have become slower: the ratio of two sides, with the process as the unit.

The value of a process is the logarithm of its median. Many trials are judged together:
their variances are moderated, a shared shift is removed, and intervals that
the suite as a whole shows to be too narrow are widened. A few trials are judged one by one (Welch).
Sources: Smyth, 2004 (moderated t); Holm, 1979; Welch, 1947.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage, optimize, special, stats

from runner.statistics.location import NORMAL, huber, of_most
from runner.statistics.processes import welch
from runner.statistics.quantiles import CONFIDENCE

MANY = 20  # trials from which on they are judged together
SUITE = 6  # trials from which on a shared shift is attributed to the machine
NEIGHBOURS = 31  # processes in time whose common deviation is attributed to the machine
PHASE, FAR_PHASE = 7, 2.0  # processes, and spreads their median is off by 6e-5 chance at most
THRESHOLD = 0.02  # smaller changes do not matter
SUITE_SHIFT = 0.015  # from which on a shared shift is reported as a question of its own
POWER = 0.8
MIN_BESIDE_ONE = 3  # processes needed to judge a single one on the other side
MIN_TO_DRAW, DRAWN_IN, FAR = 4, 2.5, 3.5  # processes, and robust spreads
OF_SIDE = 0.4  # share of a side's processes; if so many are far off, they may be right
OF_FEW_PROCESSES = 1.5  # correction of their spread, divided by their number
INFLATION = 0.3  # of errors, divided by the processes on the smaller side
MAX_NEEDED = 200  # processes on each side; a larger need is reported as that
VERDICTS = ("slower", "faster", "inconclusive", "same")  # what to read first


@dataclass(frozen=True)
class Difference:
    """One trial, after against before.

    `ratio` is that of the times: above 1 is slower; `ci` its 95 % interval, `p` two-sided and
    adjusted for the number of trials. `detectable` is the change, as a share, that such a
    comparison detects in 4 of 5 cases; `needed` the processes on each side with which one of the
    threshold, or as large as this one, would be detected (MAX_NEEDED: that many or more). None
    if a side has a single process and the other fewer than three.
    """

    ratio: float
    verdict: str
    ci: tuple[float, float] | None = None
    p: float | None = None
    detectable: float | None = None
    needed: int | None = None


@dataclass(frozen=True)
class Differences:
    """All trials, after against before.

    `shift` is the shared change, as a share (their median), None for fewer than 20 trials;
    it has been removed from the ratios if `centred`. Intervals have been multiplied by
    `widened`.
    """

    trials: tuple[Difference, ...]
    shift: float | None = None
    centred: bool = False
    widened: float = 1.0


def differences(
    before: Sequence[np.ndarray], after: Sequence[np.ndarray], threshold: float = THRESHOLD
) -> Differences:
    """Compare trials by the log medians of their processes, an array for each trial and side.

    Changes below `threshold`, a share, do not matter. Raises ValueError for sides of
    different lengths or a trial without a process on a side.
    """
    if len(before) != len(after) or not all(len(side) for side in (*before, *after)):
        raise ValueError("each trial needs a process before and after")
    drawn = [_drawn_in(*pair) for pair in zip(before, after, strict=True)]
    before, after = [sides[0] for sides, _ in drawn], [sides[1] for sides, _ in drawn]
    doubts = np.array([doubt for _, doubt in drawn])
    changes = np.array([b.mean() - a.mean() for a, b in zip(before, after, strict=True)])
    shift = of_most(changes)[0] if len(changes) >= MANY else None
    centred = shift is not None and abs(math.expm1(shift)) < SUITE_SHIFT
    if centred:
        changes = changes - shift
    errors, freedoms, widened = _standard_errors(before, after, changes)
    errors = np.sqrt(errors**2 + doubts)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, freedoms) * errors
    least = math.log1p(threshold)
    called = stats.t.ppf(1 - (1 - CONFIDENCE) / 2 / len(changes), freedoms) * errors
    detectable = np.expm1(np.maximum(called, least) + stats.t.ppf(POWER, freedoms) * errors)
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = 2 * stats.t.sf(abs(changes) / errors, freedoms)
    adjusted = holm(np.where((errors == 0) & (changes == 0), 1.0, p_values))
    found = []
    for number, change in enumerate(changes):
        if np.isnan(errors[number]):
            found.append(Difference(math.exp(change), "inconclusive"))
            continue
        low, high = change - half[number], change + half[number]
        sizes = len(before[number]), len(after[number])
        spread = errors[number] / math.sqrt(1 / sizes[0] + 1 / sizes[1])
        found.append(
            Difference(
                ratio=math.exp(change),
                verdict=_verdict(change, low, high, adjusted[number], threshold),
                ci=(math.exp(low), math.exp(high)),
                p=float(adjusted[number]),
                detectable=float(detectable[number]),
                needed=_needed(spread, max(1.5 * least, abs(change)), least, len(changes)),
            )
        )
    shared = None if shift is None else math.expm1(shift)
    return Differences(tuple(found), shared, centred, widened)


def _verdict(change: float, low: float, high: float, p: float, threshold: float) -> str:
    slower, faster = math.log1p(threshold), math.log1p(-threshold)
    if faster < low and high < slower:
        return "same"
    if p < 1 - CONFIDENCE and not faster < change < slower:
        return "slower" if change > 0 else "faster"
    return "inconclusive"


def _standard_errors(
    before: Sequence[np.ndarray], after: Sequence[np.ndarray], changes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Standard error and degrees of freedom of each change, and the common widening factor.

    NaN where nothing determines it.
    """
    if len(before) < MANY:
        pairs = [_alone(a, b) for a, b in zip(before, after, strict=True)]
        errors, freedoms = np.array(pairs).T
        return errors * _inflation(before, after), freedoms, 1.0
    sizes = np.array([(len(a), len(b)) for a, b in zip(before, after, strict=True)])
    freedom = sizes.sum(axis=1) - 2.0
    squares = [
        ((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()
        for a, b in zip(before, after, strict=True)
    ]
    known = freedom > 0
    if not known.any():
        return np.full(len(before), math.nan), np.full(len(before), math.nan), 1.0
    variance = np.zeros(len(before))
    variance[known] = np.array(squares)[known] / freedom[known]
    prior = moderation(variance[known], freedom[known])
    moderated, freedoms = prior.applied(variance, freedom)
    errors = np.sqrt(moderated * (1 / sizes).sum(axis=1)) * _inflation(before, after)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(errors > 0, (changes - of_most(changes)[0]) / errors, 0.0)
    widened = max(1.0, of_most(scores)[1])
    return errors * widened, freedoms, widened


def _drawn_in(before: np.ndarray, after: np.ndarray) -> tuple[list[np.ndarray], float]:
    """Both sides of a trial with outlying processes drawn in towards the others of their side.

    And the factor by which the variance of the change must grow: if two of five are far off, it is
    unknown which are outliers. With fewer than four on a side nothing is drawn in.
    """
    sides = [before, after]
    if min(map(len, sides)) < MIN_TO_DRAW:
        return sides, 0.0
    off = np.concatenate([abs(side - np.median(side)) for side in sides])
    fewest = min(map(len, sides))
    spread = NORMAL * (1 + OF_FEW_PROCESSES / fewest) * float(np.median(off))
    if spread <= 0:
        return sides, 0.0
    drawn, doubt = [], 0.0
    for side in sides:
        centre = float(huber(side[None, :], np.array([spread]))[0])
        doubted = float(np.sort(abs(side - centre))[-math.ceil(OF_SIDE * len(side))])
        doubt += doubted**2 / len(side) if doubted > FAR * spread else 0.0
        drawn.append(np.clip(side, centre - DRAWN_IN * spread, centre + DRAWN_IN * spread))
    return drawn, doubt


def _inflation(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> np.ndarray:
    """By how much errors of few processes are too small, estimated from unchanged trials."""
    fewest = np.array([min(len(a), len(b)) for a, b in zip(before, after, strict=True)])
    inflation: np.ndarray = 1 + INFLATION / np.maximum(fewest, 1)
    return inflation


def _alone(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Standard error and degrees of freedom of a trial on its own.

    A single process beside several is assumed to vary as they do.
    """
    sizes = len(before), len(after)
    if min(sizes) > 1:
        return welch(before, after)
    if sum(sizes) < MIN_BESIDE_ONE + 1:
        return math.nan, math.nan
    several = before if sizes[0] > 1 else after
    return float(several.std(ddof=1)) * math.sqrt(1 + 1 / len(several)), len(several) - 1.0


@dataclass(frozen=True)
class Moderation:
    """The prior of a trial's variance from all trials: `variance`, worth `freedom` degrees."""

    variance: float
    freedom: float

    def applied(self, variance: np.ndarray, freedom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Variances moderated towards the prior, and their degrees of freedom afterwards.

        With `freedom` 0 the prior is used alone. At most the degrees of all trials together.
        """
        total = freedom.sum()
        if math.isinf(self.freedom):
            return np.full(len(variance), self.variance), np.full(len(variance), total)
        own = self.freedom + freedom
        moderated = (self.freedom * self.variance + freedom * variance) / own
        return moderated, np.minimum(own, total)


def moderation(variance: np.ndarray, freedom: np.ndarray) -> Moderation:
    """Fit the distribution of the variances of many trials by the moments of their logs.

    limma's squeezeVar: Smyth, 2004, section 6.2.
    """
    floor = 1e-5 * np.median(variance)  # a variance of 0 has no logarithm
    variance = np.maximum(variance, floor if floor > 0 else np.finfo(float).tiny)
    half = freedom / 2
    logs = np.log(variance) - special.digamma(half) + np.log(half)
    excess = float(logs.var(ddof=1) - special.polygamma(1, half).mean()) if len(logs) > 1 else 0.0
    if excess <= 0:
        return Moderation(float(np.average(variance, weights=freedom)), math.inf)
    prior = 2 * _trigamma_inverse(excess)
    centre = logs.mean() + special.digamma(prior / 2) - math.log(prior / 2)
    return Moderation(math.exp(centre), prior)


def _trigamma_inverse(value: float) -> float:
    """The x with trigamma(x) = value, as trigamma lies between 1/x and 1/x + 1/x^2."""
    low, high = 0.5 / value, 2 / value + 2 / math.sqrt(value)
    return float(optimize.brentq(lambda x: special.polygamma(1, x) - value, low, high))


def without_common(logs: Sequence[np.ndarray], started_s: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Log medians less what processes that ran close in time share, the machine's part.

    Each process's deviation from the median of its trial, in the order they began; subtracted is
    the median over its 31 neighbours, which follows a drift, and where the median over 7 of what
    is then left is far from 0, that as well: a neighbour on the machine for some minutes. With
    fewer than 6 trials, or one process each, nothing is subtracted.
    """
    if len(logs) < SUITE or max(map(len, logs)) < 2:
        return list(logs)
    deviations = np.concatenate([values - np.median(values) for values in logs])
    order = np.argsort(np.concatenate(started_s), kind="stable")
    drift = ndimage.median_filter(deviations[order], size=NEIGHBOURS)
    left = deviations[order] - drift
    phase = ndimage.median_filter(left, size=PHASE)
    limit = FAR_PHASE * stats.median_abs_deviation(left, scale="normal")
    common = np.empty(len(order))
    common[order] = drift + np.where(abs(phase) > limit, phase, 0.0)
    ends = np.cumsum([len(values) for values in logs])[:-1]
    return [values - part for values, part in zip(logs, np.split(common, ends), strict=True)]


def _needed(spread: float, change: float, least: float, trials: int) -> int:
    """Processes on each side with which a `change` would be detected; sizes in logarithms.

    Detected means significant among so many `trials` and not below the `least` that matters.
    """
    counts = np.arange(2, MAX_NEEDED)
    errors = spread * np.sqrt(2 / counts) * (1 + INFLATION / counts)
    called = _factors(1 - (1 - CONFIDENCE) / 2 / trials) * errors
    enough = np.maximum(called, least) + _factors(POWER) * errors <= change
    return 2 + int(np.argmax(enough)) if enough.any() else MAX_NEEDED


@cache
def _factors(chance: float) -> np.ndarray:
    """Student's t for 2, 3, ... processes on each side."""
    found: np.ndarray = stats.t.ppf(chance, 2.0 * np.arange(2, MAX_NEEDED) - 2)
    return found


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's adjustment for their number, ignoring NaN."""
    adjusted = np.full(len(p_values), math.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known])]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return adjusted
