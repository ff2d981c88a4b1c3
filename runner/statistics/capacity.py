"""The largest rate of queries whose tail latency keeps a limit, from trials at several rates.

Single verdicts near the limit are noisy, and bisecting on them misleads. So the tail is fitted
against the rate, and the rate is where the fit crosses the limit for the last time. The fit never
falls, unless the tails clearly do at the lowest rates: an idle machine may answer more slowly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

DRAWS = 1000  # of the parametric bootstrap
SPREAD = 0.03  # standard deviation between processes of the log tail, at least
BEYOND = 20.0  # times the limit, for a tail that grows as long as queries come
SCAN = (0.2, 0.4, 0.6, 0.75, 0.9)  # of the throughput without a schedule
AROUND = (1.0, 0.93, 1.07)  # of the rate found so far
LOWER, LOWEST = (0.4, 0.7), 0.03  # of the lowest rate if that misses, and of the highest: no lower
BETWEEN = (0.33, 0.67)  # of a stable rate and one of overload
BENT = 4.0  # squared standard deviations, by which a fit that falls at first must be better
ENOUGH = 0.03  # of the rate: half of an interval that needs no further trials
NEAR = 0.015  # of a rate that was tried
REFINED = 9  # rates, after which no more follow
DIGITS = 3  # of a rate


@dataclass(frozen=True)
class Point:
    """The tail at a rate, with the standard deviation of its logarithm; None: overload.

    `side`: 1 if the queries have shown that it is above the limit, -1 below, 0 neither.
    """

    rate: float
    tail_ms: float | None
    spread: float
    side: int = 0


@dataclass(frozen=True)
class Capacity:
    """The largest rate that keeps the limit, a second, with its 95 % interval.

    `rate` is None if every rate misses it; `is_least`: the highest rate keeps it, so that the
    capacity lies above. Where the next rate that was tried is `overload`, `rate` is the largest
    below it, as nothing is known between. `fitted_ms` is the fitted tail at each point.
    `idle_rate`: up to this rate the limit is missed, while higher ones keep it.
    """

    rate: float | None
    ci: tuple[float, float] | None
    is_least: bool
    fitted_ms: tuple[float, ...]
    overload: float | None = None
    idle_rate: float | None = None


def capacity(points: Sequence[Point], limit_ms: float) -> Capacity:
    """Where the tail crosses the limit. Raises ValueError without points."""
    if not points:
        raise ValueError("no rates; expected at least one")
    ordered = sorted(points, key=lambda one: one.rate)
    rates = np.array([one.rate for one in ordered])
    logs = np.array([math.log(one.tail_ms or BEYOND * limit_ms) for one in ordered])
    spreads = np.array([max(one.spread, SPREAD) for one in ordered])
    limit = math.log(limit_ms)
    sides = np.array([one.side for one in ordered])

    def decided(logs: np.ndarray) -> np.ndarray:
        above = np.where(sides > 0, np.maximum(logs, limit + SPREAD), logs)
        return np.where(sides < 0, np.minimum(above, limit - SPREAD), above)

    known = decided(logs)
    turn = _turn(known, spreads, sides)
    fitted = _fitted(known, spreads, turn)
    rate = _crossing(rates, fitted, limit)
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        noisy = decided(logs + spreads * random.standard_normal(len(logs)))
        fit = _fitted(noisy, spreads, turn)
        drawn.append(_crossing(rates, fit, limit, random.uniform()))
    is_least = math.isinf(rate) and rate > 0
    found = None if math.isinf(rate) and rate < 0 else float(min(rate, rates[-1]))
    overload = None
    if found is not None and not is_least:
        after = int(np.searchsorted(rates, found, side="right"))
        if ordered[after].tail_ms is None:
            overload, found = float(rates[after]), float(rates[after - 1])
    ends = np.clip(np.quantile(drawn, [0.025, 0.975], method="nearest"), 0.0, rates[-1])
    ci = None if found is None or is_least else (float(ends[0]), float(ends[1]))
    fitted_ms = tuple(float(np.exp(one)) for one in fitted)
    keeping = np.flatnonzero(fitted <= limit)
    idle_rate = float(rates[keeping[0] - 1]) if len(keeping) and keeping[0] > 0 else None
    return Capacity(found, ci, is_least, fitted_ms, overload, idle_rate)


def _fitted(logs: np.ndarray, spreads: np.ndarray, turn: int) -> np.ndarray:
    """The nearest values that fall before the index `turn` and rise from there on."""
    parts = ((slice(None, turn), False), (slice(turn, None), True))
    return np.concatenate(
        [
            optimize.isotonic_regression(logs[part], weights=spreads[part] ** -2, increasing=up).x
            for part, up in parts
            if len(logs[part])
        ]
    )


def _turn(logs: np.ndarray, spreads: np.ndarray, sides: np.ndarray) -> int:
    """The index at which the tails begin to rise.

    0, unless a rate keeps the limit above one that misses it, or another index fits much better.
    """

    def distance(turn: int) -> float:
        return float(np.sum(((logs - _fitted(logs, spreads, turn)) / spreads) ** 2))

    best = min(range(len(logs)), key=distance)
    missed, kept = np.flatnonzero(sides > 0), np.flatnonzero(sides < 0)
    falls = len(missed) and len(kept) and missed[0] < kept[-1]
    return best if falls or distance(0) - distance(best) > BENT else 0


def _crossing(
    rates: np.ndarray, fitted: np.ndarray, limit: float, share: float | None = None
) -> float:
    """The rate at which the fit exceeds the limit at last; -inf if it always does, inf if never.

    Between two rates in proportion, or at a given `share`: the tail may cross anywhere between.
    """
    keeping = np.flatnonzero(fitted <= limit)
    if not len(keeping):
        return -math.inf
    last = int(keeping[-1])
    if last == len(rates) - 1:
        return math.inf
    low, high = fitted[last], fitted[last + 1]
    share = (limit - low) / (high - low) if share is None else share
    return float(rates[last] + share * (rates[last + 1] - rates[last]))


def spread_of(
    latency_ms: Sequence[float], bounds: Sequence[float] | None, q: float, tau: float
) -> float:
    """The standard deviation of the logarithm of a tail, from its 95 % bounds on each side.

    Without bounds a guess from the number of independent queries beyond the tail.
    """
    if bounds is not None and min(bounds) > 0:
        sides = 2 * float(stats.norm.ppf(0.95))
        return math.log(bounds[1] / bounds[0]) / sides
    beyond = len(latency_ms) * (1 - q) / max(tau, 1.0)
    return 0.5 / math.sqrt(max(beyond, 0.25))


def scan_rates(throughput: float) -> list[float]:
    """The first rates to try, by the queries a second that are answered without a schedule."""
    return [rounded(share * throughput) for share in SCAN]


def next_rates(points: Sequence[Point], limit_ms: float) -> list[float]:
    """The next rates to try; none once the rate is known well enough, or can't be found."""
    found = capacity(points, limit_ms)
    tried = [one.rate for one in points]
    if len(tried) >= REFINED + len(SCAN):
        return []
    if found.rate is None:
        low, best = min(tried), min(points, key=lambda one: one.tail_ms or math.inf)
        if (best.tail_ms or math.inf) <= limit_ms:  # of which the fit makes nothing, so far
            return _new([best.rate * factor for factor in AROUND], tried)
        return _new([low * share for share in LOWER], tried) if low > LOWEST * max(tried) else []
    if found.is_least:
        top = max(tried)
        beyond = _new([top * factor for factor in (1.1, 1.25)], tried)
        return beyond if all(one.tail_ms is not None for one in points) else []
    low, high = found.ci or (0.0, math.inf)
    refined = len(tried) > len(SCAN)
    if refined and (high - low) / 2 <= ENOUGH * found.rate:
        return []
    wanted = [found.rate * factor for factor in AROUND]
    if found.overload is not None:  # between the last stable rate and the first that is none
        wanted = [found.rate + share * (found.overload - found.rate) for share in BETWEEN]
    return _new(wanted, tried)


def _new(wanted: Sequence[float], tried: Sequence[float]) -> list[float]:
    """Those that were not tried yet, rounded."""
    rates = map(rounded, wanted)
    return [rate for rate in rates if all(abs(rate / one - 1) > NEAR for one in tried)]


def rounded(rate: float) -> float:
    """A rate with few digits, so that it can be given again."""
    return float(f"{rate:.{DIGITS}g}")
