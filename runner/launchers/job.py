"""A trial to be run, and how any process runs it: measured, written down, judged."""

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
from runner.worker.execution import Listener

TOLD = ("effective", "environment", "contention", "error", "why_null")  # what may hold any text


@dataclass(frozen=True)
class Job:
    """All that a process needs to run one trial, on this machine or another.

    `planned` says what the trial is called, `sweep_dir` is the folder of its sweep, `source_dir`
    where a user's own modules are looked for, `command` what was typed, without secrets. The trial
    has its own, which the network needs.
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
        """What is known of the trial once it has ended, before it is judged; without secrets."""
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
    """A trial whose process elsewhere handed back no record: what that is, and why."""

    status: Status
    why: str


Result = tuple[Trial, Record | Lost]


def run_point(job: Job, listener: Listener | None = None) -> Record:
    """Run a trial in a fresh process; its raw outcome is on disk before it is judged.

    One that an interrupt has cut short has that status, and what it had measured.
    """
    from runner.verdict.judge import judged  # brings scipy, which no dry run needs

    listener, path, started_at = listener or Listener(), job.record_path, utc_now()
    path.parent.mkdir(parents=True, exist_ok=True)
    set_aside(path)
    host = host_environment(job.source_dir)  # of the machine that it runs on
    described = partial(job.record, host=host, started_at=started_at)
    saved = Listener(listener.phase, lambda outcome: save(described(outcome), path))
    outcome = process.run(job.trial, job.isolation, path.with_name(LOG), saved)
    record = judged(described(outcome))
    save(record, path)
    return record


def recovered(job: Job, lost: Lost) -> Record:
    """The record that a lost trial has left on disk, judged; else one that says why there is none.

    It is on disk afterwards.
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
    """The results; after an interrupt also what trials elsewhere have written down of themselves.

    For launchers whose processes can hand nothing back once they have been told to end.
    """
    missing = {job.planned.folder: job for job in jobs}
    try:
        for trial, result in results:
            del missing[trial.folder]
            yield trial, result
    except KeyboardInterrupt:
        if hasattr(results, "close"):
            results.close()  # ends the processes, where the interrupt has come between two results
        for job in missing.values():
            # whoever listens may stop at each of them for the same interrupt
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
    """What is known of a trial that has just ended, before it is judged.

    `trial` holds no secrets; the key of `planned` is that of the trial that did. It can be written,
    whatever the trial gave.
    """
    outcome = writable(outcome)
    told = {name: redacted_values(getattr(outcome, name)) for name in TOLD}
    outcome = replace(outcome, **told)
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
