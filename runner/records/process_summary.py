"""Summaries of processes: what judging nights needs of each, without its samples.

An index beside the records of a sweep caches them; it is rebuilt if it is
missing or older than the records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Gt, Le

from runner.contract import Status, Unreadable
from runner.records.reading import LARGEST, FileName, Index, Number, checked, read_values
from runner.records.record import Record
from runner.records.store import RECORD, load_in_place, write_whole

INDEX = "index.json"
VERSION = 2  # version 1 had identities of trials without their secrets
MACHINE = ("host", "cpu", "usable_cpus", "gpu", "power_limit_w", "max_sm_clock_mhz")
DRIVERS = ("gpu_driver", "cuda", "cudnn")
SOFTWARE = (
    *("torch", "torchvision", "timm", "onnxruntime", "openvino", "python", "os", "runner"),
    *("git_commit", "git_dirty", "own_code"),
)
FACTS = MACHINE + DRIVERS + SOFTWARE


@dataclass(frozen=True)
class ProcessSummary:
    """One process: `identity` is that of its trial and device, `facts` say where it ran.

    `title` is that of the trial, `folder` the process's own below its sweep's.

    `typical_ms` is None if there is none to compare by, `unfit` says why. `began_s` is in
    seconds since 1970.
    """

    identity: str
    repeat: Index
    title: str
    status: Status
    unfit: str | None
    typical_ms: Annotated[float, Gt(0), Le(LARGEST)] | None
    began_s: Number
    took_s: Number
    facts: Mapping[str, str]
    folder: FileName


@dataclass(frozen=True)
class _Index:
    """The index: `facts` of a process is the index of its facts in the list of all."""

    version: Literal[2]
    written_ns: dict[str, Index]
    facts: list[dict[str, str]]
    processes: list[dict[str, Any]]


def process_summary_of(record: Record) -> ProcessSummary:
    """The summary of a record."""
    gpu = (record.contention or {}).get("gpu") or {}
    known = {**gpu, **record.environment}
    began, ended = (datetime.fromisoformat(at) for at in (record.started_at, record.ended_at))
    return ProcessSummary(
        identity=record.identity,
        repeat=record.repeat,
        title=record.trial_title,
        status=record.status,
        unfit=record.unfit,
        typical_ms=None if record.unfit else record.typical_ms,
        began_s=began.timestamp(),
        took_s=(ended - began).total_seconds(),
        # GPU facts are irrelevant to trials on the CPU
        facts={
            name: str(known[name])
            for name in FACTS
            if known.get(name) is not None and (known.get("gpu") or name not in DRIVERS)
        },
        folder=record.folder,
    )


def briefs(sweep_dir: Path) -> tuple[list[ProcessSummary], list[str]]:
    """All processes of a sweep in the order they began, and reasons for unreadable records."""
    written_ns = {
        path.parent.name: path.stat().st_mtime_ns for path in sweep_dir.glob(f"*/{RECORD}")
    }
    if (found := _indexed(sweep_dir / INDEX, written_ns)) is not None:
        return found, []
    found, notes = [], []
    for folder in written_ns:
        try:
            found.append(process_summary_of(load_in_place(sweep_dir / folder / RECORD)))
        except Unreadable as error:
            notes.append(str(error))
    found.sort(key=lambda one: one.began_s)
    if found and not notes:
        with suppress(OSError):  # it only saves the next reader some seconds
            write_whole(_values(found, written_ns), sweep_dir / INDEX)
    return found, notes


def _values(found: Sequence[ProcessSummary], written_ns: Mapping[str, int]) -> dict[str, object]:
    """The index; facts that many processes share are stored once."""
    environments = {json.dumps(one.facts): one.facts for one in found}
    numbers = {text: number for number, text in enumerate(environments)}
    return {
        "version": VERSION,
        "written_ns": dict(written_ns),
        "facts": list(environments.values()),
        "processes": [
            asdict(replace(one, facts={})) | {"facts": numbers[json.dumps(one.facts)]}
            for one in found
        ],
    }


def _indexed(path: Path, written_ns: Mapping[str, int]) -> list[ProcessSummary] | None:
    """The index; None if it is missing or does not match the records."""
    try:
        index = checked(read_values(path), _Index, str(path))
        if index.written_ns != written_ns:
            return None
        values = [one | {"facts": index.facts[one["facts"]]} for one in index.processes]
        found = checked(values, list[ProcessSummary], str(path))
    except (Unreadable, LookupError, TypeError):
        return None  # it is rebuilt
    return found if {one.folder for one in found} == written_ns.keys() else None
