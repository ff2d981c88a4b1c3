"""When a slowdown began, and what changed in the environment at that night."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from runner.history.environment_diff import Changed, differing
from runner.history.nightly import JudgedNight
from runner.records.nights import Night
from runner.records.process_summary import DRIVERS, MACHINE, ProcessSummary
from runner.statistics.difference import MANY, Differences, differences
from runner.statistics.location import median
from runner.statistics.onset import onset


@dataclass(frozen=True)
class Onset:
    """The night on which a slowdown began, or the range of nights in which it may have.

    `before` is the last good night, `changed` what differs from there to the last of the range.
    """

    first: str
    last: str
    before: str
    changed: tuple[Changed, ...]

    def __str__(self) -> str:
        if self.first == self.last:
            return self.first
        return f"between {self.first} and {self.last}"


@dataclass(frozen=True)
class Step:
    """The effect of a change of driver, CUDA or cuDNN, from one segment to the next.

    `titles` are those of the trials that were judged, in the order of `found`.
    """

    night: str
    changed: tuple[Changed, ...]
    titles: tuple[str, ...]
    found: Differences


class Attribution:
    """Onsets and causes for the trials of a judged night."""

    def __init__(self, judgement: JudgedNight) -> None:
        self._nights = [
            night for night in judgement.nights if night.sweep_id not in judgement.flagged
        ]
        self._titles = {i: t for night in self._nights for i, t in night.planned.items()}

    @cached_property
    def _values(self) -> dict[str, np.ndarray]:
        """As `_plain`; with many trials, less what each night did to all of them."""
        values = np.array(list(self._plain.values()))
        if len(values) >= MANY:
            common = median(values - median(values, axis=1)[:, None], axis=0)
            values = values - np.nan_to_num(common)
        return dict(zip(self._plain, values, strict=True))

    def onset(self, identity: str) -> Onset | None:
        """Since when a trial is slower; None if that is unknown."""
        wanted = _facts(self._nights[-1].by_trial.get(identity, []))
        there = [
            at
            for at, night in enumerate(self._nights)
            if _facts(night.by_trial.get(identity, [])) == wanted
            and not math.isnan(self._values[identity][at])
        ]
        if len(there) < 2 or (found := onset(self._values[identity][there])) is None:
            return None
        before, first, last = (self._nights[there[at]] for at in (found[0] - 1, *found))
        changes = changed_between(before, last, identity)
        return Onset(first.sweep_id, last.sweep_id, before.sweep_id, tuple(changes))

    def since_last_night(self) -> list[Changed]:
        """How tonight's environment differs from that of the night before."""
        return changed_between(self._nights[-2], self._nights[-1]) if self._nights[1:] else []

    def steps(self) -> Iterator[Step]:
        """The effect of each change of driver, CUDA or cuDNN on all trials."""
        facts = [_drivers(night) for night in self._nights]
        places = [at for at in range(1, len(facts)) if facts[at] != facts[at - 1]]
        for number, at in enumerate(places):
            begin = places[number - 1] if number else 0
            end = places[number + 1] if number + 1 < len(places) else len(facts)
            sides = {
                name: [
                    values[part][~np.isnan(values[part])]
                    for part in (slice(begin, at), slice(at, end))
                ]
                for name, values in self._plain.items()
            }
            both = [name for name, (old, new) in sides.items() if len(old) and len(new)]
            found = (
                differences([sides[n][0] for n in both], [sides[n][1] for n in both])
                if both
                else Differences(())
            )
            changes = changed_between(self._nights[at - 1], self._nights[at])
            yield Step(
                self._nights[at].sweep_id,
                tuple(one for one in changes if one.name in DRIVERS),
                tuple(self._titles[name] for name in both),
                found,
            )

    @cached_property
    def _plain(self) -> Mapping[str, np.ndarray]:
        """A value for each night of each trial, NaN without."""
        return {
            name: np.array([_value(night.by_trial.get(name, [])) for night in self._nights])
            for name in self._titles
        }


def _value(processes: Sequence[ProcessSummary]) -> float:
    times = [one.typical_ms for one in processes if one.typical_ms is not None]
    return float(np.median(np.log(times))) if times else math.nan


def _facts(processes: Sequence[ProcessSummary]) -> tuple[str | None, ...]:
    return tuple(processes[0].facts.get(name) for name in MACHINE + DRIVERS) if processes else ()


def _drivers(night: Night) -> tuple[str | None, ...]:
    return tuple(
        next((one.facts[name] for one in night.processes if name in one.facts), None)
        for name in DRIVERS
    )


def changed_between(before: Night, after: Night, identity: str | None = None) -> list[Changed]:
    """The facts in which two nights differ, of all trials or of one."""
    sides = [
        [dict(one.facts) for one in night.processes if identity in (None, one.identity)]
        for night in (before, after)
    ]
    return list(differing(*sides)) if all(sides) else []
