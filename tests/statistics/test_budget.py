"""Rounds within a budget: the same for all first, then more where the uncertainty is."""

from __future__ import annotations

import pytest

from runner.statistics.budget import rounds_within

COST_S = [10.0, 20.0, 30.0]


@pytest.mark.parametrize(
    ("budget_s", "rounds"),
    [
        (300.0, [5, 5, 5]),  # just enough
        (200.0, [3, 3, 3]),
        (59.0, [1, 1, 1]),  # not even one fits: it is run all the same
        (0.0, [1, 1, 1]),
        (1e9, [15, 5, 5]),  # the first alone is uncertain, and has an end
        (335.0, [8, 5, 5]),
    ],
)
def test_rounds(budget_s, rounds):
    assert rounds_within(budget_s, COST_S, [0.05, 0.004, 0.004], 5, 15) == rounds


def test_what_is_left_goes_to_the_most_uncertain_and_no_further_than_it_must():
    assert rounds_within(390.0, COST_S, [0.01, 0.04, 0.001], 5, 15) == [
        6,
        9,
        5,
    ]  # the last 10 s fit a round of a cheap one
    assert rounds_within(1e9, COST_S, [0.01, 0.012, 0.001], 5, 15) == [7, 9, 5]
    assert rounds_within(320.0, COST_S, [0.02, 0.02, 0.09], 5, 15) == [7, 5, 5]  # 30 s do not fit


def test_trials_that_cost_nothing_and_none_at_all():
    assert rounds_within(10.0, [0.0], [0.0], 5, 15) == [5]
    assert rounds_within(10.0, [], [], 5, 15) == []
