"""The rounds of a duet: what they decide, what a failure costs, how they resume."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from fakes.trials import make_trial, planned_of, timed

from runner.contract import SideFailed, Unreadable, UsageError
from runner.duets import duet as duets
from runner.duets.duet import Duet, Player, Rules
from runner.duets.link import Hello
from runner.duets.sides import Side
from runner.records.duets import load_duet
from runner.records.record import Outcome

TRIAL = make_trial()
FAILED = Outcome("failed", error={"type": "ValueError", "message": "no such size", "trace": ""})
CUT = Outcome("interrupted", error={"type": "SideFailed", "message": "the other", "trace": ""})


class Hosts:
    """Hosts that are never asked."""

    packages = ({"six": "1.16"}, {"six": "1.17", "torch": "2"})

    def start(self, *sides):
        pass

    def link(self, side):
        return side

    def hello(self, side):
        packages = self.packages[side.role == "new"]
        return Hello(1, "0", "3.12", {"host": "here", "torch": "2.14"}, packages)


class Watching:
    """What an observer has seen."""

    def __init__(self):
        self.begun, self.rounds = [], []

    def begins(self, duet):
        self.begun.append(len(duet.rounds))

    def round_ended(self, duet):
        self.rounds.append(len(duet.rounds))


@pytest.fixture
def play(monkeypatch):
    """Replaces the rounds by scripted outcomes; a number is a median in milliseconds."""
    script = []

    def outcomes(parts, first, order):
        values = script.pop(0)
        if isinstance(values, BaseException):
            raise values
        return [
            value if isinstance(value, Outcome) else timed(part.trial, value).outcome
            for part, value in zip(parts, values, strict=True)
        ]

    monkeypatch.setattr(duets, "play", outcomes)
    return script


def make_duet(folder, seed=0, **changes):
    sides = [replace(Side(role, f"{role} one"), **changes) for role in ("old", "new")]
    players = [Player(side, TRIAL, planned_of(TRIAL)) for side in sides]
    return Duet(players, folder, Rules(seed=seed), Hosts())


def test_a_slower_side_is_called_after_the_first_look(play, tmp_path):
    play += [(10.0, 10.6 + 0.01 * number) for number in range(6)]
    watching = Watching()
    found = make_duet(tmp_path / "d").run(watching)
    assert (found.verdict, len(found.rounds)) == ("slower", 6)
    assert found.ratio == pytest.approx(1.06, abs=0.01)
    assert watching.rounds == [1, 2, 3, 4, 5, 6]
    assert found == load_duet(tmp_path / "d")
    assert "six: 1.16 -> 1.17" in found.differs
    assert "torch: not installed -> 2" in found.differs
    records = sorted((tmp_path / "d").glob("*/*/record.json"))
    assert [path.parts[-3] for path in records] == ["new"] * 6 + ["old"] * 6


def test_settings_that_differ_are_named(play, tmp_path):
    play += [(10.0, 10.0)] * 6
    sides = [Side(role, role) for role in ("old", "new")]
    other = make_trial(model={"kwargs": {"ms": 9}})
    players = [
        Player(side, trial, planned_of(trial))
        for side, trial in zip(sides, (TRIAL, other), strict=True)
    ]
    found = Duet(players, tmp_path / "d", Rules(), Hosts()).run(Watching())
    assert "model.kwargs: not set -> {'ms': 9}" in found.differs


def test_rounds_continue_until_a_look_decides(play, tmp_path):
    play += [(10.0, 10.0 * 1.04 ** (number % 2)) for number in range(48)]
    found = make_duet(tmp_path / "d").run(Watching())
    assert found.verdict in ("undecided", "slower", "same")
    assert len(found.rounds) in (12, 24, 48)


def test_a_killed_duet_resumes_with_its_rounds(play, tmp_path):
    play += [(10.0, 10.0), (10.0, 10.0), KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        make_duet(tmp_path / "d").run(Watching())
    play += [(10.0, 10.01)] * 4
    watching = Watching()
    found = make_duet(tmp_path / "d").run(watching)
    assert watching.begun == [2]
    assert (found.verdict, len(found.rounds)) == ("same", 6)


def test_a_duet_that_has_ended_is_not_played_again(play, tmp_path):
    play += [(10.0, 10.0)] * 6
    first = make_duet(tmp_path / "d").run(Watching())
    assert make_duet(tmp_path / "d").run(Watching()) == first


def test_a_side_that_fails_at_once_ends_the_duet(play, tmp_path):
    play += [(CUT, FAILED)]
    found = make_duet(tmp_path / "d").run(Watching())
    assert (found.verdict, found.failed) == ("failed", "new")
    assert "no such size" in found.why
    play += [(10.0, 10.0)] * 6  # mended, and tried again
    assert make_duet(tmp_path / "d").run(Watching()).verdict == "same"


def test_a_round_that_fails_later_is_played_once_more(play, tmp_path):
    good = (10.0, 10.01)
    play += [good, (FAILED, CUT), good, (good[0], FAILED), *[good] * 4]
    assert make_duet(tmp_path / "d").run(Watching()).verdict == "same"
    play += [good, (FAILED, CUT), (FAILED, CUT)]
    found = make_duet(tmp_path / "e").run(Watching())
    assert (found.verdict, found.failed, len(found.rounds)) == ("failed", "old", 1)


def test_code_that_changes_while_a_duet_runs_ends_it(play, tmp_path):
    first, second = (replace(timed(TRIAL).outcome, environment={"own_code": code}) for code in "ab")
    play += [(first, first), (first, second), (first, second)]
    found = make_duet(tmp_path / "d").run(Watching())
    assert (found.verdict, found.failed, len(found.rounds)) == ("failed", "new", 1)
    assert "changed while the duet ran" in found.why


def test_another_name_for_the_same_side_resumes(play, tmp_path):
    play += [(10.0, 10.0), KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        make_duet(tmp_path / "d").run(Watching())
    play += [(10.0, 10.0)] * 5
    assert make_duet(tmp_path / "d", name="HEAD").run(Watching()).verdict == "same"


def test_a_module_from_the_working_tree_spoils_a_commit(play, tmp_path):
    foreign = replace(timed(TRIAL).outcome, environment={"foreign_files": ["/here/net.py"]})
    play += [(foreign, 10.0)]
    found = make_duet(tmp_path / "d").run(Watching())
    assert (found.verdict, found.failed) == ("failed", "old")
    assert "/here/net.py from the working tree" in found.why


@pytest.mark.parametrize(
    ("seed", "changes", "what"),
    [(1, {}, "seed"), (0, {"words": ("a=b",)}, "old words"), (0, {"commit": "2"}, "old commit")],
)
def test_the_folder_of_another_duet_is_refused(play, tmp_path, seed, changes, what):
    play += [(10.0, 10.0)] * 6
    make_duet(tmp_path / "d").run(Watching())
    with pytest.raises(UsageError, match=f"is a duet whose {what} is"):
        make_duet(tmp_path / "d", seed, **changes).run(Watching())


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"version": 1', '"version": 2', "version is 2; expected 1"),
        ('"seed": 0', '"seed": "x"', "seed is 'x'; expected"),
        ('"rounds"', '"turns"', "lacks rounds"),
        ("{", "", "can't be read"),
        ('"ratio": 1.0', '"ratio": null', "without ratio and interval"),
        ('"looks": [', '"looks": [99, ', "expected no verdict before 99 rounds"),
    ],
)
def test_a_damaged_file_is_named(play, tmp_path, old, new, why):
    play += [(10.0, 10.0)] * 6
    make_duet(tmp_path / "d").run(Watching())
    path = tmp_path / "d" / "duet.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(Unreadable, match=why):
        make_duet(tmp_path / "d").run(Watching())


def test_the_order_of_a_round_is_that_of_its_seed():
    def orders(seed):
        return [make_duet(None, seed)._order(number)[1] for number in range(20)]

    assert orders(0) == orders(0) != orders(1)
    assert set(orders(0)) == {0, 1}


class Scripted:
    """A link whose events are given beforehand; it notes what it is asked, beside the others."""

    def __init__(self, name, events, heard):
        self.side, self.heard = Side(name, name), heard
        self._events = list(events)

    def begin(self, task, trial, log):
        assert trial.timing.timeout_s is None
        self.heard.append(f"{self.side.role} begins")

    def resume(self, *, go):
        self.heard.append(f"{self.side.role} {'goes' if go else 'ends'}")

    def wait(self, limit_s):
        event = self._events.pop(0)
        if isinstance(event, BaseException):
            raise event
        return (
            {"event": event, "outcome": {"status": "completed"}}
            if event == "done"
            else {"event": event}
        )

    def close(self):
        self.heard.append(f"{self.side.role} closes")


def rounds_of(old, new, first=0):
    from runner.duets.rounds import Part, play

    heard = []
    links = [Scripted("old", old, heard), Scripted("new", new, heard)]
    trial = make_trial(timing={"timeout_s": 5.0})
    outcomes = play([Part(link, trial, None) for link in links], first, random.Random(1))
    return [one.status for one in outcomes], heard


def test_builds_and_blocks_never_overlap():
    events = ["turn", "turn", "turn", "measured", "done"]
    statuses, heard = rounds_of(events, events, first=1)
    assert statuses == ["completed", "completed"]
    assert heard[:2] == ["new begins", "old begins"]
    blocks = heard[2:8]
    for pair in (blocks[:2], blocks[2:4], blocks[4:]):
        assert sorted(pair) == ["new goes", "old goes"]
    assert sorted(heard[8:]) == ["new goes", "old goes"]  # each describes the machine


def test_a_side_that_fails_before_it_is_timed_spares_the_other_one():
    statuses, heard = rounds_of([SideFailed("gone")], ["turn", "turn"])
    assert statuses == ["failed", "interrupted"]
    assert heard == ["old begins", "old closes"]


def test_a_side_that_hangs_in_a_block_ends_the_round():
    statuses, heard = rounds_of(
        ["turn", "turn", TimeoutError("it did not answer within 5 s")],
        ["turn", "turn", "turn", "done"],
    )
    assert statuses[0] == "timed_out"
    assert "old closes" in heard
    assert heard[-1] == "new ends"


def test_sides_of_different_lengths_finish_their_blocks_first():
    statuses, heard = rounds_of(
        ["turn", "measured", "done"], ["turn", "turn", "turn", "measured", "done"]
    )
    assert statuses == ["completed", "completed"]
    assert heard[-2:] == ["old goes", "new goes"]


def test_an_interrupt_ends_both_hosts():
    with pytest.raises(KeyboardInterrupt):
        rounds_of(["turn", KeyboardInterrupt()], ["turn", "turn"])
