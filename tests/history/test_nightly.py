"""Which nights count for which trial, and what is said of trials that come, go and change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes.nights import FACTS, MEDIANS_MS, make_night, make_nights, night_id
from fakes.trials import make_trial, timed, write_sweep

from runner.history.attribution import Attribution
from runner.history.decisions import Decisions
from runner.history.nightly import judge_night
from runner.pages.nightly import Report
from runner.records.nights import load_night
from runner.sweep.night import code_of

SLOW_B = MEDIANS_MS | {"b": 23.0}


def verdicts(judgement):
    return {one.identity: one.verdict for one in judgement.findings}


def why(judgement, identity):
    return next(one.why for one in judgement.findings if one.identity == identity)


def decided(**entry):
    return Decisions(({"reason": "reviewed", **entry},))


def test_a_planted_slowdown_is_found_and_no_other_named():
    found = judge_night(make_night(9, SLOW_B), make_nights(8), Decisions())
    assert verdicts(found) == {"b": "regression", "a": "pass", "c": "pass"}
    assert found.findings[0].title == "b 64px"  # what is worst stands on top
    assert dict(found.counts) == {"regression": 1, "pass": 2}


def test_an_unaccepted_regression_stays_red_and_out_of_the_baseline():
    nights = make_nights(8)
    for number in range(9, 25):
        tonight = make_night(number, SLOW_B)
        found = judge_night(tonight, nights, Decisions())
        assert verdicts(found)["b"] == "regression", number
        nights.append(replace(tonight, previous_verdicts=verdicts(found)))


def test_an_accepted_change_is_a_new_level():
    said = {"b": "regression"}
    nights = [*make_nights(8), *make_nights(5, 9, medians_ms=SLOW_B, previous_verdicts=said)]
    accepted = decided(accept="b 64px", since=night_id(9))
    tonight = make_night(14, SLOW_B)
    assert verdicts(judge_night(tonight, nights, Decisions()))["b"] == "regression"
    assert verdicts(judge_night(tonight, nights, accepted))["b"] == "pass"
    again = judge_night(make_night(14, MEDIANS_MS | {"b": 25.5}), nights, accepted)
    assert verdicts(again)["b"] == "regression"
    at_once = judge_night(tonight, nights[:8], decided(accept="b", since=night_id(14)))
    assert verdicts(at_once)["b"] == "no_baseline"
    assert why(at_once, "b") == "the first night of its new baseline"


def test_flagged_nights_are_left_out():
    nights = make_nights(8)
    hot = {name: 1.3 * ms for name, ms in MEDIANS_MS.items()}
    nights[3:8] = make_nights(5, 4, medians_ms=hot)
    assert judge_night(make_night(9), nights, Decisions()).health.trials["a"].nights == 8
    entries = tuple({"flag": night_id(number), "reason": "hot"} for number in range(4, 9))
    found = judge_night(make_night(9, SLOW_B), [*make_nights(3), *nights[3:]], Decisions(entries))
    assert len(found.flagged) == 5
    assert found.health.trials["a"].nights == 3
    asked = [replace(night, question=True) for night in nights]
    assert len(judge_night(make_night(9), asked, Decisions()).flagged) == 8
    agreed = decided(accept="*", since=night_id(4))
    assert len(judge_night(make_night(9), asked, agreed).flagged) == 3
    invalid = make_nights(1, unfit={"a": "invalid: X", "b": "invalid: X"})
    assert (
        "10 of 15 processes"
        in judge_night(make_night(2), invalid, Decisions()).flagged[night_id(1)]
    )


def test_trials_that_come_and_go_are_told_as_what_they_are():
    tonight = make_night(9, {"a": 10.0, "new": 5.0}, planned=["c"], unfit={})
    found = judge_night(tonight, make_nights(8), Decisions())
    assert verdicts(found) == {"b": "missing", "c": "missing", "new": "no_baseline", "a": "pass"}
    assert why(found, "b") == "not planned; --retire it if that is intended"
    assert why(found, "c") == "planned, but did not run"
    retired = judge_night(tonight, make_nights(8), decided(retire="b 64px"))
    assert "b" not in verdicts(retired)


def test_a_failed_trial_is_no_pass_and_an_invalid_one_is_not_decided():
    unfit = {"a": "failed: ValueError: no", "b": "invalid: CPU_CONTENDED"}
    found = judge_night(make_night(9, unfit=unfit), make_nights(8), Decisions())
    assert verdicts(found) == {"a": "failed", "b": "inconclusive", "c": "pass"}
    assert why(found, "a") == "5 of 5: failed: ValueError: no"


def test_a_renamed_trial_keeps_its_history():
    renamed = {"a": 10.0, "b2": 23.0, "c": 30.0}
    alias = decided(alias="b2 64px", of="b 64px")
    found = judge_night(make_night(9, renamed), make_nights(8), alias)
    assert verdicts(found) == {"b2": "regression", "a": "pass", "c": "pass"}


def test_another_machine_has_no_baseline_here():
    found = judge_night(make_night(9, facts=FACTS | {"host": "there"}), make_nights(8), Decisions())
    assert set(verdicts(found).values()) == {"no_baseline"}


def test_torch_does_not_split_the_history_but_a_driver_does():
    torch = FACTS | {"torch": "2.15.0"}
    found = judge_night(make_night(9, SLOW_B, torch), make_nights(8), Decisions())
    assert verdicts(found)["b"] == "regression"
    onset = Attribution(found).onset("b")
    assert str(onset) == night_id(9)
    assert [str(one) for one in onset.changed] == ["torch: 2.14.1 -> 2.15.0"]
    old, new = FACTS | {"gpu_driver": "550"}, FACTS | {"gpu_driver": "560"}
    nights = [*make_nights(8, facts=old), *make_nights(4, 9, medians_ms=SLOW_B, facts=new)]
    found = judge_night(make_night(13, SLOW_B, new), nights, Decisions())
    assert set(verdicts(found).values()) == {"pass"}
    (step,) = Attribution(found).steps()
    assert step.night == night_id(9)
    assert [str(one) for one in step.changed] == ["gpu_driver: 550 -> 560"]
    told = {title: one.verdict for title, one in zip(step.titles, step.found.trials, strict=True)}
    assert told == {"a 64px": "same", "b 64px": "slower", "c 64px": "same"}


def test_a_creep_that_no_single_night_shows_is_seen_against_the_pinned_nights():
    nights = make_nights(6)
    for number in range(7, 29):
        nights.append(make_night(number, MEDIANS_MS | {"b": 20 * 1.003 ** (number - 6)}))
    tonight = make_night(29, MEDIANS_MS | {"b": 20 * 1.003**23})
    found = judge_night(tonight, nights, decided(baseline=night_id(6)))
    (b,) = (one for one in found.findings if one.identity == "b")
    assert (b.verdict, b.creep) == ("regression", True)
    assert found.health.trials["b"].verdict != "regression"
    assert found.pinned == tuple(map(night_id, range(1, 7)))


@pytest.mark.parametrize("gone", [1, 3])
def test_gaps_in_the_history_are_none_of_the_trials_doing(gone):
    nights = make_nights(8)
    del nights[-gone:]
    assert set(verdicts(judge_night(make_night(9), nights, Decisions())).values()) == {"pass"}


def test_a_slowdown_is_dated():
    nights = [
        *make_nights(5),
        *make_nights(3, 6, medians_ms=SLOW_B, facts=FACTS | {"git_commit": "2222222"}),
    ]
    nights = [
        *nights[:5],
        *(replace(one, previous_verdicts={"b": "regression"}) for one in nights[5:]),
    ]
    tonight = make_night(9, SLOW_B, FACTS | {"git_commit": "2222222"})
    onset = Attribution(judge_night(tonight, nights, Decisions())).onset("b")
    assert (str(onset), onset.before) == (night_id(6), night_id(5))
    assert [str(one) for one in onset.changed] == ["git_commit: 1111111 -> 2222222"]
    fast = judge_night(make_night(9, MEDIANS_MS | {"a": 8.0}), make_nights(1), Decisions())
    assert Attribution(fast).onset("a") is None


def test_a_trial_with_a_secret_is_one_trial_and_its_folder_exists(tmp_path):
    secret = {"model": {"target": "nets.make", "kwargs": {"token": "abc", "width": 3}}}
    records = [timed(make_trial(**secret, repeat=repeat)) for repeat in range(5)]
    assert records[0].key != records[0].trial.key  # that of the record knows the secret
    night = load_night(write_sweep(tmp_path, "nightly-2026-11-25", records))
    judgement = judge_night(night, [], Decisions())
    assert [finding.verdict for finding in judgement.findings] == ["no_baseline"]
    command = Report(judgement, str(tmp_path)).reproduce(judgement.findings[0])
    assert (Path(command.split()[-1]) / "record.json").is_file()


def test_an_improvement_begins_a_level_of_its_own():
    """Else what is lost again within the window would pass."""
    faster = MEDIANS_MS | {"b": 18.0}
    nights = make_nights(10)
    for number in (11, 12, 13, 14):
        tonight = make_night(number, faster)
        found = judge_night(tonight, nights, Decisions())
        assert verdicts(found)["b"] == ("improvement" if number == 11 else "pass")
        nights.append(replace(tonight, previous_verdicts=verdicts(found)))
    lost = judge_night(make_night(15, MEDIANS_MS | {"b": 19.5}), nights, Decisions())
    assert verdicts(lost)["b"] == "regression"


def test_suspect_nights_in_a_row_do_not_clear_themselves():
    said = {"b": "suspect"}
    slow = MEDIANS_MS | {"b": 20.4}
    nights = [*make_nights(5), *make_nights(8, 6, medians_ms=slow, previous_verdicts=said)]
    tonight = make_night(14, slow)
    assert verdicts(judge_night(tonight, nights, Decisions()))["b"] in ("suspect", "regression")
    nights[-1] = replace(nights[-1], previous_verdicts={"b": "pass"})  # then they were none
    assert verdicts(judge_night(tonight, nights, Decisions()))["b"] == "pass"


def test_a_creep_of_all_trials_is_a_question_with_its_size():
    names = {f"m{number}": 10.0 + number for number in range(12)}
    nights = make_nights(8, medians_ms=names)
    for number in range(9, 50):
        slower = {name: ms * 1.0006 ** (number - 8) for name, ms in names.items()}
        tonight = make_night(number, slower)
        found = judge_night(tonight, nights, decided(baseline=night_id(8)))
        assert not found.health.question, number
        nights.append(replace(tonight, previous_verdicts=verdicts(found)))
    assert found.asks
    assert found.creep == pytest.approx(1.0006**40 - 1, abs=0.004)
    assert code_of(found, 1.0) == 5
    accepted = Decisions((
        {"baseline": night_id(8), "reason": "x"},
        {"accept": "*", "since": night_id(25), "reason": "y"},
    ))  # fmt: skip
    assert not judge_night(tonight, nights[:-1], accepted).asks
