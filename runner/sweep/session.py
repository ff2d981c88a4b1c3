"""Everything around the trials of a sweep: folder, progress, MLflow, the table at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from runner.host.environment import host_environment
from runner.records.manifest import save_manifest
from runner.records.record import Record
from runner.records.store import RECORD
from runner.sweep.interrupt import Interrupt
from runner.sweep.job import Audience, Job
from runner.sweep.plan import Plan, start_worker
from runner.terminal.progress import SweepProgress
from runner.tracking.publisher import Publisher
from runner.trial.description import Timing
from runner.trial.rules import Problem, UsageError

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class Session(Audience):
    """The audience of a sweep's jobs; `exit_code` holds once its context has been left."""

    def __init__(
        self, plan: Plan, command: Sequence[str], interrupt: Interrupt, console: Console
    ) -> None:
        self.exit_code = FAILED  # until the end has been reached
        self._plan, self._command, self._interrupt = plan, tuple(command), interrupt
        self._console = console
        self._records: list[Record] = []
        self._progress = SweepProgress(console, len(plan.trials))
        self._publisher = self._make_publisher()

    def _make_publisher(self) -> Publisher | None:
        settings = self._plan.settings
        if settings.tracking.kind == "off":
            return None
        return Publisher(
            settings.tracking.uri,
            settings.tracking.experiment,
            settings.output_dir,
            sweep_id=settings.sweep_id,
            name=settings.name,
            trials=len(self._plan.trials),
            tell=self._tell,
        )

    @contextmanager
    def around(self) -> Iterator[Job]:
        """Folder, manifest, forkserver and MLflow before; MLflow and table after."""
        plan = self._plan
        if self._interrupt.seen:
            raise KeyboardInterrupt
        self._make_folder()
        save_manifest(plan.manifest(self._command), plan.settings.sweep_dir)
        start_worker(plan.settings)  # loads torch while MLflow loads here
        try:
            with self._progress:
                host_environment(plan.folder)  # kept for the trials
                self._open_tracking()
                import runner.verdict.judge  # noqa: F401  (scipy: now, while the forkserver loads torch)

                yield Job(
                    plan.devices, plan.folder, plan.varying, plan.order_seed, self._command, self
                )
            if all(record.completed and record.verdict for record in self._records):
                self.exit_code = OK
        except KeyboardInterrupt:
            self.exit_code = INTERRUPTED
            raise
        finally:
            if self._publisher is not None:
                self._publisher.close(
                    {OK: "FINISHED", INTERRUPTED: "KILLED"}.get(self.exit_code, "FAILED")
                )
            self._report()

    def _make_folder(self) -> None:
        settings = self._plan.settings
        try:
            settings.sweep_dir.mkdir(parents=True)
        except OSError as error:
            raise UsageError(
                Problem(
                    "output_dir",
                    f"output_dir is {settings.output_dir}, but no folder can be made there "
                    f"({error.strerror})",
                    "give one that can be written",
                )
            ) from error

    def _open_tracking(self) -> None:
        if self._publisher is None:
            return
        if self._plan.settings.tracking.kind == "sqlite" and os.environ.get("MLFLOW_TRACKING_URI"):
            self._tell(
                "warning: MLFLOW_TRACKING_URI is set, but tracking=sqlite; tracking=server uses it"
            )
        self._publisher.open()

    def begins(self, title: str, timing: Timing) -> None:
        """A trial begins, unless Ctrl-C was pressed where a library has swallowed it."""
        if self._interrupt.seen:
            raise KeyboardInterrupt
        self._progress.trial(title, f"{timing.warmup} warm-ups, {timing.iterations} timed")

    def phase(self, name: str, expected_s: float | None) -> None:
        """A phase of it begins."""
        self._progress.phase(name, expected_s)

    def ended(self, record: Record, path: Path) -> None:
        """Publish and show a record that is on disk."""
        self._records.append(record)
        if self._publisher is not None:
            self._publisher.publish(record, path)
        self._progress.done(record)

    def returned(self, records: Sequence[Record]) -> None:
        """Hear of the trials, in the plan's order, that ran in other processes."""
        if self._records:
            return  # they ran in this one
        for trial, record in zip(self._plan.trials, records, strict=True):
            self.begins(record.title, record.trial.timing)
            self.ended(record, self._plan.settings.sweep_dir / trial.folder / RECORD)

    def _report(self) -> None:
        if not self._records:
            return
        # scipy comes with them
        from runner.terminal.closing import closing_lines
        from runner.terminal.table import show

        show(self._records, self._console)
        plan = self._plan
        for line in closing_lines(self._records, len(plan.trials), plan.settings.sweep_dir):
            self._tell(line)
        if self._publisher is not None:
            invalid = sum(record.verdict == "invalid" for record in self._records)
            for line in self._publisher.closing_lines(invalid):
                self._tell(line)

    def _tell(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)
