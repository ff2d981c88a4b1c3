"""A trial to be run, and how any process runs it: measure, write, judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from runner.contract import Status, Unreadable
from runner.host.environment import host_environment
from runner.host.secrets import redacted_trial, redacted_values
from runner.records.manifest import Planned
from runner.records.record import Outcome, Record, utc_now
from runner.records.store import LOG, RECORD, load_in_place, save, set_aside
from runner.records.writable import cleaned, writable
from runner.trial.description import KEY_RULE, Model, Trial
from runner.worker import process
from runner.worker.execution import PhaseCallbacks

TOLD = ("effective", "environment", "contention", "error", "why_null")  # may hold any text


@dataclass(frozen=True)
class Job:
    """Everything a process needs to run one trial, on this machine or another.

    `planned` has the trial's names, `sweep_dir` is the folder of its sweep, `source_dir`
    is searched for the user's own modules, `command` is the command line without secrets. The trial
    keeps its secrets, which the network needs.
    """

    trial: Trial
    planned: Planned
    sweep_dir: Path
    source_dir: Path
    command: tuple[str, ...]
    order_seed: int | None
    isolation: str

    @property
    def record_path(self) -> Path:
        """The file of its record."""
        return self.sweep_dir / self.planned.folder / RECORD

    def record(self, outcome: Outcome, host: dict[str, Any], started_at: str) -> Record:
        """The record of the finished trial before it is judged, without secrets."""
        return raw_record(
            outcome,
            trial=_printable(redacted_trial(self.trial)),
            planned=self.planned,
            sweep_id=self.sweep_dir.name,
            host=host | {"command": list(self.command)},
            started_at=started_at,
            order_seed=self.order_seed,
        )


@dataclass(frozen=True)
class Lost:
    """A trial whose remote process returned no record: its status and the reason."""

    status: Status
    why: str


Result = tuple[Trial, Record | Lost]


def run_point(job: Job, listener: PhaseCallbacks | None = None) -> Record:
    """Run a trial in a fresh process; its raw outcome is on disk before it is judged.

    One that an interrupt has cut short has that status, and what it had measured.
    """
    from runner.verdict.judge import judged  # imports scipy, which a dry run does not need

    listener, path, started_at = listener or PhaseCallbacks(), job.record_path, utc_now()
    path.parent.mkdir(parents=True, exist_ok=True)
    set_aside(path)
    host = host_environment(job.source_dir)  # of the machine that runs it
    described = partial(job.record, host=host, started_at=started_at)
    saved = PhaseCallbacks(listener.phase, lambda outcome: save(described(outcome), path))
    outcome = process.run(job.trial, job.isolation, path.with_name(LOG), saved)
    record = judged(described(outcome))
    save(record, path)
    return record


def recovered(job: Job, lost: Lost) -> Record:
    """The record that a lost trial left on disk, judged; else one with the reason.

    The record is on disk on return.
    """
    from runner.verdict.judge import judged

    path, now = job.record_path, utc_now()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        record = load_in_place(path, job.sweep_dir.name)
    except Unreadable:
        error = {"type": "WorkerDied", "message": lost.why, "trace": ""}
        record = job.record(Outcome(lost.status, error=error), {}, now)
    record = judged(record)
    save(record, path)
    return record


def with_cut_ones(jobs: Sequence[Job], results: Iterator[Result]) -> Iterator[Result]:
    """The results; after an interrupt also the records that remote trials have written.

    For launchers whose processes can't return anything after a signal to end.
    """
    missing = {job.planned.folder: job for job in jobs}
    try:
        for trial, result in results:
            del missing[trial.folder]
            yield trial, result
    except KeyboardInterrupt:
        if hasattr(results, "close"):
            results.close()  # ends the processes if the interrupt came between two results
        for job in missing.values():
            # a listener may stop at each of them because of the same interrupt
            with suppress(Unreadable, KeyboardInterrupt):
                yield job.trial, load_in_place(job.record_path, job.sweep_dir.name)
        raise


def _printable(trial: Trial) -> Trial:
    """The trial with the control characters of its texts escaped."""
    model = Model(**cleaned(vars(trial.model)))
    return trial if model == trial.model else replace(trial, model=model)


def raw_record(
    outcome: Outcome,
    *,
    trial: Trial,
    planned: Planned,
    sweep_id: str,
    host: dict[str, Any],
    started_at: str,
    order_seed: int | None = None,
) -> Record:
    """The record of a trial that has just ended, before it is judged.

    `trial` has no secrets; the key of `planned` is that of the trial with its secrets. The record
    can be written whatever the trial returned.
    """
    outcome = writable(outcome)
    text = {name: redacted_values(getattr(outcome, name)) for name in TOLD}
    outcome = replace(outcome, **text)
    return Record(
        **vars(outcome)
        | {
            "warmup_ms": list(outcome.warmup_ms),
            "latency_ms": list(outcome.latency_ms),
            "environment": host | outcome.environment,
            "why_null": outcome.why_null | {"verdict": "ended before it was judged"},
        },
        sweep_id=sweep_id,
        key=planned.key,
        repeat=planned.repeat,
        title=planned.title,
        trial_title=planned.trial_title,
        trial=trial,
        verdict=None,
        reasons=[],
        summary={},
        started_at=started_at,
        ended_at=utc_now(),
        order_seed=order_seed,
        key_rule=KEY_RULE,
    )
