"""Searches: sweeps whose later trials depend on what the earlier ones found.

What comes next follows from the records alone, so that a search resumes where it ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import psutil

from runner.config.settings import Settings
from runner.contract import Problem, Status, Verdict
from runner.records.record import Record
from runner.trial.description import Load, Trial
from runner.trial.titles import short_titles

PLACEHOLDER = 1.0  # the rate of a trial whose rates the search finds
MEMORY_SHARE = 0.8  # of what is free on a host, where a process that takes all ends others
MAX_PASS_S = 20.0


def template_of(trial: Trial, settings: Settings) -> tuple[Trial, list[Problem]]:
    """The trial that a search varies, and what it can't search."""
    if settings.search is None:
        return trial, []
    found = list(_problems(trial, settings))
    if settings.search == "capacity" and trial.load.rate is None:
        trial = replace(trial, load=replace(trial.load, rate=PLACEHOLDER))
    return trial, found


def _problems(trial: Trial, settings: Settings) -> Iterator[Problem]:
    load, name = trial.load, f"sweep.search={settings.search}"
    if settings.repeats > 1 or trial.repeat:
        found = f"sweep.repeats is given, but {name} times each trial in one process"
        yield Problem("sweep.repeats", found, "omit it")
    if settings.search == "max_batch" and trial.input.batch_size > settings.max_batch:
        found = f"input.batch_size is {trial.input.batch_size}, above sweep.max_batch"
        remedy = f"begin with a smaller one, or raise sweep.max_batch={settings.max_batch}"
        yield Problem("input.batch_size", found, remedy)
    if settings.search == "max_batch" and trial.is_load:
        found = f"load={load.name}, but {name} times batches one by one"
        yield Problem("load", found, "omit one of them")
    if settings.search == "capacity":
        if load.name != "server":
            yield Problem("load", f"{name} needs load=server, but it is {load.name}", "omit load")
        elif load.target_ms is None:
            remedy = "give the limit of the latency, as in load.target_ms=50"
            yield Problem("load.target_ms", f"{name} needs load.target_ms", remedy)
        if 50 <= load.percentile < 100 and load.queries < (least := _needed(load.percentile)):
            found = f"load.queries is {load.queries}, too few for a p{load.percentile:g}"
            yield Problem("load.queries", found, f"expected at least {least}")
        if load.rate is not None:
            found = f"load.rate is {load.rate:g}, but {name} finds the rate"
            yield Problem("load.rate", found, "omit one of them")


def _needed(percentile: float) -> int:
    from runner.statistics.tail_target import queries_needed  # imports scipy

    return queries_needed(percentile / 100)


@dataclass
class Search:
    """The search of a plan, for each of its templates; `ended` says why some ended early."""

    kind: str
    templates: Sequence[Trial]
    max_batch: int
    ended: dict[str, str] = field(default_factory=dict)

    def title_of(self, key: str) -> str:
        """The name of a template in what is said of it."""
        trials = list(self.templates)
        names = short_titles(trials, ("input.batch_size", "load.rate"))
        return next((name for one, name in zip(trials, names, strict=True) if one.key == key), key)

    def following(self, records: Sequence[Record]) -> list[Trial]:
        """The trials to run next, which have no record yet; none at the end."""
        by_folder = {record.folder: record for record in records}
        step = self._rates if self.kind == "capacity" else self._batches
        return [trial for one in self.templates for trial in step(one, by_folder)]

    def _rates(self, template: Trial, records: Mapping[str, Record]) -> list[Trial]:
        from runner.records.capacities import is_missed, point_of
        from runner.statistics.capacity import next_rates, scan_rates

        load = template.load
        alone = Load(
            "single_stream", queries=load.queries, target_ms=load.target_ms,
            percentile=load.percentile,
        )  # fmt: skip
        full = Load(
            "offline", queries=load.queries, max_batch=load.max_batch, instances=load.instances
        )
        first = [replace(template, load=one) for one in (alone, full)]
        if missing := _missing(first, records):
            return missing
        single, offline = (records[trial.folder] for trial in first)
        throughput = offline.figures.get("answered_qps")
        if not (single.completed and offline.completed and throughput):
            self.ended[template.key] = "the trials without a queue did not complete"
            return []
        if offline.verdict == Verdict.INVALID:
            self.ended[template.key] = (
                "the trial with all queries at once is invalid, and the rates to try follow from "
                "it; run it again when the machine is quiet (when_busy=wait)"
            )
            return []
        if is_missed(single):
            return []  # the answer says so
        points, rates = [], scan_rates(throughput)
        while rates:
            tried = [replace(template, load=replace(load, rate=rate)) for rate in rates]
            if missing := _missing(tried, records):
                return missing
            done = [records[trial.folder] for trial in tried]
            if not all(one.completed for one in done):
                self.ended[template.key] = "a rate did not complete"
                return []
            points += [point_of(one) for one in done]
            rates = next_rates(points, load.target_ms or 0.0)
        return []

    def _batches(self, template: Trial, records: Mapping[str, Record]) -> list[Trial]:
        from runner.statistics.batch_search import Room, Tried, next_batch

        tried: list[Tried] = []
        room = Room(self.max_batch, _free_mib(template), MAX_PASS_S)
        while isinstance(batch := next_batch(tried, template.input.batch_size, room), int):
            trial = replace(template, input=replace(template.input, batch_size=batch))
            record = records.get(trial.folder)
            if record is None or record.status == Status.INTERRUPTED:
                return [trial]
            if not record.completed and record.status != Status.OUT_OF_MEMORY:
                self.ended[template.key] = f"a batch of {batch} {record.cause}"
                return []
            peak_mib, ms = record.figures.get("peak_mib"), record.typical_ms
            tried.append(Tried(batch, record.completed, peak_mib, ms and ms / 1000))
        self.ended[template.key] = batch
        return []


def _missing(trials: Sequence[Trial], records: Mapping[str, Record]) -> list[Trial]:
    """Those without a record, or that an interrupt has ended."""
    there = {folder for folder, record in records.items() if record.status != Status.INTERRUPTED}
    return [trial for trial in trials if trial.folder not in there]


def _free_mib(trial: Trial) -> float | None:
    """Memory of this host that a trial may use; None on a device, which says when it is full."""
    if trial.device_kind != "cpu":
        return None
    return MEMORY_SHARE * float(psutil.virtual_memory().available) / 2**20
