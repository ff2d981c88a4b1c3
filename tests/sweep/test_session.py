"""One start of a sweep with a scripted launcher: results passed on, misbehaviour reported."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from fakes.trials import make_trial, timed
from rich.console import Console

from runner.contract import ExitCode, Status
from runner.launchers.job import Job, Lost
from runner.launchers.launcher import Launcher
from runner.sweep.interrupt import Interrupt
from runner.sweep.session import Session


class Scripted(Launcher):
    """Gives what a function makes of the jobs, and runs nothing."""

    def __init__(self, script: Callable[[Sequence[Job]], Iterator[object]]) -> None:
        self.script, self.jobs = script, []

    def claims(self, trials, devices):
        """Nothing of this machine."""
        return set()

    def run(self, jobs):
        """See Launcher."""
        self.jobs = list(jobs)
        return self.script(jobs)


def good(job):
    return job.trial, replace(timed(job.trial), sweep_id="mine")


@pytest.fixture
def start(plan):
    """Starts a sweep of three trials; its exit code, its text, its launcher."""

    def run(script, *words, interrupt=None):
        launcher = Scripted(script)
        made = replace(plan("input.size=64,96,128", "tracking=off", *words), launcher=launcher)
        console, out = Console(file=io.StringIO(), width=140), io.StringIO()
        session = Session(made, ["runner"], interrupt or Interrupt(), console, out)
        code = session.run()
        return code, console.file.getvalue(), launcher, out.getvalue()

    return run


def test_every_result_is_shown_and_all_of_them_are_a_success(start):
    code, text, _, _ = start(lambda jobs: map(good, jobs))
    assert code == ExitCode.OK
    assert "[3/3] " in text


def test_a_trial_that_is_lost_is_a_failure_with_its_reason(start):
    def script(jobs):
        yield good(jobs[0])
        yield jobs[1].trial, Lost(Status.FAILED, "its node is gone")
        yield good(jobs[2])

    code, text, _, _ = start(script)
    assert code == ExitCode.FAILED
    assert "its node is gone" in text
    assert "of 3 trials 1 not completed" in text


def test_results_that_nobody_asked_for_or_that_never_come_are_reported(start):
    def script(jobs):
        yield good(jobs[0])
        yield good(jobs[0])
        yield make_trial(seed=7), timed(make_trial(seed=7))

    code, text, _, _ = start(script)
    assert code == ExitCode.FAILED
    assert text.count("warning: the launcher returned an unexpected result: ") == 2
    assert "warning: the launcher returned no result for 2 trials" in text


def test_an_interrupt_between_two_results_keeps_what_the_launcher_still_gives(start):
    def script(jobs):
        try:
            yield good(jobs[0])
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            yield good(jobs[1])
            raise

    code, text, _, _ = start(script)
    assert code == ExitCode.INTERRUPTED
    assert "of 3 trials" in text
    assert "resume    python -m runner sweep.resume=mine" in text


def test_an_interrupt_before_the_start_runs_nothing(start):
    interrupt = Interrupt()
    interrupt.seen = True
    with pytest.raises(KeyboardInterrupt):
        start(lambda jobs: map(good, jobs), interrupt=interrupt)


def test_the_result_as_json_goes_where_it_was_asked_for(start):
    _, text, _, out = start(lambda jobs: map(good, jobs), "format=json")
    assert len(json.loads(out)["trials"]) == 3
    assert "{" not in text.splitlines()[0]
