"""The rate at which a tail crosses its limit, and which rates to try."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from runner.statistics.capacity import (
    Point,
    capacity,
    next_rates,
    scan_rates,
    spread_of,
)
from runner.statistics.summary import summarize
from runner.statistics.tail_target import judge_target, looks_at


def points(*tails: float | None, spread: float = 0.001) -> list[Point]:
    return [Point(10.0 * number, tail, spread) for number, tail in enumerate(tails, 1)]


def test_the_rate_lies_where_the_logarithm_of_the_tail_crosses_the_limit():
    found = capacity(points(10.0, 20.0, 40.0, 80.0), limit_ms=20 * math.sqrt(2))
    assert found.rate == pytest.approx(25.0)
    low, high = found.ci
    assert 19.5 < low < 25 < high < 30.5  # it may cross anywhere between the two rates
    assert not found.is_least


def test_a_tail_that_falls_by_noise_is_fitted_as_one_that_does_not():
    found = capacity(points(10.0, 30.0, 20.0, 80.0), limit_ms=50.0)
    assert list(found.fitted_ms) == sorted(found.fitted_ms)
    assert 30 < found.rate < 40


def test_a_tail_that_clearly_falls_at_first_is_fitted_so_and_its_last_crossing_counts():
    idle_first = points(90.0, 80.0, 20.0, 30.0, 80.0, spread=0.05)
    found = capacity(idle_first, limit_ms=50.0)
    assert found.fitted_ms == pytest.approx((90.0, 80.0, 20.0, 30.0, 80.0))
    assert 40 < found.rate < 50
    assert 40 <= found.ci[0] < found.ci[1] <= 50
    assert found.idle_rate == 20.0
    assert capacity(points(90.0, 80.0, 20.0, 30.0, spread=0.05), 50.0).is_least
    unclear = capacity(points(55.0, 45.0, 80.0, spread=0.3), limit_ms=60.0)
    assert unclear.fitted_ms[0] == unclear.fitted_ms[1]
    assert unclear.idle_rate is None


def test_a_rate_that_keeps_the_limit_above_one_that_misses_it_is_clear():
    undecided = [Point(10.0, 55.0, 0.3), Point(20.0, 45.0, 0.3), Point(30.0, 90.0, 0.1)]
    sides = zip(undecided, (1, -1, 1), strict=True)
    decided = [replace(point, side=side) for point, side in sides]
    assert capacity(undecided, 50.0).idle_rate is None
    assert capacity(decided, 50.0).idle_rate == 10.0


def test_a_limit_below_the_lowest_tail_has_no_rate_and_one_above_all_only_a_least():
    assert capacity(points(10.0, 20.0, 40.0), limit_ms=5.0).rate is None
    found = capacity(points(10.0, 20.0, 40.0), limit_ms=100.0)
    assert (found.rate, found.is_least, found.ci) == (30.0, True, None)


def test_overload_lies_above_any_limit_and_is_searched_for():
    found = capacity(points(10.0, 20.0, None), limit_ms=1e6)
    assert (found.rate, found.overload) == (20.0, 30.0)  # nothing is known between
    assert 20 <= found.ci[1] <= 30
    assert next_rates(points(10.0, 20.0, None), 1e6) == [23.3, 26.7]


def test_what_the_queries_have_decided_is_certain():
    unsure = [Point(10.0, 10.0, 0.01), Point(20.0, 20.0, 0.01), Point(30.0, 24.0, 1.0)]
    sure = [*unsure[:2], Point(30.0, 24.0, 1.0, side=1)]
    assert capacity(unsure, 25.0).is_least
    assert 20 <= capacity(sure, 25.0).rate <= 30
    assert capacity(sure, 25.0).ci[1] <= 30


def test_no_rates_are_an_error():
    with pytest.raises(ValueError, match="no rates"):
        capacity([], 10.0)


def test_a_known_interval_gives_the_spread_and_few_queries_a_wide_guess():
    latency = [10.0] * 1000
    assert spread_of(latency, (9.0, 12.0), 0.99, 1.0) == pytest.approx(0.0875, abs=0.001)
    assert spread_of(latency, None, 0.99, 1.0) < spread_of(latency, None, 0.99, 10.0)


def test_a_search_refines_where_the_tail_crosses_and_ends():
    assert next_rates(points(10.0, 20.0, 40.0, 80.0), 28.0) == [24.9, 23.1, 26.6]
    assert next_rates(points(10.0, 20.0, 40.0), 5.0) == [4.0, 7.0]  # lower
    assert next_rates(points(10.0, 20.0, 40.0), 100.0) == [33.0, 37.5]  # higher
    near = [*points(10.0, 20.0, 40.0, 80.0), Point(24.9, 20.5, 0.01), Point(25.2, 38.0, 0.01)]
    assert next_rates(near, 28.0) == []


def test_a_search_without_a_rate_looks_where_a_tail_was_below_the_limit_before_it_goes_lower():
    unclear = [Point(10.0, 52.0, 0.02), Point(20.0, 40.0, 0.3), Point(30.0, 90.0, 0.3)]
    assert capacity(unclear, 50.0).rate is None
    assert next_rates(unclear, 50.0) == [18.6, 21.4]


def latencies_ms(rate: float, count: int, random: np.random.Generator) -> np.ndarray:
    """Of an M/D/1 queue with a service of 10 ms, by Lindley's recursion."""
    steps = np.concatenate([[0.0], np.cumsum(10 - random.exponential(1000 / rate, count - 1))])
    return 10 + steps - np.minimum.accumulate(steps)


def after_pauses_ms(rate: float, count: int, random: np.random.Generator) -> np.ndarray:
    """The same, where a service after a pause takes up to 100 ms more."""
    free_ms, latency_ms = 0.0, []
    for arrival_ms in np.cumsum(random.exponential(1000 / rate, count)).tolist():
        pause_ms = max(0.0, arrival_ms - free_ms)
        free_ms = max(arrival_ms, free_ms) + 10 + min(pause_ms / 2, 100.0)
        latency_ms.append(free_ms - arrival_ms)
    return np.array(latency_ms)


def searched(limit_ms: float, seed: int, queue: Callable = latencies_ms) -> list[Point]:
    """The points of a whole search, with the decisions that a trial makes."""
    random, found, rates = np.random.default_rng(seed), list[Point](), scan_rates(100.0)
    looks = looks_at(1000)
    while rates:
        for rate in rates:
            everything = queue(rate, 1000, random)
            for look in looks:
                taken = everything[:look]
                verdict = judge_target(taken, limit_ms, 0.99, looks).verdict
                if verdict != "undecided":
                    break
            summary = summarize(taken, 1, queued=True)
            spread = spread_of(taken, summary.ci_ms.get("p99"), 0.99, summary.tau)
            side = {"met": -1, "missed": 1}.get(verdict, 0)
            found.append(Point(rate, float(np.quantile(taken, 0.99)), spread, side))
        rates = next_rates(found, limit_ms)
    return found


@pytest.mark.parametrize(("limit_ms", "true_rate"), [(25.0, 21.3), (40.0, 46.5), (100.0, 77.0)])
def test_a_search_finds_the_rate_of_an_m_d_1_queue(limit_ms, true_rate):
    """The true rates are of runs of a million queries."""
    found = [capacity(searched(limit_ms, seed), limit_ms) for seed in range(15)]
    rates = [one.rate for one in found if one.rate is not None]
    assert len(rates) >= 14
    assert np.median(rates) == pytest.approx(true_rate, rel=0.12)
    covered = [one for one in found if one.ci and one.ci[0] <= true_rate <= one.ci[1]]
    assert len(covered) >= 12


def test_a_search_finds_the_rate_of_a_queue_that_is_slower_after_pauses():
    """Its p99 is 112 ms at 5/s, 68 ms at 50/s, and 100 ms again at 75/s, of 100,000 queries."""
    found = [capacity(searched(100.0, seed, after_pauses_ms), 100.0) for seed in range(10)]
    rates = [one.rate for one in found if one.rate is not None]
    assert len(rates) >= 9
    assert np.median(rates) == pytest.approx(75, rel=0.12)
    assert sum(one.idle_rate is not None for one in found) >= 7
