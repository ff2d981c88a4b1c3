"""What is said below the table: the advice, what is missing, where it ran and where it lies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.record import Record
from runner.report.table import shows_methods
from runner.trial import LEVELS


def closing_lines(records: Sequence[Record], trials: int, sweep_dir: Path) -> Iterator[str]:
    """The lines for the records of a sweep of so many `trials`."""
    if not shows_methods(records):  # that table gives the advice itself
        yield from advice(records)
    unfinished = sum(not record.completed for record in records)
    if unfinished:
        yield (
            f"{unfinished} of {trials} trials not completed; why: "
            f"error in {sweep_dir}/*/record.json, output in worker.log beside it"
        )
    models = [record.trial["model"] for record in records]
    if any(
        model["weights"] is None and model["target"] is None and model["task"] != "simulated"
        for model in models
    ):
        yield (
            "weights   random; model.weights=DEFAULT loads trained ones "
            "(a detector's time depends on them)"
        )
    yield f"device    {device_line(max(records, key=lambda record: record.completed))}"
    yield f"records   {sweep_dir}/"


def advice(records: Sequence[Record]) -> list[str]:
    """What is wrong with each trial and what to do, each only once; the notes last.

    Of the processes of one trial, the one in which it is worst speaks for the others.
    """
    worst: dict[tuple[str, str], tuple[Record, dict[str, Any]]] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for record in records:
        for reason in record.reasons:
            place = record.key, reason["code"]
            seen[place] += 1
            if place not in worst or _weight(reason) > _weight(worst[place][1]):
                worst[place] = record, reason
    shared: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for place, (record, reason) in worst.items():
        processes = sum(other.key == record.key for other in records)
        title = record.title if processes == 1 else f"{record.title} ({seen[place]} of {processes})"
        shared[reason["level"] == "note", reason["advice"]].append(title)
    lines = []
    for (note, text), titles in sorted(shared.items(), key=lambda item: item[0][0]):
        everywhere = len(titles) == len({record.key for record in records if record.completed})
        who = ", ".join(titles) if len(titles) <= 2 else f"{len(titles)} trials"
        lines.append(
            ": ".join((["note"] if note else []) + ([] if note and everywhere else [who]) + [text])
        )
    return lines


def _weight(reason: dict[str, Any]) -> tuple[int, float]:
    return -LEVELS.index(reason["level"]), abs(reason["figure"] or 0.0)


def device_line(record: Record) -> str:
    """Where the trials ran, in one line."""
    environment, effective = record.environment, record.effective
    if record.trial["device"] == "simulated":
        return "simulated: a scripted clock, whose true time is known; nothing was really timed"
    if environment.get("gpu"):
        return f"{environment['gpu']}, driver {environment.get('gpu_driver') or 'unknown'}"
    number = effective.get("threads")
    threads = f", {number} thread{'s' if number > 1 else ''}" if number else ""
    cpu = environment.get("cpu") or "unknown CPU"
    return f"{record.trial['device']}: {cpu}{threads}, torch {environment['torch']}"
