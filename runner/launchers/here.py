"""Trials on this machine, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.contract import Status
from runner.launchers.job import Job, Result, run_point
from runner.launchers.launcher import Launcher, Observer
from runner.worker import process
from runner.worker.execution import PhaseCallbacks


class Here(Launcher):
    """A fresh process for each trial, and only one at a time."""

    _observer: Observer | None = None

    def observed_by(self, observer: Observer) -> None:
        """See Launcher."""
        self._observer = observer

    def run(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """See Launcher. Starts loading torch at once, which takes seconds."""
        if any(job.isolation == "process" for job in jobs):
            process.start()
        return self._run(jobs)

    def _run(self, jobs: Sequence[Job]) -> Iterator[Result]:
        listener = PhaseCallbacks()
        if self._observer is not None:
            listener = PhaseCallbacks(self._observer.phase)
        for job in jobs:
            if self._observer is not None:
                self._observer.begins(job.planned.title, job.trial.timing)
            record = run_point(job, listener)
            yield job.trial, record
            if record.status == Status.INTERRUPTED:
                raise KeyboardInterrupt
