"""What differs between where and how two sets of records were run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from runner.records.record import Record

# that differ between any two runs, or say nothing about speed
IDLE = (
    "pid",
    "visible_gpus",
    "slurm_job",
    "command",
    "git_dirty",
    "own_files",
    "mlflow",
    "gpu_reason",
    "inner",
    "converged",
)
MOST_VALUES = 3  # of one fact; of more, only their number is told


@dataclass(frozen=True)
class Changed:
    """A fact that is not the same on both sides, and its values there."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {_told(self.before)} -> {_told(self.after)}"


def changed(before: Sequence[Record], after: Sequence[Record]) -> Iterator[Changed]:
    """The facts of the environment in which two sets of records differ.

    Settings that were in force count where the configuration of both is the same.
    """
    yield from differing(*([one.environment for one in side] for side in (before, after)))
    by_key = [{record.key: record for record in side} for side in (before, after)]
    common = [key for key in by_key[0] if key in by_key[1]]
    yield from differing(*([side[key].effective for key in common] for side in by_key))


def differing(
    before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]
) -> Iterator[Changed]:
    """The facts of which two sets of environments hold other values."""
    sides = _values(before), _values(after)
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        values = [side.get(name, ()) for side in sides]
        if name not in IDLE and set(values[0]) != set(values[1]):
            yield Changed(name, *values)


def machines(records: Sequence[Record]) -> list[str]:
    """The machines on which they ran: host and what was timed there."""
    found = []
    for record in records:
        facts = record.environment
        part = facts.get("gpu") or facts.get("cpu") or record.trial.device
        found.append(f"{facts.get('host') or 'unknown host'} ({part})")
    return list(dict.fromkeys(found))


def _values(environments: Sequence[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Each fact with its values, in the order they were met."""
    found: dict[str, dict[str, None]] = {}
    for environment in environments:
        for name, value in environment.items():
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            found.setdefault(name, {})[text] = None
    return {name: tuple(values) for name, values in found.items()}


def _told(values: Sequence[str]) -> str:
    if not values:
        return "not there"
    return ", ".join(values) if len(values) <= MOST_VALUES else f"{len(values)} values"
