"""What is said below the table: the advice, what is missing, where it ran and where it lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.record import Record
from runner.report.table import shows_methods


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
    """What is wrong with each trial and what to do; notes last, and each only once."""
    reasons = [(record, reason) for record in records for reason in record.reasons]
    reasons.sort(key=lambda pair: pair[1]["level"] == "note")
    lines = (
        f"{'note' if reason['level'] == 'note' else record.title}: {reason['advice']}"
        for record, reason in reasons
    )
    return list(dict.fromkeys(lines))


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
