"""Nights of a few trials, made without running anything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from runner.records.nights import Night
from runner.records.process_summary import ProcessSummary

MEDIANS_MS = {"a": 10.0, "b": 20.0, "c": 30.0}
FACTS = {"host": "here", "cpu": "a CPU", "torch": "2.14.1", "git_commit": "1111111"}


def night_id(number: int) -> str:
    """The nights of one month, by their day."""
    return f"nightly-2026-11-{number:02d}"


def make_night(
    number: int,
    medians_ms: Mapping[str, float] = MEDIANS_MS,
    facts: Mapping[str, str] = FACTS,
    *,
    processes: int = 5,
    noise: float = 0.004,
    unfit: Mapping[str, str] | None = None,
    planned: Sequence[str] = (),
    **changes: object,
) -> Night:
    """A night with small noise, the same each time; `unfit` says why a trial has no times.

    `planned` are trials that have not run.
    """
    random = np.random.default_rng(number)
    unfit = unfit or {}
    made = [
        ProcessSummary(
            identity=name,
            repeat=repeat,
            title=f"{name} 64px",
            status="failed" if unfit.get(name, "invalid").startswith("failed") else "completed",
            unfit=unfit.get(name),
            typical_ms=None if name in unfit else float(ms * np.exp(random.normal(0, noise))),
            began_s=number * 86400.0 + repeat * 1000 + at * 20,
            took_s=10.0,
            facts=facts,
            folder=f"{name}-r{repeat}" if repeat else name,
        )
        for repeat in range(processes)
        for at, (name, ms) in enumerate(medians_ms.items())
    ]
    titles = {name: f"{name} 64px" for name in (*medians_ms, *planned)}
    return Night(night_id(number), titles, tuple(made), **changes)  # type: ignore[arg-type]


def make_nights(count: int, first: int = 1, **changes: object) -> list[Night]:
    """Consecutive nights."""
    return [make_night(number, **changes) for number in range(first, first + count)]  # type: ignore[arg-type]


def copied_night(folder: Path, day: int, to: int) -> None:
    """One more night below `folder`, as a measured one but for some permille."""
    random = np.random.default_rng(to)
    source, target = (folder / "outputs" / night_id(number) for number in (day, to))
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("index.json", "mlflow.jsonl"))
    later = timedelta(days=to - day)
    for path in target.glob("*/record.json"):
        values = json.loads(path.read_text())
        values["summary"]["p50_ms"] *= float(np.exp(random.normal(0, 0.003)))
        for name in ("started_at", "ended_at"):
            values[name] = (datetime.fromisoformat(values[name]) + later).isoformat()
        path.write_text(json.dumps(values))
