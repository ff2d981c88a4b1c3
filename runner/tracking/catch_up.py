"""Publishing finished sweeps to MLflow: whatever could not be sent while they ran."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.contract import NoLock, RefusedByTracking, Status, TrackingUnavailable, Unreadable
from runner.host.secrets import redact
from runner.records.locks import locked
from runner.records.manifest import MANIFEST, load_manifest
from runner.records.record import Record
from runner.records.store import LOCK, RECORD, load_in_place
from runner.tracking import parent, runs
from runner.tracking.journal import JOURNAL, Journal, unsent
from runner.tracking.store import Store
from runner.trial.titles import summary_of

MAX_SHOWN = 3  # reasons; beyond that only that there are more


@dataclass(frozen=True)
class Target:
    """The target of runs: a store by its URI (None: the file in `output_dir`) and an experiment."""

    uri: str | None
    experiment: str
    output_dir: Path


@dataclass(frozen=True)
class CaughtUp:
    """The state of a sweep's records in MLflow; `why_not` has the reasons for missing ones.

    `deleted` are those whose runs were deleted there. `closed`: the run of the whole sweep
    was still open, because MLflow was lost before its end.
    """

    brought: int
    there: int
    missing: int = 0
    why_not: str = ""
    deleted: int = 0
    closed: bool = False


def target_of(sweep_dir: Path) -> Target | None:
    """The target of a sweep, secrets in its URI redacted; None for tracking=off.

    Raises Unreadable.
    """
    tracking = load_manifest(sweep_dir).tracking
    if tracking["kind"] == "off":
        return None
    return Target(tracking["uri"], str(tracking["experiment"]), sweep_dir.parent)


def waiting(target: Target) -> Iterator[Path]:
    """The sweeps in `output_dir` whose target this is and which are not completely published."""
    shown = Target(target.uri and redact(target.uri), target.experiment, target.output_dir)
    for journal in sorted(target.output_dir.glob(f"*/{JOURNAL}")):
        try:
            if unsent(journal.parent) and target_of(journal.parent) == shown:
                yield journal.parent
        except Unreadable:
            continue  # reported when that sweep is published by name


def catch_up(
    store: Store, sweep_dir: Path, seen: runs.Overview | None = None, *, again: bool = False
) -> CaughtUp:
    """Publish each record of a sweep that is not in MLflow, once; the rest stays as it is.

    A record that MLflow refuses is skipped and named. With `again`, runs that were deleted there
    are created anew. `seen` saves queries when many sweeps are published. Raises Held while
    the sweep is being run.
    """
    paths = sorted(sweep_dir.glob(f"*/{RECORD}"))
    journal, left, why_not = Journal(sweep_dir), list(paths), list[str]()
    brought, deleted, closed = 0, list[Path](), False
    try:
        with locked(sweep_dir / LOCK, f"publishing {sweep_dir.name}"):
            journal.read(store)
            left = [path for path in paths if not journal.has(path)]
            seen = seen or runs.overview(store)
            deleted = [
                path for path in paths if path not in left and journal.run_of(path) in seen.deleted
            ]
            if again:
                left, deleted = [*left, *deleted], []
            was = seen.open.get(sweep_dir.name)
            if not left and not was:
                return CaughtUp(0, len(paths) - len(deleted), deleted=len(deleted))
            records: dict[Path, Record] = {}
            for path in paths:
                try:
                    records[path] = load_in_place(path)
                except Unreadable as reason:
                    why_not.append(str(reason))
            sendable = sorted(records.keys() & set(left), key=lambda path: records[path].started_at)
            found = list(records.values())
            name, trials = _planned(sweep_dir, found)
            status, parent_id = _status(found, trials), None
            if trials > 1 and (sendable or was != status):
                title = summary_of([record.trial for record in found], name)
                parent_id = runs.open_parent(store, sweep_dir.name, title, trials)
            for path in sendable:
                try:
                    run_id = runs.publish(store, records[path], path, parent_id, again=True)
                except RefusedByTracking as reason:
                    why_not.append(f"{path.parent.name} is refused: {reason}")
                    continue
                journal.add(path, run_id)
                left.remove(path)
                brought += 1
            if parent_id is not None:
                parent.describe(store, parent_id, name, sweep_dir, found)
                runs.close_parent(store, parent_id, status)
                closed = not brought and was is not None
    except (TrackingUnavailable, Unreadable, NoLock) as reason:
        why_not.append(str(reason))
    there = len(paths) - len(left) - brought - len(deleted)
    text = "; ".join([*why_not[:MAX_SHOWN], *(["..."] if len(why_not) > MAX_SHOWN else [])])
    return CaughtUp(brought, there, len(left), text, len(deleted), closed)


def _planned(sweep_dir: Path, records: list[Record]) -> tuple[str | None, int]:
    """The name of a sweep and its number of trials; old sweeps have no manifest."""
    if not (sweep_dir / MANIFEST).exists():
        return None, len(records)
    manifest = load_manifest(sweep_dir)
    return manifest.name, len(manifest.trials)


def _status(records: list[Record], trials: int) -> str:
    """The status of the parent run of so many planned trials, as the sweep would have set it."""
    if len(records) < trials or any(record.status == Status.INTERRUPTED for record in records):
        return "KILLED"
    return "FINISHED" if all(one.completed and one.verdict for one in records) else "FAILED"
