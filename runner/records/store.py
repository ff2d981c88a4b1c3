"""Files that are there as a whole or not at all: records, and how they are written."""

from __future__ import annotations

import json
import os
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any

from runner.contract import Status, UnreadableRecord, Verdict
from runner.records.record import VERSION, Record
from runner.trial.description import Trial

RECORD = "record.json"
LOG = "worker.log"  # beside it: what the trial printed
LOCK = ".lock"  # of the folder of a sweep


def write_whole(values: Any, path: Path) -> None:
    """Write JSON so that `path` holds either what it held before or all of it.

    Raises ValueError for NaN or infinity, which JSON can't hold, and OSError.
    """
    text = json.dumps(values, indent=1, allow_nan=False)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())  # a rename may reach the disk before the bytes it names
    partial.replace(path)


def save(record: Record, path: Path) -> None:
    """Write a record as a whole. Raises as `write_whole` does."""
    write_whole(asdict(record), path)


def set_aside(path: Path) -> None:
    """Keep the record of an earlier attempt, if there is one, as record.1.json or the next."""
    if path.exists():
        number = 1
        while (kept := path.with_suffix(f".{number}.json")).exists():
            number += 1
        path.replace(kept)


def load(path: Path) -> Record:
    """Read a record; raises UnreadableRecord with the reason and the file's name."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableRecord(f"{path} can't be read: {error}") from error
    version = values.get("version") if isinstance(values, dict) else None
    if version != VERSION:
        raise UnreadableRecord(f"{path} is of version {version}; expected version {VERSION}")
    parts = fields(Record)
    needed = {
        part.name for part in parts if part.default is MISSING and part.default_factory is MISSING
    }
    if missing := needed - values.keys():
        raise UnreadableRecord(f"{path} lacks {', '.join(sorted(missing))}")
    _bring_up_to_date(values)
    try:
        values["trial"] = Trial.of(values["trial"])
        values["status"] = Status(values["status"])
        values["verdict"] = values["verdict"] and Verdict(values["verdict"])
    except ValueError as error:
        raise UnreadableRecord(f"{path} holds {error}") from error
    if not values.get("trial_title"):
        trial: Trial = values["trial"]
        settings = values["title"].removeprefix(trial.title)
        values["trial_title"] = replace(trial, repeat=0).title + settings
    return Record(**{part.name: values[part.name] for part in parts if part.name in values})


def _bring_up_to_date(values: dict[str, Any]) -> None:
    """Give a record of earlier days today's form."""
    for reason in values["reasons"]:  # once one sentence, in `advice`
        reason.setdefault("found", reason.pop("advice", ""))
    single = {name: v for name, v in values["series"].items() if not isinstance(v, list)}
    values["series"] = {name: v for name, v in values["series"].items() if name not in single}
    values["figures"] = single | values.get("figures", {})  # they once stood among the series
    values["why_null"] = {
        f"figures.{name.removeprefix('series.')}" if name.startswith("series.") else name: reason
        for name, reason in values.get("why_null", {}).items()
    }
