"""Nights whose slow trials are confirmed by duets, through the whole program."""

from __future__ import annotations

import json
import shlex

import pytest
from fakes.nights import copied_night, night_id
from fakes.program import run_in
from fakes.repository import WORDS, Repository

pytestmark = pytest.mark.alone
KEPT = ("sweep_id", "environment", "started_at", "ended_at")  # of a record that is made slower
SMALL = (*WORDS, "sweep.repeats=3", "when_busy=warn", "tracking=off", "input.batch_size=1")


def night(folder, day, *words):
    return run_in(folder, *SMALL, *words, "--night", f"2026-11-{day:02d}", door="runner.nightly")


def gate(folder, day):
    values = json.loads((folder / "outputs" / night_id(day) / "gate.json").read_text())
    (trial,) = values["trials"]
    return values, trial


def slowed(folder, day, factor):
    """Make the recorded times of a night those of the first, but longer: it was disturbed."""
    for path in (folder / "outputs" / night_id(day)).glob("*/record.json"):
        first = folder / "outputs" / night_id(1) / path.parent.name / path.name
        values, now = json.loads(first.read_text()), json.loads(path.read_text())
        values |= {name: now[name] for name in KEPT}
        values["summary"]["p50_ms"] *= factor
        path.write_text(json.dumps(values))


def test_a_planted_slowdown_is_confirmed_blamed_and_explained_and_noise_is_cleared(tmp_path):
    made = Repository(tmp_path)
    first = night(tmp_path, 1)
    assert first.code == 6, first.out + first.err
    for day in (2, 3, 4, 5):
        copied_night(tmp_path, 1, day)

    made.change("Takes some", "It takes some", "a comment")  # the code differs, the time does not
    night(tmp_path, 6)
    slowed(tmp_path, 6, 1.05)
    noisy = night(tmp_path, 6)  # nothing is left to run: it is judged again
    assert noisy.code == 0, noisy.out + noisy.err
    values, trial = gate(tmp_path, 6)
    assert (trial["verdict"], trial["duet"]["outcome"]) == ("pass", "cleared")
    assert trial["duet"]["old"] == made.first[:12]
    assert "duets: 1 cleared" in values["headline"]

    made.change("4.0)", "4.5)", "sharper")
    made.commit("a note", notes="# nothing else\n")
    slow = night(tmp_path, 7)
    assert slow.code == 3, slow.out + slow.err
    values, trial = gate(tmp_path, 7)
    assert (trial["verdict"], trial["duet"]["outcome"]) == ("regression", "confirmed")
    assert trial["duet"]["because"].startswith("mine::sharpen grew from 4.")
    assert made.worktrees() == 1
    page = (tmp_path / "outputs" / night_id(7) / "night.html").read_text()
    assert "mine::sharpen grew" in page
    (tmp_path / "net.py").write_text("raise ImportError('edited in the morning')")
    assert night(tmp_path, 7, "--judge").code == 3  # it is not timed or profiled again
    assert gate(tmp_path, 7)[1]["duet"] == trial["duet"]
    made.git("checkout", "net.py")

    python, _, door, *arguments = shlex.split(trial["duet"]["bisect"])
    assert (python, door) == ("python", "runner.bisect")
    blamed = run_in(tmp_path, *arguments, "tracking=off", door=door)
    assert blamed.code == 0, blamed.out + blamed.err
    assert " sharper: did it, with " in blamed.out
