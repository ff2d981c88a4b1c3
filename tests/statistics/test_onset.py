"""The night a rise began, and the nights on which it may have."""

from __future__ import annotations

import numpy as np
import pytest

from runner.statistics.onset import onset


@pytest.mark.parametrize("at", [1, 6, 13])
def test_a_clear_step_is_dated_to_the_night(at):
    values = np.random.default_rng(1).normal(0, 0.005, 14)
    values[at:] += 0.05
    assert onset(values) == (at, at)


def test_a_step_in_the_noise_has_a_range_that_holds_it():
    held = 0
    for seed in range(200):
        values = np.random.default_rng(seed).normal(0, 0.01, 14)
        values[8:] += 0.02
        found = onset(values)
        held += found is not None and found[0] <= 8 <= found[1]
    assert held >= 180


def test_nothing_that_has_risen_has_no_onset():
    assert onset(np.array([0.0])) is None
    assert onset(np.array([0.0, -1.0])) is None
    assert onset(np.array([0.0, 1.0])) == (1, 1)


def test_a_single_spike_is_no_step():
    values = np.zeros(12)
    values[3], values[9:] = 0.3, 0.05
    assert onset(values) == (9, 9)
