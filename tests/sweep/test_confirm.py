"""A duet of a night's suspect: against which state it is played, and the verdict it leaves."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fakes.nights import FACTS, make_night, make_nights, night_id

from runner.contract import Confirmation, DuetVerdict, GateVerdict, Unavailable
from runner.history.decisions import Decisions
from runner.history.nightly import judge_night
from runner.records.duets import DuetFile, DuetRound, DuetSide, save_duet
from runner.sweep import confirm
from runner.sweep.confirm import confirmed, outcome_of
from runner.sweep.states import SAME, check_packages, state_of

HERE = FACTS | {"host": socket.gethostname(), "own_code": "aaa", "python": "3.12.1"}
SIDE = DuetSide("side", "a 64px", "key", "python")
SLOW = {"a": 10.0, "b": 22.0, "c": 30.0}
AT = "2026-11-06T02:00:00+00:00"


def make_duet(ratio=1.1, verdict="slower", old_ms=20.0, rounds=6, spread=0.005):
    low, high = ratio * (1 - spread), ratio * (1 + spread)
    return DuetFile(
        "d", SIDE, SIDE, "cpu", "here", 0, [6, 12, 24, 48], 0.01, 0.02, AT,
        [DuetRound(n + 1, "old", old_ms, old_ms * ratio, AT) for n in range(rounds)],
        verdict and DuetVerdict(verdict), ratio, (low, high), spread,
    )  # fmt: skip


def night_with(tonight_facts=HERE, medians=SLOW, before=HERE):
    """A night of which b is slower, and those before."""
    nights = make_nights(5, facts=before)
    return judge_night(make_night(6, medians, facts=tonight_facts), nights, Decisions([], ""))


# --- the last good state


@pytest.mark.parametrize(
    ("then", "asked"),
    [
        ({}, (SAME, None, None, None)),
        ({"git_commit": "2222222"}, (SAME, None, None, None)),  # none of it is in this trial
        ({"git_commit": "2222222", "own_code": "bbb"}, ("2222222", "2222222", None, None)),
        ({"torch": "2.13.0+cu130"}, ("torch==2.13.0", None, None, "torch==2.13.0")),
        (
            {"git_commit": "2222222", "own_code": "bbb", "torch": "2.13.0", "timm": "1.0"},
            ("2222222 timm==1.0 torch==2.13.0", "2222222", None, "timm==1.0\ntorch==2.13.0"),
        ),
    ],
)
def test_a_state_is_what_was_recorded_and_nothing_else(then, asked):
    found = state_of(HERE | then, HERE, None)
    assert (found.name, found.code, found.python, found.requirements) == asked


def test_other_packages_come_from_the_given_interpreter():
    found = state_of(HERE | {"torch": "2.13.0", "python": "3.11.2"}, HERE, "/old/bin/python")
    assert (found.python, found.requirements) == ("/old/bin/python", None)
    assert state_of(HERE, HERE, "/old/bin/python").python is None  # nothing differs


@pytest.mark.parametrize(
    ("then", "why"),
    [
        ({"python": "3.11.2"}, "Python 3.11.2 ran then and 3.12.1 now"),
        ({"own_code": "bbb", "git_commit": None}, "no git commit was recorded"),
        ({"torch": None}, "torch was not installed then"),
    ],
)
def test_a_state_that_is_gone_is_said_to_be(then, why):
    facts = {name: value for name, value in (HERE | then).items() if value is not None}
    with pytest.raises(Unavailable, match=why):
        state_of(facts, HERE, None)


def test_records_without_a_hash_are_compared_by_their_commits():
    old = {name: value for name, value in HERE.items() if name != "own_code"}
    assert state_of(old, HERE, None).code is None
    assert state_of(old | {"git_commit": "2222222"}, HERE, None).code == "2222222"


def test_packages_that_are_not_the_recorded_ones_are_refused():
    from runner.duets.link import Hello
    from runner.duets.sides import Side

    hello = Hello(1, "0", "3.12", {"torch": "2.12.0", "torchvision": None}, {})
    with pytest.raises(Unavailable, match=r"has torch 2\.12\.0, but 2\.13\.0 was recorded"):
        check_packages(hello, Side("old", "x"), {"torch": "2.13.0"})
    check_packages(hello, Side("old", "x"), {"torch": "2.12.0+cu130"})


# --- what a duet leaves of a verdict


def judged_by(duet, then=None, verdict=GateVerdict.SUSPECT):
    """The outcome and the verdict of b, whose duet was this."""
    judgement = night_with()
    finding = next(one for one in judgement.findings if one.title.startswith("b"))
    finding = replace(finding, verdict=verdict)
    good = make_night(5, facts=HERE | (then or {"own_code": "bbb", "git_commit": "2222222"}))
    state = confirm.old_state(judgement.night, good, "b", None)
    outcome = outcome_of(finding, duet, state, "folder")
    return outcome, confirm._judged(finding, outcome).verdict


@pytest.mark.parametrize("verdict", [GateVerdict.SUSPECT, GateVerdict.REGRESSION])
@pytest.mark.parametrize(
    ("duet", "outcome", "left"),
    [
        (make_duet(1.1), Confirmation.CONFIRMED, GateVerdict.REGRESSION),
        (make_duet(1.0, "same"), Confirmation.CLEARED, GateVerdict.PASS),
        (make_duet(0.9, "faster"), Confirmation.CLEARED, GateVerdict.PASS),
        (
            make_duet(1.03, "undecided", rounds=48, spread=0.04),
            Confirmation.UNDECIDED,
            GateVerdict.SUSPECT,
        ),
        (
            make_duet(1.01, "undecided", rounds=48, spread=0.02),
            Confirmation.UNDECIDED,
            GateVerdict.PASS,  # a slowdown of 5 % is excluded
        ),
        (make_duet(1.05, None, rounds=3), Confirmation.UNDECIDED, None),  # it is not finished
        # the machine: even the old state takes longer than it did
        (make_duet(1.0, "same", old_ms=22.0), Confirmation.CLEARED, GateVerdict.SUSPECT),
    ],
)
def test_the_verdict_of_a_duet_replaces_that_of_the_night(duet, outcome, left, verdict):
    found, verdict_now = judged_by(duet, verdict=verdict)
    assert (found.outcome, verdict_now) == (outcome, left or verdict)
    assert found.since == night_id(5)
    assert "2222222" in found.why


@pytest.mark.parametrize("verdict", [GateVerdict.SUSPECT, GateVerdict.REGRESSION])
@pytest.mark.parametrize(
    ("old_ms", "outcome", "left"),
    [(20.1, Confirmation.CLEARED, GateVerdict.PASS), (22.0, Confirmation.UNDECIDED, None)],
)
def test_without_a_recorded_change_only_the_machine_or_noise_is_left(
    old_ms, outcome, left, verdict
):
    found, verdict_now = judged_by(make_duet(1.0, "same", old_ms), {"host": HERE["host"]}, verdict)
    assert found.outcome == outcome
    assert verdict_now == (left or verdict)
    assert found.still_slow == (left is None)


# --- the whole of it, with the duets already on disk


class Settings:
    """What of the settings is used."""

    def __init__(self, output_dir, budget="1h"):
        self.output_dir = output_dir
        self.nightly = SimpleNamespace(confirm_budget=budget, old=None)


def test_duets_of_an_earlier_start_count_when_a_night_is_only_judged(tmp_path):
    good = HERE | {"own_code": "bbb", "git_commit": "2222222"}
    judgement = night_with(before=good)
    assert judgement.findings[0].verdict == GateVerdict.REGRESSION
    folder = tmp_path / judgement.night.sweep_id / "duets/b"
    assert confirmed(judgement, {}, None, Settings(tmp_path), print) == judgement  # there is none
    folder.mkdir(parents=True)
    save_duet(make_duet(1.0, "same"), folder)
    found = confirmed(judgement, {}, None, Settings(tmp_path), print)
    assert {one.title[0]: one.verdict for one in found.findings} == dict.fromkeys("abc", "pass")
    assert found.counts == {GateVerdict.PASS: 3}
    save_duet(make_duet(1.1), folder)
    found = confirmed(judgement, {}, None, Settings(tmp_path), print)
    (duet,) = (one.duet for one in found.findings if one.duet is not None)
    assert duet.outcome == Confirmation.CONFIRMED
    assert duet.bisect.startswith("python -m runner.bisect 2222222 1111111 --of ")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda text: text.replace('"version": 1', '"version": 2'), "version is 2; expected 1"),
        (lambda text: "{", "can't be read"),
    ],
)
def test_a_duet_that_can_not_be_read_leaves_the_verdict(tmp_path, damage, why):
    judgement = night_with(before=HERE | {"own_code": "bbb", "git_commit": "2222222"})
    folder = tmp_path / judgement.night.sweep_id / "duets/b"
    folder.mkdir(parents=True)
    save_duet(make_duet(1.0, "same"), folder)
    path = folder / "duet.json"
    path.write_text(damage(path.read_text()))
    found = confirmed(judgement, {}, None, Settings(tmp_path), print).findings[0]
    assert (found.verdict, found.duet.outcome) == (GateVerdict.REGRESSION, Confirmation.UNAVAILABLE)
    assert why in found.duet.why


def test_a_budget_of_nothing_plays_nothing(tmp_path):
    judgement, words = night_with(), ["sweep=nightly"]
    assert confirmed(judgement, {}, words, Settings(tmp_path, "0s"), print) is judgement


def test_a_night_of_another_host_can_not_be_confirmed_here():
    judgement = night_with(tonight_facts=HERE | {"host": "there"})
    with pytest.raises(Unavailable, match="the night ran on there, this is"):
        confirm.old_state(judgement.night, make_night(5, facts=HERE), "b", None)


def test_the_outcome_stands_in_the_file_the_pages_and_the_exit_code(tmp_path):
    from runner.pages.night_page import night_page
    from runner.pages.nightly import Report, headline, junit_of, page_of, values_of
    from runner.pages.page import to_html, to_markdown
    from runner.sweep.night import code_of

    judgement = night_with(before=HERE | {"own_code": "bbb", "git_commit": "2222222"})
    folder = tmp_path / judgement.night.sweep_id / "duets/b"
    folder.mkdir(parents=True)
    for duet, code in ((make_duet(1.1), 3), (make_duet(1.0, "same"), 0)):
        save_duet(duet, folder)
        found = confirmed(judgement, {}, None, Settings(tmp_path), print)
        report = Report(found, str(tmp_path))
        assert code_of(found, 0.2) == code
        outcome = "confirmed" if code else "cleared"
        assert f"duets: 1 {outcome}" in headline(found)
        values = json.loads(json.dumps(values_of(report, code)))
        (trial,) = (one for one in values["trials"] if one["duet"])
        assert (trial["duet"]["outcome"], trial["duet"]["rounds"]) == (outcome, 6)
        for text in (to_markdown(page_of(report)), to_html(night_page(report, "x.html"))):
            assert f"duet: {outcome}: against 2222222" in text
        assert ("<failure" in junit_of(report)) == bool(code)
