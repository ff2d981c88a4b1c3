"""One start of a sweep: runs the rest of its plan and passes on the results."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TextIO

from rich.console import Console

from runner.contract import ExitCode, Phase
from runner.launchers.device_lock import held
from runner.launchers.job import Job, Lost, Result, recovered
from runner.records.record import Record
from runner.sweep.busy import Contention, wait_until_idle
from runner.sweep.ending import end
from runner.sweep.folder import held_folder, started, with_free_id
from runner.sweep.interrupt import Interrupt
from runner.sweep.listeners import Listeners
from runner.sweep.plan import Plan
from runner.terminal.lines import Lines
from runner.trial.description import Timing, Trial


class Session:
    """Runs a plan once; output goes to the console and the sweep's log, JSON to `out`."""

    def __init__(
        self,
        plan: Plan,
        command: Sequence[str],
        interrupt: Interrupt,
        console: Console,
        out: TextIO,
    ) -> None:
        self._out = out
        self._contention: Contention | None = None
        self._plan, self._command, self._interrupt = plan, tuple(command), interrupt
        quiet, columns = plan.settings.quiet, plan.settings.columns
        self._lines = Lines(console, quiet=quiet, columns=columns)

    def run(self) -> ExitCode:
        """Run what is left of the plan; the exit code. Raises UsageError, with nothing run."""
        plan = self._plan
        self._stop_if_interrupted()
        plan.launcher.check(plan.devices)
        settings = with_free_id(plan.settings, self._command)
        self._plan = plan = replace(plan, settings=settings)
        with held_folder(settings):
            start = started(plan, self._command, self._lines)
            if plan.budget_note:
                self._lines.print(plan.budget_note)
            jobs = {
                job.planned.folder: job
                for job in plan.jobs(self._command)
                if job.planned.folder not in start.records
            }
            keys = [job.planned.key for job in jobs.values()]
            left = [job.trial for job in jobs.values()]
            more = plan.search is not None  # trials that are not known yet
            claimed = plan.launcher.claims(left or plan.trials, plan.devices)
            with held(
                claimed if left or more else (),
                f"sweep {settings.sweep_id}",
                settings.device_lock,
                self._lines.print,
                settings.sweep_dir,
            ) as give_back:
                if claimed and (left or more):  # only for devices of this machine
                    wait_until_idle(settings, self._lines.print)
                heard = Listeners(plan, start, keys, self._lines)
                self._contention = Contention(self._lines.print) if claimed else None
                self._progress, code = heard.progress, ExitCode.FAILED
                try:
                    with heard.progress:  # torch loads in another process while MLflow loads here
                        self._hear(jobs, heard, (lambda: None) if more else give_back)
                        while following := self._following(heard):
                            self._hear(following, heard, lambda: None)
                    code = ExitCode.OK if heard.complete else ExitCode.FAILED
                except KeyboardInterrupt:
                    code = ExitCode.INTERRUPTED
                finally:
                    give_back()
                    end(settings, heard, code, self._lines, self._out)
        return code

    def _hear(
        self, jobs: dict[str, Job], heard: Listeners, give_back: Callable[[], object]
    ) -> None:
        """Run the jobs, and pass each result to the listeners as it comes.

        The devices are released before the last one is passed on, because MLflow may be slow.
        """
        launcher, left = self._plan.launcher, dict(jobs)
        launcher.observed_by(self)
        results = launcher.run(list(jobs.values())) if jobs else iter(())
        heard.open()
        import runner.verdict.judge  # noqa: F401  (scipy: now, before anything is timed)

        # loaded libraries stay; with them the collector would run after 70 MiB only
        gc.freeze()
        try:
            for trial, result in results:
                job = left.pop(trial.folder, None)
                if not left:
                    give_back()
                self._take(job, trial, result, heard)
                self._stop_if_interrupted()
        except KeyboardInterrupt:
            for trial, result in _cut_short(results):
                self._take(left.pop(trial.folder, None), trial, result, heard)
            raise
        finally:
            if isinstance(results, Generator):
                results.close()
        if left:
            warning = f"warning: the launcher returned no result for {len(left)} trials"
            self._lines.print(warning)

    def _following(self, heard: Listeners) -> dict[str, Job]:
        """The next jobs of a search, planned on disk; none at its end."""
        search = self._plan.search
        if search is None:
            return {}
        plan = self._plan.grown(search.following(heard.in_order))
        heard.grow(plan.planned)
        return {job.planned.folder: job for job in plan.jobs(self._command)}

    def _take(self, job: Job | None, trial: Trial, result: Record | Lost, heard: Listeners) -> None:
        """Pass on the result of a job; None if this start has no such job (any more)."""
        if job is None:
            self._lines.print(f"warning: the launcher returned an unexpected result: {trial.title}")
        else:
            record = recovered(job, result) if isinstance(result, Lost) else result
            heard.ended(record)
            if self._contention is not None:
                self._contention.seen_by(record)

    def begins(self, title: str, timing: Timing) -> None:
        """A trial begins in this process."""
        self._stop_if_interrupted()
        self._progress.begins(title, timing)

    def phase(self, name: Phase, expected_s: float | None) -> None:
        """A phase of it begins."""
        self._progress.phase(name, expected_s)

    def _stop_if_interrupted(self) -> None:
        """Stop if Ctrl-C was pressed while a library suppressed it."""
        if self._interrupt.seen:
            raise KeyboardInterrupt


def _cut_short(results: Iterator[Result]) -> Iterator[Result]:
    """What the launcher returns of the trials it was running when the interrupt came."""
    if isinstance(results, Generator):
        with suppress(KeyboardInterrupt):
            yield results.throw(KeyboardInterrupt())
            yield from results
