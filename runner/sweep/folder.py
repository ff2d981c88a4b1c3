"""The folder of a sweep: its lock, its manifest, and the records of earlier starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from runner.config.settings import Settings
from runner.contract import Held, NoLock, Problem, Unreadable, UsageError
from runner.records.locks import locked
from runner.records.manifest import MANIFEST, Manifest, Planned, save_manifest
from runner.records.record import Record
from runner.records.store import LOCK, RECORD, save
from runner.sweep import resume
from runner.sweep.plan import Plan
from runner.terminal.lines import Lines

SWEEP_LOG = "sweep.log"  # what was shown
AUTOMATIC = re.compile(r"\d{8}-\d{6}")  # an id made from the time of the start


@dataclass(frozen=True)
class Start:
    """The state in which a sweep starts: its manifest, and the valid records by folder.

    `resumed`: an earlier start has already planned or run something.
    """

    manifest: Manifest
    records: dict[str, Record]
    resumed: bool


def with_free_id(settings: Settings, command: Sequence[str]) -> Settings:
    """The settings under the next free id, where another sweep began in the same second.

    The folder has been created on return. An id given by the user is kept.
    """
    asked = any(word.lstrip("+").startswith(("sweep.id=", "sweep.resume=")) for word in command)
    if asked or not AUTOMATIC.fullmatch(settings.sweep_id):
        return settings
    for number in count(1):
        sweep_id = settings.sweep_id if number == 1 else f"{settings.sweep_id}-{number}"
        free = replace(settings, sweep_id=sweep_id)
        try:
            free.sweep_dir.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError:
            break  # reported when it is locked
        return free
    return settings


@contextmanager
def held_folder(settings: Settings) -> Iterator[None]:
    """Create the sweep's folder and lock it. Raises UsageError."""
    with ExitStack() as lock:
        try:
            settings.sweep_dir.mkdir(parents=True, exist_ok=True)
            lock.enter_context(
                locked(
                    settings.sweep_dir / LOCK,
                    f"sweep {settings.sweep_id}",
                    folder=settings.sweep_dir,
                )
            )
        except Held as holder:
            found = f"sweep.id is {settings.sweep_id}, but that sweep is being run by {holder}"
            remedy = "wait for it, or give another sweep.id"
            raise UsageError(Problem("sweep.id", found, remedy)) from holder
        except NoLock as error:
            found = f"sweep.id is {settings.sweep_id}, but {error}"
            remedy = "remove it, or give another sweep.id"
            raise UsageError(Problem("sweep.id", found, remedy)) from error
        except OSError as error:
            found = (
                f"output_dir is {settings.output_dir}, but no folder can be created there "
                f"({error.strerror})"
            )
            remedy = "give a writable one"
            raise UsageError(Problem("output_dir", found, remedy)) from error
        yield


def started(plan: Plan, command: Sequence[str], lines: Lines) -> Start:
    """Write the manifest, or resume the sweep that has one. Raises UsageError."""
    settings, planned = plan.settings, plan.manifest(command)
    sweep_dir, manifest, records = settings.sweep_dir, planned, dict[str, Record]()
    resumed = (sweep_dir / MANIFEST).exists() or any(sweep_dir.glob(f"*/{RECORD}"))
    if resumed:
        grows = plan.search is not None
        manifest = resume.continued(planned, sweep_dir, settings.extend, grows=grows)
    lines.open(sweep_dir / SWEEP_LOG, command)
    if resumed:
        for one, record in resume.records_there(manifest, sweep_dir):
            if isinstance(record, Unreadable):
                lines.print(f"warning: {record}; it is kept, and the trial runs again")
            elif not resume.is_left(record, settings.retry):
                records[one.folder] = _judged(record, settings)
        lines.print(
            f"resuming {settings.sweep_id}: {len(records)} of "
            f"{len(manifest.trials)} trials are done"
        )
    if manifest is planned or len(manifest.trials) > len(planned.trials):
        save_manifest(manifest, sweep_dir)
    return Start(manifest, records, resumed)


def grown(manifest: Manifest, planned: Sequence[Planned], sweep_dir: Path) -> Manifest:
    """The manifest with the next trials of a search, on disk before the first of them runs.

    None are the end of the search.
    """
    there, number = {one.folder for one in manifest.trials}, len(manifest.extended_by)
    added = [replace(one, command=number) for one in planned if one.folder not in there]
    manifest = replace(manifest, trials=(*manifest.trials, *added), searching=bool(planned))
    save_manifest(manifest, sweep_dir)
    return manifest


def _judged(record: Record, settings: Settings) -> Record:
    """The record, judged now if its process was killed before it could be."""
    if not record.completed or record.verdict:
        return record
    from runner.verdict.judge import judged

    record = judged(record)
    save(record, settings.sweep_dir / record.folder / RECORD)
    return record
