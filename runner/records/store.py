"""Records on disk, written atomically: a file is complete or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from runner.contract import Unreadable
from runner.records.printable import in_short
from runner.records.reading import checked, of_version, read_values, unfit
from runner.records.record import VERSION, Record
from runner.trial.description import BEFORE
from runner.trial.methods import METHODS

T = TypeVar("T")
RECORD = "record.json"
LOG = "worker.log"  # beside it: what the trial printed
LOCK = ".lock"  # of the folder of a sweep


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Open a temporary file that is renamed to `path` once it is completely on disk.

    A pipe or a device is written directly. Raises OSError with the name of `path`.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    target = Path(os.path.realpath(path))  # keeps a link, unless it points to itself
    partial = target.with_name(f"{target.name}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())  # a rename may reach the disk before the bytes it names
        partial.replace(target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text_whole(text: str, path: Path) -> None:
    """Write a text atomically: `path` has either its old content or all of it. Raises OSError."""
    with whole(path) as file:
        file.write_text(text, encoding="utf-8")


def write_whole(values: Any, path: Path) -> None:
    """Write JSON as `write_text_whole` does.

    Raises ValueError for NaN or infinity, which JSON can't hold, and OSError.
    """
    write_text_whole(json.dumps(values, indent=1, allow_nan=False) + "\n", path)


def save(record: Record, path: Path) -> None:
    """Write a record atomically. Raises as `write_whole` does."""
    write_whole(asdict(record), path)


def set_aside(path: Path) -> None:
    """Rename the record of an earlier attempt, if any, to record.1.json or the next number."""
    if path.exists():
        number = 1
        while (kept := path.with_suffix(f".{number}.json")).exists():
            number += 1
        path.replace(kept)


def load(path: Path) -> Record:
    """Read a record; raises Unreadable with the file, the field and the reason."""
    values = read_values(path)
    of_version(values, VERSION, path)
    _bring_up_to_date(values)
    record = checked(values, Record, str(path))
    if record.trial.input.size is None:
        raise unfit(path, "trial.input.size", None, "a height and a width")
    method = record.trial.timing.method
    if method not in METHODS:
        raise unfit(path, "trial.timing.method", method, f"one of {', '.join(METHODS)}")
    if record.trial_title:
        return record
    settings = record.title.removeprefix(record.trial.title)
    return replace(record, trial_title=replace(record.trial, repeat=0).title + settings)


def load_in_place(path: Path, sweep_id: str | None = None) -> Record:
    """Read the record of a trial from its own folder in its sweep.

    Raises Unreadable also for a copied record of another trial or sweep.
    """
    record = load(path)
    if record.folder != path.parent.name:
        what = in_short(f"{record.title} ({record.folder})")
        raise Unreadable(f"{path} is the record of another trial, {what}")
    if sweep_id not in (None, record.sweep_id):
        what = in_short(record.sweep_id)
        raise Unreadable(f"{path} is the record of another sweep, {what}; expected {sweep_id}")
    return record


def _bring_up_to_date(values: dict[str, Any]) -> None:
    """Convert a record of an earlier version to today's form, as far as possible."""
    for reason in _part(values, "reasons", list):  # formerly one sentence, in `advice`
        if isinstance(reason, dict):
            reason.setdefault("found", reason.pop("advice", ""))
    series, why_null = _part(values, "series", dict), _part(values, "why_null", dict)
    single = {name: value for name, value in series.items() if not isinstance(value, list)}
    if single:  # figures were formerly among the series
        values["figures"] = single | _part(values, "figures", dict)
        values["series"] = {name: v for name, v in series.items() if name not in single}
        values["why_null"] = {
            f"figures.{name.removeprefix('series.')}"
            if name.removeprefix("series.") in single
            else name: reason
            for name, reason in why_null.items()
        }
    trial = _part(values, "trial", dict)
    for name, missing in BEFORE.items():
        if isinstance(trial.get(name), dict):
            trial[name] = missing | trial[name]


def _part(values: dict[str, Any], name: str, kind: type[T]) -> T:
    """A part of a record if it has the right type, else an empty one."""
    value = values.get(name)
    return value if isinstance(value, kind) else kind()
