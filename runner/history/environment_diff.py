"""How the environments of two sets of records differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from runner.records.record import Record

# facts that always differ, or say nothing about speed
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
COMMIT_LENGTH = 12  # characters of a commit that are shown
MAX_VALUES = 3  # of one fact; beyond that only their number is shown


@dataclass(frozen=True)
class Changed:
    """A fact that differs, with its values on both sides."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def __str__(self) -> str:
        length = COMMIT_LENGTH if self.name == "git_commit" else None
        before, after = ([value[:length] for value in side] for side in (self.before, self.after))
        return f"{self.name}: {_values_of(before)} -> {_values_of(after)}"


def changed(before: Sequence[Record], after: Sequence[Record]) -> Iterator[Changed]:
    """The facts of the environment in which two sets of records differ.

    Settings in force are compared only if both have the same configuration.
    """
    yield from differing(*([one.environment for one in side] for side in (before, after)))
    by_key = [{record.key: record for record in side} for side in (before, after)]
    common = [key for key in by_key[0] if key in by_key[1]]
    yield from differing(*([side[key].effective for key in common] for side in by_key))


def differing(
    before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]
) -> Iterator[Changed]:
    """The facts that have other values in two sets of environments."""
    sides = _values(before), _values(after)
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        values = [side.get(name, ()) for side in sides]
        if name not in IDLE and set(values[0]) != set(values[1]):
            yield Changed(name, *values)


def machines(records: Sequence[Record]) -> list[str]:
    """The machines on which records ran: host and device."""
    found = []
    for record in records:
        facts = record.environment
        part = facts.get("gpu") or facts.get("cpu") or record.trial.device
        found.append(f"{facts.get('host') or 'unknown host'} ({part})")
    return list(dict.fromkeys(found))


def _values(environments: Sequence[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Each fact with its values, in order of appearance."""
    found: dict[str, dict[str, None]] = {}
    for environment in environments:
        for name, value in environment.items():
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            found.setdefault(name, {})[text] = None
    return {name: tuple(values) for name, values in found.items()}


def _values_of(values: Sequence[str]) -> str:
    if not values:
        return "not set"
    return ", ".join(values) if len(values) <= MAX_VALUES else f"{len(values)} values"
