"""The lines below the table: reasons, missing trials, device and paths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.contract import Level, Status, counted
from runner.records.record import Record, sentence
from runner.terminal.figures import number
from runner.terminal.table import shows_methods
from runner.trial.description import size_label
from runner.trial.methods import METHODS

LEVELS = list(Level)
MAX_DEVICES = 4
MAX_NAMED = 2  # trials; beyond that only their number is shown


def closing_lines(records: Sequence[Record], trials: int, sweep_dir: Path) -> Iterator[str]:
    """The lines for the records of a sweep of so many `trials`."""
    yield from about_numbers(records, trials, sweep_dir)
    if len(records) < trials or any(record.status == Status.INTERRUPTED for record in records):
        yield f"resume    python -m runner sweep.resume={sweep_dir.name}"
    lines = device_lines(records)
    yield f"device    {lines[0]}"
    yield from (f"          {line}" for line in lines[1:])
    yield f"records   {sweep_dir}/"


def about_numbers(records: Sequence[Record], trials: int, sweep_dir: Path) -> Iterator[str]:
    """The lines about the quality of the numbers."""
    yield from faults(records) if shows_methods(records) else reasons(records)
    yield from _unfinished(records, trials, sweep_dir)
    yield from _resized(records)
    models = [record.trial.model for record in records]
    if any(
        model.weights is None and model.task != "simulated" and model.source_name == "torchvision"
        for model in models
    ):
        yield (
            "weights   random; model.weights=DEFAULT loads trained ones "
            "(a detector's time depends on them)"
        )


def _unfinished(records: Sequence[Record], trials: int, sweep_dir: Path) -> Iterator[str]:
    counts = {
        "interrupted": sum(record.status == Status.INTERRUPTED for record in records),
        "not completed": sum(
            not record.completed and record.status != Status.INTERRUPTED for record in records
        ),
        "not started": trials - len(records),
        "not judged": sum(record.completed and record.verdict is None for record in records),
    }
    text = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    if not text:
        return
    causes = {record.cause for record in records}
    if counts["not completed"] == trials > 1 and len(causes) == 1:
        yield (
            f"all {trials} trials failed the same way: {causes.pop()}; output in "
            f"{sweep_dir}/*/worker.log"
        )
        return
    why = "; see error and why_null in" if counts["not completed"] or counts["not judged"] else ""
    files = f" {sweep_dir}/*/record.json, and worker.log beside it" if why else ""
    yield f"of {counted(trials, 'trial')} {text}{why}{files}"


def _resized(records: Sequence[Record]) -> Iterator[str]:
    """Notes about networks whose time does not depend on input.size, if that was swept."""
    if len({record.trial.input.size for record in records}) < 2:
        return
    works_at: dict[str, set[str]] = defaultdict(set)
    for record in records:
        size = record.effective.get("network_size")
        if size and tuple(size) != record.trial.input.size:
            works_at[record.trial.model.name].add(size_label(size))
    for name, sizes in works_at.items():
        yield (
            f"note: {name} resizes every image before its network "
            f"({', '.join(sorted(sizes))}), so input.size has little effect"
        )


def faults(records: Sequence[Record]) -> Iterator[str]:
    """For each timing method, its problems."""
    models = {record.trial.model.name for record in records}
    for record in records:
        if record.verdict is None:
            continue
        timing = record.trial.timing
        name = f"{timing.method} w{timing.warmup}"
        if len(models) > 1:
            name = f"{record.trial.model.name} {name}"
        found = [sentence(reason) for reason in record.reasons if reason["level"] != Level.NOTE]
        if not METHODS[timing.method].synchronized and record.trial.device == "cpu":
            found.insert(
                0,
                "harmless on a CPU, where a call returns when its work is done; wrong on a GPU, "
                "where the clock stops before the work does",
            )
        yield f"{name}: {'; '.join(found) or 'no problems: warm and synchronized'}"


def reasons(records: Sequence[Record]) -> Iterator[str]:
    """One line for each reason, the worst first: trials, figures, a common remedy.

    Each trial is represented by its worst process.
    """
    found: dict[tuple[str, bool], list[tuple[Record, dict[str, Any]]]] = defaultdict(list)
    for record in records:
        for reason in record.reasons:
            found[reason["code"], reason["level"] == Level.NOTE].append((record, reason))
    completed = {record.key for record in records if record.completed}
    for (code, note), cases in sorted(found.items(), key=lambda item: _weight(item[1])):
        worst: dict[str, tuple[Record, dict[str, Any]]] = {}
        for record, reason in cases:
            case = record, reason
            if record.key not in worst or _severity(case) < _severity(worst[record.key]):
                worst[record.key] = case
        everywhere = worst.keys() == completed
        who = _who(list(worst.values()), records, "" if note and everywhere else len(completed))
        text = _together([reason for _, reason in worst.values()])
        yield ": ".join(filter(None, ("note" if note else "", code, who, text)))


def _severity(case: tuple[Record, dict[str, Any]]) -> tuple[int, float]:
    return LEVELS.index(case[1]["level"]), -abs(case[1].get("figure") or 0.0)


def _weight(cases: Sequence[tuple[Record, dict[str, Any]]]) -> tuple[int, float]:
    """The worst first: by level, then by number of trials."""
    return min(LEVELS.index(reason["level"]) for _, reason in cases), -len(cases)


def _who(
    cases: Sequence[tuple[Record, dict[str, Any]]], records: Sequence[Record], of: int | str
) -> str:
    """The trials that a reason concerns."""
    if not of or of == 1:
        return ""
    if len(cases) > MAX_NAMED:
        return f"{len(cases)} of {of} trials"
    titles = []
    for record, reason in cases:
        processes = [other for other in records if other.key == record.key]
        seen = sum(any(r["code"] == reason["code"] for r in p.reasons) for p in processes)
        title = processes[0].title
        titles.append(title if len(processes) == 1 else f"{title} ({seen} of {len(processes)})")
    return ", ".join(titles)


def _together(found: Sequence[dict[str, Any]]) -> str:
    """The sentence of one case, or the range of several figures."""
    neediest = max(
        found, key=lambda reason: (reason.get("need", 0), abs(reason.get("figure") or 0))
    )
    if len({reason["found"] for reason in found}) == 1:
        return sentence(neediest)
    figures = [figure for reason in found if (figure := reason.get("figure")) is not None]
    what = _span(figures, neediest.get("unit", "")) if figures else neediest["found"]
    return sentence(neediest | {"found": what})


def _span(figures: Sequence[float], unit: str) -> str:
    """`+0.3 to +1.7% on the mean`."""
    sign, unit = ("+", unit[1:]) if unit.startswith("+") else ("", unit)
    shares = unit.startswith("%")
    ends = [
        f"{100 * end:{sign}.1f}" if shares else number(end).removesuffix(".00")
        for end in (min(figures), max(figures))
    ]
    return " to ".join(dict.fromkeys(ends)) + (unit if shares else f" {unit}")


def device_lines(records: Sequence[Record]) -> list[str]:
    """A line for each device on which trials completed, or else ran."""
    completed = [record for record in records if record.completed] or records[:1]
    return list(dict.fromkeys(map(_device_line, completed)))[:MAX_DEVICES]


def _device_line(record: Record) -> str:
    environment, effective = record.environment, record.effective
    if record.trial.device == "simulated":
        return "simulated: a scripted clock with a known true time; no hardware was timed"
    if environment.get("gpu"):
        return f"{environment['gpu']}, driver {environment.get('gpu_driver') or 'unknown'}"
    if record.trial.device_kind != "cpu":
        return f"{record.trial.device}, torch {environment.get('torch')}"
    number_of = effective.get("threads")
    threads = f", {counted(number_of, 'thread')}" if number_of else ""
    cpu = environment.get("cpu") or "unknown CPU"
    return f"{record.trial.device}: {cpu}{threads}, torch {environment.get('torch')}"
