"""Everything around the trials of a sweep: folder, locks, progress, MLflow, the closing table."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from rich.console import Console

from runner.host.environment import host_environment
from runner.records.locks import Held, locked
from runner.records.manifest import MANIFEST, Manifest, save_manifest
from runner.records.record import Record
from runner.records.store import LOCK, LOG, RECORD, UnreadableRecord, load, save
from runner.sweep import resume
from runner.sweep.devices import held
from runner.sweep.interrupt import Interrupt
from runner.sweep.job import Audience, Job
from runner.sweep.plan import Plan, start_worker
from runner.terminal.lines import Lines
from runner.terminal.progress import SweepProgress
from runner.tracking.catch_up import Target
from runner.tracking.publisher import Publisher
from runner.trial.description import Timing, Trial
from runner.trial.rules import Problem, UsageError

SWEEP_LOG = "sweep.log"  # in the sweep's folder: what was told
OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class Session(Audience):
    """The audience of a sweep's jobs; `exit_code` holds once its context has been left."""

    def __init__(
        self, plan: Plan, command: Sequence[str], interrupt: Interrupt, console: Console
    ) -> None:
        self.exit_code = FAILED  # until the end has been reached
        self._plan, self._command, self._interrupt = plan, tuple(command), interrupt
        self._lines = Lines(console)
        self._manifest: Manifest = plan.manifest(self._command)
        self._records: dict[str, Record] = {}  # by the trial's folder
        self._resumed = False
        self._placed: list[Trial] = []
        self._publisher: Publisher | None = None
        self._progress = SweepProgress(self._lines, [])

    @contextmanager
    def around(self) -> Iterator[Job]:
        """Folder, locks, manifest, forkserver and MLflow before; MLflow and table after."""
        if self._interrupt.seen:
            raise KeyboardInterrupt
        with ExitStack() as locks:
            self._take_folder(locks)
            self._go_on()
            self._take_devices(locks)
            self._placed = [trial for trial in self._plan.trials if self.is_left(trial)]
            if self._placed and not self._plan.elsewhere:
                start_worker(self._plan.settings)  # loads torch while MLflow loads here
            try:
                with self._progress:
                    try:
                        yield self._open()
                    except KeyboardInterrupt:
                        self._look_for_cut_ones()
                        raise
                if self._interrupt.seen:
                    raise KeyboardInterrupt
                if self._is_complete():
                    self.exit_code = OK
            except KeyboardInterrupt:
                self.exit_code = INTERRUPTED
                raise
            finally:
                records = self._in_order()
                pages = self._write_pages(records)
                if self._publisher is not None:
                    self._publisher.close(
                        {OK: "FINISHED", INTERRUPTED: "KILLED"}.get(self.exit_code, "FAILED"),
                        records,
                    )
                self._report(records, pages)
                if self._publisher is not None and self.exit_code != INTERRUPTED:
                    self._publisher.bring_others()

    def _look_for_cut_ones(self) -> None:
        """Hear of trials that an interrupt has met in other processes, which told nobody."""
        for trial in self._placed if self._plan.elsewhere else ():
            path = self._plan.settings.sweep_dir / trial.folder / RECORD
            with suppress(UnreadableRecord):
                if self.is_left(trial):
                    record = load(path)
                    self._progress.trial(record.title, record.status)
                    self.ended(record, path)

    def _open(self) -> Job:
        plan = self._plan
        host_environment(plan.folder)  # kept for the trials
        self._open_tracking()
        import runner.verdict.judge  # noqa: F401  (scipy: now, while the forkserver loads torch)

        # what is loaded stays; beside so much of it, garbage would be looked for after 70 MiB only
        gc.freeze()
        return Job(plan.devices, plan.folder, plan.varying, plan.order_seed, self._command, self)

    def _take_folder(self, locks: ExitStack) -> None:
        """Make the sweep's folder, and keep all others out of it."""
        settings = self._plan.settings
        try:
            settings.sweep_dir.mkdir(parents=True, exist_ok=True)
            locks.enter_context(locked(settings.sweep_dir / LOCK, f"sweep {settings.sweep_id}"))
        except Held as holder:
            found = f"sweep.id is {settings.sweep_id}, but that is being run by {holder}"
            remedy = "wait for it, or give another sweep.id"
            raise UsageError(Problem("sweep.id", found, remedy)) from holder
        except OSError as error:
            raise UsageError(
                Problem(
                    "output_dir",
                    f"output_dir is {settings.output_dir}, but no folder can be made there "
                    f"({error.strerror})",
                    "give one that can be written",
                )
            ) from error

    def _go_on(self) -> None:
        """Write the manifest, or find what is there of the sweep that has one."""
        settings = self._plan.settings
        sweep_dir, manifest = settings.sweep_dir, self._manifest
        if (sweep_dir / MANIFEST).exists() or any(sweep_dir.glob(f"*/{RECORD}")):
            self._resumed = True
            manifest = resume.continued(self._manifest, sweep_dir, settings.extend)
        self._lines.open(sweep_dir / SWEEP_LOG, self._command)
        if self._resumed:
            for planned, record in resume.records_there(manifest, sweep_dir):
                if isinstance(record, UnreadableRecord):
                    self._lines.tell(f"warning: {record}; it is kept, and the trial runs again")
                elif not resume.is_left(record, settings.retry):
                    self._records[planned.folder] = self._judged(record, planned.folder)
            self._lines.tell(
                f"going on with {settings.sweep_id}: {len(self._records)} of "
                f"{len(manifest.trials)} trials are there"
            )
        if manifest is self._manifest or len(manifest.trials) > len(self._manifest.trials):
            save_manifest(manifest, sweep_dir)
        self._manifest = manifest
        if self._plan.kept.told:
            self._lines.tell(self._plan.kept.told)
        left = [trial.key for trial in self._plan.trials if self.is_left(trial)]
        self._progress = SweepProgress(self._lines, left, list(self._records.values()))

    def _judged(self, record: Record, folder: str) -> Record:
        """The record, judged now if its process was killed before it could be."""
        if not record.completed or record.verdict:
            return record
        from runner.verdict.judge import judged

        record = judged(record)
        save(record, self._plan.settings.sweep_dir / folder / RECORD)
        return record

    def _take_devices(self, locks: ExitStack) -> None:
        """Hold the devices of this sweep, unless a launcher holds its own."""
        plan = self._plan
        if not plan.elsewhere:
            left = [trial for trial in plan.trials if self.is_left(trial)]
            devices = {plan.devices.identity(trial.device) for trial in left} - {"simulated"}
            locks.enter_context(self.holding(devices))

    def _open_tracking(self) -> None:
        settings = self._plan.settings
        if settings.tracking.kind == "off":
            return
        if settings.tracking.kind == "sqlite" and os.environ.get("MLFLOW_TRACKING_URI"):
            self._lines.tell(
                "warning: MLFLOW_TRACKING_URI is set, but tracking=sqlite; tracking=server uses it"
            )
        self._publisher = Publisher(
            Target(settings.tracking.uri, settings.tracking.experiment, settings.output_dir),
            sweep_id=settings.sweep_id,
            name=settings.name,
            title=self._plan.title,
            trials=len(self._manifest.trials),
            resumed=self._resumed,
            tell=self._lines.tell,
        )
        self._publisher.open()
        for folder, record in self._records.items():
            self._publisher.publish_later(record, settings.sweep_dir / folder / RECORD)

    def is_left(self, trial: Trial) -> bool:
        """Whether a trial of the plan is to be run."""
        return trial.folder not in self._records

    def begins(self, title: str, timing: Timing) -> None:
        """A trial begins, unless Ctrl-C was pressed where a library has swallowed it."""
        if self._interrupt.seen:
            raise KeyboardInterrupt
        self._progress.trial(title, f"{timing.warmup} warm-ups, {timing.iterations} timed")

    def holding(self, devices: Iterable[str]) -> AbstractContextManager[None]:
        """Hold devices while the context lasts."""
        settings = self._plan.settings
        what = f"sweep {settings.sweep_id}"
        return held(devices, what, settings.device_lock, self._lines.tell)

    def phase(self, name: str, expected_s: float | None) -> None:
        """A phase of it begins."""
        self._progress.phase(name, expected_s)

    def ended(self, record: Record, path: Path) -> None:
        """Publish and show a record that is on disk."""
        self._records[path.parent.name] = record
        if self._publisher is not None:
            self._publisher.publish(record, path)
        log = self._plan.settings.sweep_dir / path.parent.name / LOG
        self._progress.done(record, log)

    def came_back(self, place: int, record: Record) -> None:
        """Hear of a trial, by its place among those that were left, from another process."""
        trial = self._placed[place]
        if self.is_left(trial):
            self.begins(record.title, record.trial.timing)
            self.ended(record, self._plan.settings.sweep_dir / trial.folder / RECORD)

    def returned(self, records: Sequence[Record]) -> None:
        """Hear of all trials that were left, unless that has been told already."""
        for place, record in enumerate(records):
            self.came_back(place, record)

    def _is_complete(self) -> bool:
        done = [record for record in self._records.values() if record.completed and record.verdict]
        return len(done) == len(self._manifest.trials)

    def _in_order(self) -> list[Record]:
        order = [planned.folder for planned in self._manifest.trials]
        return [self._records[folder] for folder in order if folder in self._records]

    def _write_pages(self, records: Sequence[Record]) -> list[Path]:
        """The pages about a sweep of several trials; none while it is being interrupted."""
        settings = self._plan.settings
        several = len(records) > 1 and any(record.completed for record in records)
        if not (settings.report and several) or self.exit_code == INTERRUPTED:
            return []
        from runner.pages import report  # brings plotly

        missing = len(self._manifest.trials) - len(records)
        notes = [f"{missing} planned trials have not run"] if missing else []
        try:
            return report.write(records, settings.sweep_dir, notes)
        except Exception as error:  # of what is only shown nothing may cost a result
            again = f"python -m runner.report {settings.sweep_id}"
            self._lines.tell(f"warning: no report ({type(error).__name__}: {error}); {again}")
            return []

    def _report(self, records: Sequence[Record], pages: Sequence[Path]) -> None:
        if not records:
            return
        from runner.terminal.closing import closing_lines  # scipy comes with it

        if len({record.cause for record in records}) > 1 or records[0].completed:
            self._lines.table(records)  # of nothing but one failure there is none
        if len(records) > 1:
            from runner.pages.answers import answers

            for line in answers(records, most=3):
                self._lines.tell(line)
        planned = len(self._manifest.trials)
        for line in closing_lines(records, planned, self._plan.settings.sweep_dir):
            self._lines.tell(line)
        if pages:
            self._lines.tell(f"report    {pages[0]}")
        if self._publisher is not None:
            invalid = sum(record.verdict == "invalid" for record in records)
            for line in self._publisher.closing_lines(invalid):
                self._lines.tell(line)
