"""Answers about requests and services: where the time goes, how many queries a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from runner.records.capacities import Service, batches_of, is_missed, services_of
from runner.records.record import Record
from runner.records.results import Result
from runner.terminal.figures import number
from runner.trial.phases import PHASES

Names = Callable[[Result], str]


def service_answers(
    records: Sequence[Record], rows: Sequence[Result], names: Names, most: int
) -> Iterator[str]:
    """The sentences about capacities, targets, requests and batches that do not fit."""
    services = services_of(records)
    for service in services[:most]:
        yield _capacity(
            service, _whose(service.records[0], rows, names), _unloaded(service, records)
        )
    searched = {record.key for service in services for record in service.records}
    yield from _targets([row for row in rows if row.first.key not in searched], names, most)
    yield from _single_streams(records, services)
    for row in [row for row in rows if row.figure("phases_sum_ms")][:most]:
        yield request(row, names(row))
    yield from _largest(records, most)


def _whose(record: Record, rows: Sequence[Result], names: Names) -> str:
    row = next((row for row in rows if row.first.key == record.key), None)
    model = record.trial.model.label
    several = len({one.first.trial.key_without("load") for one in rows}) > 1
    return names(row) if several and row is not None else model


def _unloaded(service: Service, records: Sequence[Record]) -> float | None:
    """Queries a second that the same service answers if all wait from the start."""
    of_service = service.records[0].trial.key_without("load")
    for record in records:
        load = record.trial.load
        if load.name == "offline" and record.trial.key_without("load") == of_service:
            return record.figures.get("answered_qps")
    return None


def _capacity(service: Service, whose: str, unloaded: float | None) -> str:
    found, limit = service.capacity, f"{service.percentile} below {service.limit_ms:g} ms"
    rates = [point.rate for point in service.points]
    if found.rate is None:
        return f"{whose} does not keep {limit} at any rate that was tried, down to {min(rates):g}/s"
    slower, which = "", "every rate tried"
    if found.idle_rate is not None:
        slower = f"; at {found.idle_rate:g}/s or less it misses that, maybe slower after a pause"
        which = "higher rates"
    if found.is_least:
        return f"{whose} keeps {limit} at {which}, up to {max(rates):g} queries/s{slower}"
    if found.overload is not None:
        return (
            f"{whose} answers at least {found.rate:.3g} queries/s with {limit}; the queue of "
            f"{found.overload:.3g}/s grows without end{slower}"
        )
    sure = f" (95 % CI {found.ci[0]:.3g} to {found.ci[1]:.3g})" if found.ci else ""
    of = f", of {unloaded:.3g} without a schedule" if unloaded else ""
    few = "" if service.sure else ", only indicative: too few queries for such a tail"
    return f"{whose} answers up to {found.rate:.3g} queries/s{sure} with {limit}{of}{few}{slower}"


def _targets(rows: Sequence[Result], names: Names, most: int) -> Iterator[str]:
    """Whether trials at single rates keep their targets."""
    asked = [row for row in rows if row.first.trial.load.name == "server"]
    for row in [row for row in asked if row.target][:most]:
        load, target = row.first.trial.load, row.target
        asked_for = f"target of p{load.percentile:g} below {load.target_ms:g} ms"
        yield f"{names(row)} at {load.rate:g}/s: {asked_for} {target}"


def _single_streams(records: Sequence[Record], services: Sequence[Service]) -> Iterator[str]:
    """Services that are too slow even without a queue."""
    known = {service.records[0].trial.key_without("load") for service in services}
    for record in records:
        trial, load = record.trial, record.trial.load
        if load.name != "single_stream" or trial.key_without("load") in known:
            continue
        if is_missed(record):
            tail_ms = record.summary.get("p99_ms") or max(record.latency_ms)
            yield (
                f"{trial.model.label} keeps p{load.percentile:g} below {load.target_ms:g} "
                f"ms at no rate: without any queue a query takes up to {number(tail_ms)} ms"
            )


def request(row: Result, whose: str) -> str:
    """Where the time of a request goes."""
    known = {name: row.figure(f"{name}_ms") or 0.0 for name in PHASES}
    total = sum(known.values()) or 1.0
    largest = sorted(((ms, name) for name, ms in known.items() if ms), reverse=True)
    parts = ", ".join(f"{name} {number(ms)} ({_share(ms / total)})" for ms, name in largest)
    if row.first.trial.pipeline.overlap:
        every = number(row.typical)
        return f"{whose}: a batch every {every} ms, a request {number(total)} ms: {parts}"
    return f"a request of {whose} takes {number(row.typical)} ms: {parts}"


def _share(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "<1%"


def _largest(records: Sequence[Record], most: int) -> Iterator[str]:
    """The largest batches that fit, where one did not."""
    for found in [one for one in batches_of(records) if one.too_large][:most]:
        fits, too_large = found.fitting[-1].trial, found.too_large[0].trial
        yield (
            f"largest batch of {fits.model.label} at {fits.input.size_label}px that fits: "
            f"{fits.input.batch_size} ({too_large.input.batch_size} is out of memory)"
        )
