"""How many queries a tail needs, by MLPerf's rule, and when it is decided."""

from __future__ import annotations

import numpy as np
import pytest

from runner.contract import TargetVerdict
from runner.statistics.tail_target import judge_target, looks_at, queries_needed


@pytest.mark.parametrize(("over", "queries"), [(0, 459), (1, 662), (10, 2010)])
def test_mlperfs_numbers_of_queries_for_a_p99(over, queries):
    assert queries_needed(0.99, over) == pytest.approx(queries, abs=1)


def test_a_p50_needs_few_and_a_p999_many():
    assert queries_needed(0.5) == 7
    assert queries_needed(0.999) == 4603


def test_independent_queries_meet_or_miss_or_neither():
    random = np.random.default_rng(1)
    latency_ms = random.exponential(1.0, 4000)  # p99 is 4.6
    assert judge_target(latency_ms, 7.0, 0.99).verdict == TargetVerdict.MET
    assert judge_target(latency_ms, 3.0, 0.99).verdict == TargetVerdict.MISSED
    assert judge_target(latency_ms, 4.6, 0.99).verdict == TargetVerdict.UNDECIDED
    assert judge_target(latency_ms[:300], 100.0, 0.99).verdict == TargetVerdict.UNDECIDED  # too few


def test_clusters_count_as_fewer_queries():
    alone = np.zeros(2000)
    alone[::200] = 9.0  # ten of them
    cluster = np.zeros(2000)
    cluster[500:510] = 9.0
    found = judge_target(cluster, 5.0, 0.99)
    assert found.over == judge_target(alone, 5.0, 0.99).over == 10
    assert found.tau > 3
    assert found.tau > judge_target(alone, 5.0, 0.99).tau


def test_unanswered_queries_are_over_the_limit():
    assert judge_target([1.0] * 600, 5.0, 0.99).verdict == TargetVerdict.MET
    assert judge_target([1.0] * 600, 5.0, 0.99, unanswered=200).verdict == TargetVerdict.MISSED


def test_looks_double_and_end_with_all_queries():
    assert looks_at(1000) == [32, 63, 125, 250, 500, 1000]
    assert looks_at(50) == [50]


def test_looking_often_makes_no_false_decisions():
    """Independent queries exactly at the limit, judged at every look."""
    random, wrong = np.random.default_rng(2), 0
    looks = looks_at(2000)
    for _ in range(300):
        latency_ms = random.uniform(0, 1, 2000)
        for look in looks:
            if (
                judge_target(latency_ms[:look], 0.99, 0.99, looks).verdict
                != TargetVerdict.UNDECIDED
            ):
                wrong += 1
                break
    assert wrong <= 12  # 1 % on each side, and their simulation's noise
