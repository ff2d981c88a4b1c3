"""Two sides compared: who is slower, how sure that is, and what could have been seen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runner.statistics.difference import (
    MANY,
    Difference,
    differences,
    moderation,
    without_common,
)


def sides(random, changes, processes=5, spread=0.01):
    """Log medians of each trial before and after, spread differently from trial to trial."""
    own = spread * np.exp(random.normal(0, 0.4, len(changes)))
    made = []
    for shift in (np.zeros(len(changes)), np.asarray(changes)):
        made.append([random.normal(s, d, processes) for s, d in zip(shift, own, strict=True)])
    return made


def only(before, after) -> Difference:
    return differences([np.log(before)], [np.log(after)]).trials[0]


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ([11.0, 11.1, 10.9], "slower"),
        ([9.0, 9.1, 8.9], "faster"),
        ([10.02, 10.0, 9.98], "same"),
        ([10.0, 11.5, 9.0], "inconclusive"),
    ],
)
def test_a_trial_alone_is_judged_by_its_own_processes(after, verdict):
    found = only([10.0, 10.03, 9.97], after)
    assert found.verdict == verdict
    assert found.ci[0] < found.ratio < found.ci[1]
    assert found.ratio == pytest.approx(np.exp(np.log(after).mean()) / 10, rel=1e-3)


def test_one_process_on_a_side_has_a_ratio_and_decides_nothing():
    found = only([10.0], [12.0, 12.1])
    assert found == Difference(pytest.approx(math.sqrt(12.0 * 12.1) / 10), "inconclusive")


def test_what_did_not_decide_says_what_it_could_have_seen_and_how_many_would():
    found = only([10.0, 10.5, 9.6, 10.2], [10.2, 10.6, 9.7, 10.4])
    assert found.verdict == "inconclusive"
    assert 0.05 < found.detectable < 0.15
    assert 10 < found.needed < 200
    assert only([10.0, 14.0, 8.0], [10.0, 15.0, 8.0]).needed == 200


def test_equal_processes_without_any_spread_are_the_same():
    found = only([10.0, 10.0], [10.0, 10.0])
    assert (found.verdict, found.ratio, found.p) == ("same", 1.0, 1.0)
    assert only([10.0, 10.0], [11.0, 11.0]).verdict == "slower"


def test_a_side_without_a_process_is_refused():
    with pytest.raises(ValueError, match="before and after"):
        differences([np.array([])], [np.array([1.0])])


@pytest.mark.parametrize("trials", [5, 60])
def test_intervals_hold_what_they_promise(trials):
    random = np.random.default_rng(1)
    held = []
    for _ in range(2000 // trials):
        changes = random.normal(0, 0.02, trials)
        found = differences(*sides(random, changes))
        centre = math.log1p(found.shift) if found.centred else 0.0
        held += [
            math.log(one.ci[0]) <= change - centre <= math.log(one.ci[1])
            for one, change in zip(found.trials, changes, strict=True)
        ]
    assert np.mean(held) >= 0.93


def test_of_two_hundred_equal_trials_hardly_one_is_called_slower_in_a_hundred_comparisons():
    random = np.random.default_rng(2)
    wrong = sum(
        one.verdict in ("slower", "faster")
        for _ in range(20)
        for one in differences(*sides(random, np.zeros(200), spread=0.03)).trials
    )
    assert wrong <= 2


def test_planted_slowdowns_are_found_among_many():
    random = np.random.default_rng(3)
    changes = np.zeros(200)
    changes[:10] = math.log(1.05)
    found = differences(*sides(random, changes))
    assert sum(one.verdict == "slower" for one in found.trials[:10]) >= 8  # two are noisy ones
    assert not any(one.verdict in ("slower", "faster") for one in found.trials[10:])
    assert sum(one.verdict == "same" for one in found.trials[10:]) > 60


@pytest.mark.parametrize(("shift", "centred"), [(0.008, True), (0.06, False)])
def test_a_small_shift_of_all_is_the_machines_and_a_large_one_stays_a_question(shift, centred):
    random = np.random.default_rng(4)
    found = differences(*sides(random, np.full(MANY, math.log1p(shift)), spread=0.003))
    assert found.centred == centred
    assert found.shift == pytest.approx(shift, abs=0.004)
    assert {one.verdict for one in found.trials} == ({"same"} if centred else {"slower"})


def test_intervals_that_the_suite_shows_to_be_too_narrow_are_widened():
    random = np.random.default_rng(5)
    before, after = sides(random, random.normal(0, 0.03, 100), spread=0.005)
    assert differences(before, after).widened > 3
    assert differences(*sides(random, np.zeros(100))).widened < 1.4


def test_variances_are_drawn_towards_the_distribution_they_come_from():
    random = np.random.default_rng(6)
    freedom = np.full(4000, 4.0)
    true = 2.0 * 10 / random.chisquare(10, 4000)  # scaled inverse chi-squared: 10 degrees, 2
    fitted = moderation(true * random.chisquare(4, 4000) / 4, freedom)
    assert fitted.freedom == pytest.approx(10, rel=0.25)
    assert fitted.variance == pytest.approx(2.0, rel=0.1)
    alike = moderation(3.0 * random.chisquare(4, 4000) / 4, freedom)
    assert alike.freedom > 100


def test_what_neighbours_in_time_share_is_taken_out():
    random = np.random.default_rng(7)
    started = [np.arange(5) * 40.0 + trial for trial in range(40)]  # five rounds
    slow = [np.where((at > 60) & (at < 100), 0.2, 0.0) for at in started]  # a neighbour's minute
    logs = [random.normal(1.0, 0.003, 5) + part for part in slow]
    left = without_common(logs, started)
    assert max(np.ptp(values) for values in logs) > 0.19
    assert np.quantile([np.ptp(values) for values in left], 0.9) < 0.02
    assert without_common(logs[:5], started[:5])[0] is logs[0]


def spiky(random, trials, processes, changes, chance=0.05):
    """Log medians of two sides, of which some processes are 5 to 30 % slow."""
    made = []
    for side in (np.zeros(trials), np.log1p(changes)):
        values = random.normal(0, 0.006, (trials, processes)) + np.asarray(side)[:, None]
        values += np.where(
            random.random(values.shape) < chance, random.uniform(0.05, 0.3, values.shape), 0.0
        )
        made.append(list(values))
    return made


def test_spikes_hide_no_change_and_make_none():
    """By plain means 3 % was found in 4 of 10 trials of ten processes, 10 % in 6."""
    random, found, false = np.random.default_rng(3), 0, 0
    for _ in range(40):
        changes = np.array([0.03, 0.1] + [0.0] * 10)
        verdicts = [one.verdict for one in differences(*spiky(random, 12, 10, changes)).trials]
        found += verdicts[:2].count("slower")
        false += len({"slower", "faster"} & set(verdicts[2:]))
    assert found >= 0.93 * 80
    assert false <= 1


def test_two_far_off_of_five_leave_it_open_which_are_the_odd_ones():
    before = np.array([0.0, 0.001, -0.001, 0.002, 0.0])
    after = np.array([0.1, 0.101, 0.1, 0.0, 0.001])
    (one,) = differences([before], [after]).trials
    assert one.verdict == "inconclusive"


@pytest.mark.parametrize("share", [0.3, 0.4])
def test_many_trials_that_change_at_once_are_told_from_the_others(share):
    random = np.random.default_rng(4)
    changes = np.where(np.arange(100) < 100 * share, 0.05, 0.0)
    found = differences(*spiky(random, 100, 5, changes, chance=0.0))
    verdicts = [one.verdict for one in found.trials]
    count = round(100 * share)
    assert verdicts[:count].count("slower") >= 0.95 * count
    assert not {"slower", "faster"} & set(verdicts[count:])
    assert abs(found.shift) < 0.005


def test_what_is_planted_at_the_detectable_size_is_found_in_four_of_five_cases():
    random, found = np.random.default_rng(5), 0
    shown = [one.detectable for _ in range(40)
             for one in differences(*spiky(random, 10, 5, np.zeros(10), 0.0)).trials]  # fmt: skip
    typical = float(np.median(shown))
    for _ in range(40):
        changes = np.array([typical] + [0.0] * 9)
        found += differences(*spiky(random, 10, 5, changes, 0.0)).trials[0].verdict == "slower"
    assert 0.6 <= found / 40 <= 0.98
