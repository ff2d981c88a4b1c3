"""Which commit made a change, by noisy rounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runner.statistics.bisection import SURE, Bisection, Step

STEP = Step(math.log1p(0.05), 0.005, 6)


def searched(random, count, culprit, size, spread, skipped=(), prior=None, confirmed=24):
    """The suspicion and the number of rounds of a search."""
    change = math.log1p(size)
    known = Step(change + random.normal(0, spread / math.sqrt(confirmed)), spread, confirmed)
    bisection, rounds = Bisection(count, known, prior), 0
    while bisection.suspicion(skipped).probability < SURE:
        index = bisection.next(skipped)
        if index is None:
            break
        bisection.observe(index, random.normal(change if index >= culprit else 0, spread))
        rounds += 1
    return bisection.suspicion(skipped), rounds


def test_the_first_round_is_in_the_middle_and_each_one_halves():
    bisection = Bisection(8, STEP)
    assert bisection.next() == 3
    bisection.observe(3, 0.05)  # it has the change
    assert bisection.next() == 1
    bisection.observe(1, 0.0)
    assert bisection.next() == 2
    bisection.observe(2, 0.0)
    assert bisection.suspicion().commits == (3,)
    assert bisection.suspicion().probability > SURE


def test_one_commit_needs_no_round():
    bisection = Bisection(1, STEP)
    assert bisection.next() is None
    assert bisection.suspicion() == bisection.suspicion()
    assert (bisection.suspicion().commits, bisection.suspicion().probability) == ((0,), 1.0)


def test_commits_that_do_not_run_are_told_together_with_the_next_one_that_does():
    bisection = Bisection(4, STEP)
    assert bisection.next(skipped=(1,)) in (0, 2)
    bisection.observe(0, 0.0)
    bisection.observe(2, 0.05)
    assert bisection.next(skipped=(1,)) in (0, 2, None)
    assert bisection.suspicion(skipped=(1,)).commits == (1, 2)
    assert bisection.suspicion(skipped=(1,)).probability > SURE
    assert Bisection(3, STEP).next(skipped=(0, 1)) is None


def test_a_round_far_off_does_not_decide_alone():
    bisection = Bisection(8, STEP)
    bisection.observe(3, 5.0)
    assert bisection.suspicion().probability < SURE


@pytest.mark.parametrize("prior", [[1.0], [1.0, 0.0], []])
def test_a_prior_that_does_not_fit_is_refused(prior):
    with pytest.raises(ValueError, match="expected 2 above 0"):
        Bisection(2, STEP, prior)


@pytest.mark.parametrize(
    ("size", "spread", "rounds"), [(0.05, 0.03, 30), (0.03, 0.03, 80), (0.05, 0.01, 12)]
)
def test_64_commits_need_a_fraction_of_the_rounds_of_halving(size, spread, rounds):
    random = np.random.default_rng(1)
    found = []
    for _ in range(150):
        culprit = int(random.integers(64))
        suspicion, count = searched(random, 64, culprit, size, spread)
        found.append((suspicion.commits == (culprit,), count))
    right, counts = zip(*found, strict=True)
    assert np.mean(right) >= 0.97
    assert np.mean(counts) <= rounds


def test_a_prior_by_changed_files_saves_rounds_and_does_not_mislead():
    random = np.random.default_rng(2)
    plain, weighted, wrong = [], [], 0
    for _ in range(100):
        culprit = int(random.integers(64))
        prior = np.where(random.random(64) < 0.2, 1.0, 0.1)
        prior[culprit] = 1.0
        plain.append(searched(random, 64, culprit, 0.05, 0.02)[1])
        _, count = searched(random, 64, culprit, 0.05, 0.02, prior=prior)
        weighted.append(count)
        prior[culprit] = 0.1
        wrong += searched(random, 64, culprit, 0.05, 0.02, prior=prior)[0].commits != (culprit,)
    assert np.mean(weighted) < np.mean(plain)
    assert wrong <= 4
