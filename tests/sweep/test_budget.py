"""A night's budget through the real program: its rounds, what it says, and going on."""

from __future__ import annotations

import pytest

NIGHT = ("model=simulated", "timing.iterations=20", "tracking=off", "sweep.repeats=2")


@pytest.fixture
def night(program):
    """A night on which two trials were timed."""
    ran = program(*NIGHT, "input.size=64,96", "sweep.id=nightly-2026-11-24")
    assert ran.code == 0, ran.err
    return ran


def planned(ran):
    return [line.split()[1] for line in ran.out.splitlines() if " on simulated" in line]


def test_a_budget_plans_the_rounds_from_former_nights(program, night):
    more = (*NIGHT, "input.size=64,96,128", "sweep.id=nightly-2026-11-25", "dry_run=true")
    enough = program(*more, "nightly.budget=10m")
    assert len(planned(enough)) == 6
    assert "budget 10m: " in enough.out
    assert "2 rounds" in enough.out
    tight = program(*more, "nightly.budget=1s")
    assert len(planned(tight)) == 3
    assert "not even one round fits" in tight.out


def test_without_a_former_night_the_usual_rounds_are_run_and_going_on_keeps_the_plan(
    program, night
):
    first = (*NIGHT, "input.size=64,96", "output_dir=elsewhere", "sweep.id=nightly-2026-11-25")
    ran = program(*first, "nightly.budget=1h")
    assert "the duration of a trial is unknown without an earlier night, so 2 rounds run" in ran.out
    again = program(*first, "nightly.budget=1s")
    assert again.code == 0, again.err
    assert "4 of 4 trials are done" in again.out


def test_a_budget_that_is_none_and_repeats_beside_one_are_refused(program):
    ran = program(*NIGHT, "nightly.budget=2x", "nightly.window=0", "nightly.history=cloud")
    assert ran.code == 2
    for key in ("budget is 2x", "window is 0", "history is cloud"):
        assert f"nightly.{key}" in ran.err
    ran = program("model=simulated", "repeat=0,1", "nightly.budget=1h")
    assert "but repeat is given as well" in ran.err
