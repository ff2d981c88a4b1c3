"""Capacities and largest batches of sweeps, from their records alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from runner.contract import Status, TargetVerdict, Verdict
from runner.records.record import Record
from runner.statistics.capacity import Capacity, Point, capacity, spread_of
from runner.statistics.quantiles import samples_needed

SIDES: dict[str, int] = {TargetVerdict.MET: -1, TargetVerdict.MISSED: 1}  # of the limit
WORTHLESS = 1.0  # standard deviation of the logarithm of a tail that something disturbed
MIN_RATES = 3  # at which a trial was timed, for a capacity


@dataclass(frozen=True)
class Service:
    """A service at several rates: its records in the order of the rates, and its capacity."""

    records: tuple[Record, ...]
    points: tuple[Point, ...]
    capacity: Capacity

    @property
    def limit_ms(self) -> float:
        """The limit of its tail latency."""
        return self.records[0].trial.load.target_ms or 0.0

    @property
    def sure(self) -> bool:
        """Whether one of the trials next to the capacity has queries enough for its tail."""
        rate = self.capacity.rate
        if rate is None:
            return True
        near = sorted(self.records, key=lambda one: abs((one.trial.load.rate or 0.0) - rate))[:3]
        q = near[0].trial.load.percentile / 100
        return any(len(one.latency_ms) >= samples_needed(q) for one in near)

    @property
    def percentile(self) -> str:
        """The percentile that has the limit: `p99`."""
        return f"p{self.records[0].trial.load.percentile:g}"


def services_of(records: Iterable[Record]) -> list[Service]:
    """The services that were timed at enough rates with a target, in order of appearance."""
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        load = record.trial.load
        if load.name == "server" and load.target_ms is not None and record.latency_ms:
            groups[record.trial.key_without("load.rate"), record.trial.device].append(record)
    found = []
    for group in groups.values():
        ordered = sorted(group, key=lambda one: one.trial.load.rate or 0.0)
        points = tuple(map(point_of, ordered))
        if len({point.rate for point in points}) >= MIN_RATES:
            limit_ms = ordered[0].trial.load.target_ms or 0.0
            found.append(Service(tuple(ordered), points, capacity(points, limit_ms)))
    return found


def point_of(record: Record) -> Point:
    """The tail of a trial at its rate; none under overload."""
    load, summary = record.trial.load, record.summary
    q = load.percentile / 100
    over = any(reason["code"] == "OVERLOAD" for reason in record.reasons)
    bounds = (summary.get("ci_ms") or {}).get(f"p{load.percentile:g}".replace(".", ""))
    spread = spread_of(record.latency_ms, bounds, q, summary.get("tau", 1.0))
    tail_ms = None if over else float(np.quantile(record.latency_ms, q))
    side = SIDES.get(str(record.effective.get("target")), 0)
    if record.verdict == Verdict.INVALID and not over:  # disturbed: it hardly counts
        spread, side = WORTHLESS, 0
    return Point(load.rate or 0.0, tail_ms, spread, side)


def is_missed(record: Record) -> bool:
    """Whether a trial has shown that its target is missed, undisturbed."""
    missed = record.effective.get("target") == TargetVerdict.MISSED
    return missed and record.verdict != Verdict.INVALID


@dataclass(frozen=True)
class Batches:
    """A network at several batch sizes: those that fit, and those that did not, in order."""

    fitting: tuple[Record, ...]
    too_large: tuple[Record, ...]

    @property
    def best(self) -> Record:
        """The one with the largest throughput."""
        return max(self.fitting, key=lambda one: one.images_per_second or 0.0)


def batches_of(records: Sequence[Record]) -> list[Batches]:
    """The networks that were timed at batch sizes until one did not fit, or at several."""
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.trial.key_without("input.batch_size"), record.trial.device].append(record)
    found = []
    for group in groups.values():
        ordered = sorted(group, key=lambda one: one.trial.input.batch_size)
        fitting = tuple(one for one in ordered if one.completed)
        too_large = tuple(one for one in ordered if one.status == Status.OUT_OF_MEMORY)
        if fitting:
            found.append(Batches(fitting, too_large))
    return found
