"""When a duet stops, and how often it decides against the truth."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from runner.statistics.sequential import ALPHA, LOOKS, decide


def rounds(change, count, spread=0.0):
    """Log ratios that alternate around a change, so that their mean is exact."""
    return [math.log1p(change) + spread * (-1) ** number for number in range(count)]


@pytest.mark.parametrize(
    ("change", "spread", "count", "verdict"),
    [
        (0.05, 0.01, 6, "slower"),
        (-0.05, 0.01, 6, "faster"),
        (0.0, 0.002, 6, "same"),
        (0.01, 0.002, 6, "same"),  # significant, but it does not matter
        (0.03, 0.05, 6, None),
        (0.03, 0.01, 7, None),  # no look
        (0.03, 0.2, 48, "undecided"),
        (0.0, 0.0, 6, "same"),  # a simulated device has no noise
        (0.03, 0.0, 6, "slower"),
    ],
)
def test_each_look_decides_or_asks_for_more_rounds(change, spread, count, verdict):
    found = decide(rounds(change, count, spread))
    assert found.verdict == verdict
    assert found.rounds == count
    assert found.ci[0] <= found.ratio <= found.ci[1]


def test_one_round_has_no_spread():
    with pytest.raises(ValueError, match="1 rounds; expected at least 2"):
        decide([0.1])


def played(random, change, spread, heavy=0.0):
    """The verdict and the number of rounds of a duet; `heavy`: chance of a round far off."""
    values = []
    while True:
        values.append(random.normal(math.log1p(change), spread))
        if random.random() < heavy:
            values[-1] += random.choice([-1, 1]) * random.uniform(0.05, 0.3)
        if len(values) in LOOKS and (found := decide(values)).verdict is not None:
            return found.verdict, len(values)


@pytest.mark.parametrize("spread", [0.004, 0.01, 0.03])
def test_sides_that_are_equal_are_rarely_called_different(spread):
    random = np.random.default_rng(1)
    found = Counter(played(random, 0.0, spread)[0] for _ in range(400))
    assert found["slower"] + found["faster"] <= ALPHA * 400


def test_rounds_far_off_neither_mislead_nor_keep_a_duet_undecided():
    random = np.random.default_rng(2)
    found = Counter(played(random, 0.0, 0.01, heavy=0.06)[0] for _ in range(400))
    assert found["slower"] + found["faster"] <= ALPHA * 400
    assert found["same"] >= 0.97 * 400


@pytest.mark.parametrize(("change", "spread"), [(0.03, 0.01), (0.05, 0.02)])
def test_a_slowdown_is_found_after_few_rounds(change, spread):
    random = np.random.default_rng(3)
    found = [played(random, change, spread) for _ in range(200)]
    assert np.mean([verdict == "slower" for verdict, _ in found]) >= 0.98
    assert np.mean([count for _, count in found]) <= 12


def test_the_interval_holds_for_all_looks_together():
    random = np.random.default_rng(4)
    missed = 0
    for _ in range(400):
        values = random.normal(0.01, 0.02, LOOKS[-1])
        missed += any(
            not found.ci[0] <= math.exp(0.01) <= found.ci[1]
            for found in (decide(values[:look]) for look in LOOKS)
        )
    assert missed <= 2 * ALPHA * 400
