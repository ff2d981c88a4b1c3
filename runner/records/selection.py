"""Finds records by name: a sweep's id, `latest`, a folder, a file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.contract import NothingThere, Unreadable
from runner.records.locks import holder_of
from runner.records.manifest import MANIFEST, Manifest, load_manifest
from runner.records.printable import in_short, printable
from runner.records.record import Record
from runner.records.store import LOCK, RECORD, load, load_in_place

LATEST = re.compile(r"latest(?:~(\d+))?")
MAX_SHOWN = 3  # unreadable files; beyond that only their number is shown


@dataclass(frozen=True)
class Selection:
    """The records of one name, in the order of their plan.

    `notes` are for the reader: unreadable files, a sweep that is still running
    or was never finished. `folder` is that of the sweep, if it is one on this disk.
    """

    name: str
    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()
    folder: Path | None = None


def select(word: str, output_dir: Path) -> Selection:
    """The records that `word` names.

    It is the id of a sweep below `output_dir`, `latest` (the newest sweep there), `latest~1` (the
    one before it), the folder of a sweep, one that holds several, the folder of a trial, or a
    record's file. Raises NothingThere.
    """
    if match := LATEST.fullmatch(word):
        return _of_sweep(_newest(output_dir, int(match[1] or 0)))
    path = next((one for one in (output_dir / word, Path(word)) if os.path.exists(one)), None)
    if path is None:
        shown = in_short(printable(word))
        raise NothingThere(
            f"{shown} is neither a sweep in {output_dir} nor a folder or file{_offer(output_dir)}"
        )
    if path.is_file():
        return _of_files(path.name, [path])
    if (path / RECORD).exists():
        return _of_files(path.name, [path / RECORD])
    if (path / MANIFEST).exists() or any(path.glob(f"*/{RECORD}")):
        return _of_sweep(path)
    sweeps = sorted({file.parents[1] for file in path.glob(f"*/*/{RECORD}")})
    if not sweeps:
        raise NothingThere(f"{path} has no record; expected the folder of a sweep or a trial")
    records: list[Record] = []
    notes = []
    for sweep in sweeps:
        try:
            found = _of_sweep(sweep)
        except NothingThere as error:
            notes.append(str(error))
            continue
        records += found.records
        notes += [f"{found.name}: {note}" for note in found.notes]
    if not records:
        raise NothingThere("; ".join(notes[:MAX_SHOWN]))
    return Selection(str(path), tuple(records), tuple(notes), path)


def _newest(output_dir: Path, back: int) -> Path:
    """The last planned sweep with a record, or the one `back` before it."""
    sweeps = {file.parents[1] for file in output_dir.glob(f"*/*/{RECORD}")}
    by_age = sorted(sweeps, key=_planned_at, reverse=True)
    if back >= len(by_age):
        wanted = f"latest~{back}" if back else "latest"
        raise NothingThere(f"{wanted} was requested, but {output_dir} has {len(by_age)} sweeps")
    return by_age[back]


def _planned_at(sweep_dir: Path) -> float:
    manifest = sweep_dir / MANIFEST
    return (manifest if manifest.exists() else sweep_dir).stat().st_mtime


def _offer(output_dir: Path) -> str:
    newest = sorted({file.parent for file in output_dir.glob(f"*/{MANIFEST}")}, key=_planned_at)
    names = ", ".join(path.name for path in newest[-MAX_SHOWN:])
    return f"; the newest sweeps: {names}" if names else "; it has no sweeps"


def _of_sweep(sweep_dir: Path) -> Selection:
    order: dict[str, int] = {}
    notes = []
    try:
        manifest = load_manifest(sweep_dir)
        order = {planned.folder: number for number, planned in enumerate(manifest.trials)}
    except Unreadable as error:
        manifest = None
        if (sweep_dir / MANIFEST).exists():
            notes.append(str(error))
    files = sorted(
        sweep_dir.glob(f"*/{RECORD}"), key=lambda file: order.get(file.parent.name, len(order))
    )
    found = _of_files(sweep_dir.name, files, manifest)
    notes += [*found.notes, *_unfinished(sweep_dir, manifest, {file.parent.name for file in files})]
    return Selection(sweep_dir.name, found.records, tuple(notes), sweep_dir)


def _of_files(name: str, files: list[Path], manifest: Manifest | None = None) -> Selection:
    records, unread = [], []
    for file in files:
        try:
            records.append(load_in_place(file, manifest.sweep_id) if manifest else load(file))
        except Unreadable as error:
            unread.append(str(error))
    if not records and unread:
        raise NothingThere(
            "; ".join([*unread[:MAX_SHOWN], *(["..."] if len(unread) > MAX_SHOWN else [])])
        )
    if not records:
        raise NothingThere(f"{name} has no record yet")
    notes = unread[:MAX_SHOWN]
    if len(unread) > MAX_SHOWN:
        notes.append(f"{len(unread) - MAX_SHOWN} more records are skipped")
    return Selection(name, tuple(records), tuple(notes))


def _unfinished(sweep_dir: Path, manifest: Manifest | None, there: set[str]) -> Iterator[str]:
    """Notes about missing trials: the sweep is still running, or was interrupted."""
    missing = sum(planned.folder not in there for planned in manifest.trials) if manifest else 0
    if holder := holder_of(sweep_dir / LOCK):
        yield f"the sweep is still running ({holder}); {missing} trials to come"
    elif manifest and missing:
        yield (
            f"{missing} of {len(manifest.trials)} planned trials have no record; "
            f"python -m runner sweep.resume={manifest.sweep_id} runs them"
        )
    elif manifest and manifest.searching:
        again = f"python -m runner sweep.resume={manifest.sweep_id}"
        yield f"its search has not ended; {again} resumes it"
