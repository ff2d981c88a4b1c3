"""The result of a trial, combined from the records of its processes.

Table, answers, report and MLflow all use it, so their figures agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from runner.contract import TargetVerdict, Verdict
from runner.records.record import Record
from runner.statistics.processes import Processes, Ratio, combine, speed_up


@dataclass(frozen=True)
class Result:
    """A trial, in one process or in several."""

    records: tuple[Record, ...]

    @cached_property
    def counted(self) -> tuple[Record, ...]:
        """The processes behind its figures: without invalid ones, if there are others."""
        completed = tuple(one for one in self.records if one.completed)
        good = tuple(one for one in completed if one.verdict in (Verdict.VALID, Verdict.SUSPECT))
        return good or completed

    @property
    def usable(self) -> bool:
        """Whether its figures may be ranked: they exist and are not invalid."""
        return self.verdict in (Verdict.VALID, Verdict.SUSPECT) and self.typical is not None

    @property
    def verdict(self) -> Verdict | None:
        """The worst verdict of the counted processes; None if none was judged."""
        found = {one.verdict for one in self.counted}
        return next((verdict for verdict in Verdict if verdict in found), None)

    @property
    def first(self) -> Record:
        """The record that represents all of them."""
        return next(iter(self.counted or self.records))

    @property
    def pipelined(self) -> bool:
        """Whether passes overlapped, so that its time comes from throughput."""
        return any(one.summary.get("img_s") is not None for one in self.records)

    def figure(self, name: str) -> float | None:
        """The mean of one of its processes' figures; None if one of them lacks it."""
        found = [one.figures.get(name) for one in self.counted]
        known = [value for value in found if value is not None]
        return sum(known) / len(known) if known and len(known) == len(found) else None

    @property
    def target(self) -> str | None:
        """Whether its processes keep the target of their load: `met`, or `missed 1 of 6`."""
        found = [str(one.effective.get("target")) for one in self.counted]
        if not found or not set(found) <= set(TargetVerdict):
            return None
        worst = next(word for word in TargetVerdict if word in found)
        count = found.count(worst)
        return str(worst) if count == len(found) else f"{worst} {count} of {len(found)}"

    @property
    def each_ms(self) -> list[float]:
        """The typical time of each of its processes that has one, in milliseconds."""
        return [ms for one in self.counted if (ms := one.typical_ms) is not None]

    @cached_property
    def combined(self) -> Processes | None:
        """The typical time over its processes, if any; None for overlapping passes."""
        return None if self.pipelined else self._over_processes

    @property
    def typical(self) -> float | None:
        """The typical time of a pass in milliseconds, from throughput for overlapping passes."""
        return self._over_processes.median_ms if self._over_processes else None

    @cached_property
    def _over_processes(self) -> Processes | None:
        return combine(self.each_ms) if self.each_ms else None

    @property
    def ms_an_image(self) -> list[float]:
        """Milliseconds an image of each of its processes, by `images_per_second`."""
        return [1000 / rate for one in self.counted if (rate := one.images_per_second)]

    @property
    def images_per_second(self) -> float | None:
        """Throughput or closed-loop FPS; over processes combined as their times are."""
        return 1000 / combine(self.ms_an_image).median_ms if self.ms_an_image else None

    @property
    def tflop_s(self) -> float | None:
        """10^12 floating operations a second, by the operations of a pass and its typical time."""
        gflop = self.first.figures.get("gflop")
        return gflop / self.typical if gflop and self.typical else None


def results_of(records: Sequence[Record]) -> list[Result]:
    """A result for each record, in the order they ran; processes of one trial share theirs."""
    if not has_processes(records):
        return [Result((record,)) for record in records]
    found: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        found[record.identity].append(record)
    return [Result(tuple(group)) for group in found.values()]


def has_processes(records: Sequence[Record]) -> bool:
    """Whether any trial has several processes."""
    return any(record.repeat for record in records)


def times_as_fast(before: Result, after: Result) -> Ratio:
    """The speed-up of `after` over `before`; both have a typical time."""
    return speed_up(before.each_ms, after.each_ms)
