"""Two sets of records, before and after, compared trial by trial."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import numpy as np

from runner.contract import Unmatched
from runner.history.environment_diff import Changed, changed
from runner.records.record import Record
from runner.statistics.difference import (
    VERDICTS,
    Difference,
    Differences,
    differences,
    without_common,
)
from runner.trial.near import near
from runner.trial.titles import keys_of, varying_keys

GROUPS = ("input", "timing", "runtime")  # of keys: --by timing means all of them


@dataclass(frozen=True)
class Side:
    """One set of records and its name."""

    name: str
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Pair:
    """A trial that both sides have, with the records that can be compared.

    Records that did not complete and invalid ones are excluded.
    """

    before: tuple[Record, ...]
    after: tuple[Record, ...]
    difference: Difference

    @property
    def record(self) -> Record:
        """The record that stands for the trial."""
        return self.after[0]


@dataclass(frozen=True)
class Comparison:
    """After against before; `pairs` has the largest changes first.

    `unusable` are trials of both sides of which one has no usable number (invalid, or no
    process completed), each with the side and the reason; `changed` is how the environments
    of the two sides differ, `by` the key in which they differ, if one was given.
    """

    before: Side
    after: Side
    threshold: float
    pairs: tuple[Pair, ...]
    judged: Differences
    unusable: tuple[tuple[Record, str], ...]
    only_before: tuple[Record, ...]
    only_after: tuple[Record, ...]
    changed: tuple[Changed, ...]
    by: str | None = None

    @property
    def fewest(self) -> int:
        """The smallest number of processes of any trial and side."""
        return min((min(len(one.before), len(one.after)) for one in self.pairs), default=0)

    @property
    def missing(self) -> int:
        """Trials that are missing or incomplete on the later side."""
        return len(self.only_before) + sum(
            not any(one.completed for one in self.after.records if one.key == record.key)
            for record, _ in self.unusable
        )


def compare(before: Side, after: Side, threshold: float) -> Comparison:
    """Compare the trials that both sides have by their key."""
    return _compared(before, after, threshold, lambda record: record.key)


def compare_by(records: Sequence[Record], by: str, threshold: float) -> list[Comparison]:
    """Compare trials that differ only in `by`: each of its values against the first.

    `by` is a key of the command line (runtime.precision), a group of them (model), or a fact of
    the environment (torch, host, git_commit). Raises Unmatched.
    """
    value_of, identity = _way(records, by)
    sides: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        sides[value_of(record)].append(record)
    if len(sides) < 2:
        raise Unmatched(f"{by} is {next(iter(sides))} in all {len(records)} records")
    first, *others = (Side(f"{by}={value}", tuple(group)) for value, group in sides.items())
    return [replace(_compared(first, other, threshold, identity), by=by) for other in others]


def _way(
    records: Sequence[Record], by: str
) -> tuple[Callable[[Record], str], Callable[[Record], Hashable]]:
    """Functions for a record's value of `by`, and for what its counterparts share."""
    keys = {name for record in records for name in keys_of(record.trial)}
    facts = {name for record in records for name in record.environment} - {"command", "pid"}
    if by in keys:
        return (
            lambda record: str(keys_of(record.trial).get(by)),
            lambda record: record.trial.key_without(by),
        )
    if by in GROUPS:
        return partial(_values_of_group, group=by), lambda record: record.trial.key_without(by)
    if by in facts:
        return lambda record: str(record.environment.get(by)), lambda record: record.key
    varied = varying_keys([record.trial for record in records])
    there = sorted({*varied, *GROUPS}) if varied else sorted(keys | facts | set(GROUPS))
    hint = near(by, [*varied, *sorted(keys | facts | set(GROUPS))])
    what = "that differ" if varied else "that exist"
    raise Unmatched(
        f"no {by} to compare by; {hint}expected one of those {what}: {', '.join(there)}"
    )


def _values_of_group(record: Record, group: str) -> str:
    found = keys_of(record.trial).items()
    return " ".join(f"{name}={value}" for name, value in found if name.startswith(f"{group}."))


def _compared(
    before: Side, after: Side, threshold: float, identity: Callable[[Record], Hashable]
) -> Comparison:
    groups: tuple[dict[Hashable, list[Record]], ...] = (defaultdict(list), defaultdict(list))
    for group, side in zip(groups, (before, after), strict=True):
        for record in side.records:
            group[identity(record)].append(record)
    earlier, later = groups
    matched, unusable = [], []
    for key in [key for key in earlier if key in later]:
        usable = [[one for one in group[key] if one.unfit is None] for group in groups]
        if all(usable):
            matched.append(usable)
        else:
            lacking = 0 if not usable[0] else 1
            name = (before, after)[lacking].name
            reasons = dict.fromkeys(str(one.unfit) for one in groups[lacking][key])
            unusable.append((later[key][0], f"{name}: {'; '.join(reasons)}"))
    judged = _judged(matched, threshold)
    pairs = [
        Pair(tuple(a), tuple(b), difference)
        for (a, b), difference in zip(matched, judged.trials, strict=True)
    ]
    return Comparison(
        before=before,
        after=after,
        threshold=threshold,
        pairs=tuple(sorted(pairs, key=_weight)),
        judged=judged,
        unusable=tuple(unusable),
        only_before=tuple(group[0] for key, group in earlier.items() if key not in later),
        only_after=tuple(group[0] for key, group in later.items() if key not in earlier),
        changed=tuple(changed(before.records, after.records)),
    )


def _judged(matched: Sequence[Sequence[Sequence[Record]]], threshold: float) -> Differences:
    if not matched:
        return Differences(())
    sides = []
    for side in zip(*matched, strict=True):
        logs = [np.log([record.typical_ms or np.nan for record in group]) for group in side]
        began = [np.array([_began_s(record) for record in group]) for group in side]
        sides.append(without_common(logs, began))
    return differences(sides[0], sides[1], threshold)


def _began_s(record: Record) -> float:
    return datetime.fromisoformat(record.started_at).timestamp()


def _weight(pair: Pair) -> tuple[object, ...]:
    """Sorts by verdict and change; what changed alike by its input."""
    given, change = pair.record.trial.input, abs(float(np.log(pair.difference.ratio)))
    return VERDICTS.index(pair.difference.verdict), -round(change, 3), given.size, given.batch_size
