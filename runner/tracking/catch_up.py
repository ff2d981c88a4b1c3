"""Bringing MLflow up to date with sweeps that have ended: what could not be sent in their time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.contract import Status, TrackingUnavailable, Unreadable
from runner.host.secrets import redact
from runner.records.locks import locked
from runner.records.manifest import MANIFEST, load_manifest
from runner.records.record import Record
from runner.records.store import LOCK, RECORD, load
from runner.tracking import parent, runs
from runner.tracking.journal import JOURNAL, Journal, unsent
from runner.tracking.store import Store
from runner.trial.labels import summary_of


@dataclass(frozen=True)
class Target:
    """Where runs go: a store by its URI (None: the file in `output_dir`), and an experiment."""

    uri: str | None
    experiment: str
    output_dir: Path


@dataclass(frozen=True)
class CaughtUp:
    """How the records of a sweep stand in MLflow now; `why_not` says what kept some from it."""

    brought: int
    there: int
    missing: int = 0
    why_not: str = ""


def target_of(sweep_dir: Path) -> Target | None:
    """Where a sweep was to go, secrets in the URI blanked; None if nowhere.

    Raises Unreadable.
    """
    tracking = load_manifest(sweep_dir).tracking
    if tracking["kind"] == "off":
        return None
    return Target(tracking["uri"], str(tracking["experiment"]), sweep_dir.parent)


def waiting(target: Target) -> Iterator[Path]:
    """The sweeps beside each other that were to go to this target and are not all there."""
    shown = Target(target.uri and redact(target.uri), target.experiment, target.output_dir)
    for journal in sorted(target.output_dir.glob(f"*/{JOURNAL}")):
        try:
            if unsent(journal.parent) and target_of(journal.parent) == shown:
                yield journal.parent
        except Unreadable:
            continue  # told by whoever asks for that sweep by its name


def catch_up(store: Store, sweep_dir: Path) -> CaughtUp:
    """Bring to MLflow each record of a sweep that is not there, once; the rest stays as it is.

    Raises Held while the sweep is being run.
    """
    paths = sorted(sweep_dir.glob(f"*/{RECORD}"))
    journal, brought, missing, why_not = Journal(sweep_dir), 0, list(paths), ""
    try:
        with locked(sweep_dir / LOCK, f"publishing {sweep_dir.name}"):
            journal.read(store)
            missing = [path for path in paths if not journal.has(path)]
            records: dict[Path, Record] = {}
            for path in paths if missing else ():
                try:
                    records[path] = load(path)
                except Unreadable as reason:
                    why_not = str(reason)
            sendable = sorted(
                records.keys() & set(missing), key=lambda path: records[path].started_at
            )
            found = list(records.values())
            name, trials = _planned(sweep_dir, found)
            parent_id = None
            if sendable and trials > 1:
                title = summary_of([record.trial for record in found], name)
                parent_id = runs.open_parent(store, sweep_dir.name, title, trials)
            for path in sendable:
                run_id = runs.publish(store, records[path], path, parent_id, again=True)
                journal.add(path, run_id)
                brought += 1
            if parent_id is not None:
                parent.describe(store, parent_id, name, sweep_dir, found)
                runs.close_parent(store, parent_id, _status(found, trials))
    except (TrackingUnavailable, Unreadable) as reason:
        why_not = str(reason)
    return CaughtUp(brought, len(paths) - len(missing), len(missing) - brought, why_not)


def _planned(sweep_dir: Path, records: list[Record]) -> tuple[str | None, int]:
    """The name of a sweep and how many trials it was to have; sweeps once had no manifest."""
    if not (sweep_dir / MANIFEST).exists():
        return None, len(records)
    manifest = load_manifest(sweep_dir)
    return manifest.name, len(manifest.trials)


def _status(records: list[Record], trials: int) -> str:
    """That of the parent run of so many planned trials, as the sweep would have closed it."""
    if len(records) < trials or any(record.status == Status.INTERRUPTED for record in records):
        return "KILLED"
    return "FINISHED" if all(one.completed and one.verdict for one in records) else "FAILED"
