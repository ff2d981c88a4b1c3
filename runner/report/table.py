"""The tables at the end of a sweep; durations in milliseconds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, median

from rich import box
from rich.table import Table

from runner.record import Record
from runner.statistics.processes import combine
from runner.trial import VERDICTS, varied

SETTINGS = ("model", "size", "batch", "warm-up", "method")
TEXT = ("model", "method", "verdict")


def shows_methods(records: Sequence[Record]) -> bool:
    """Whether the ways of timing are what is compared."""
    methods = {record.trial["timing"]["method"] for record in records}
    return "naive" in methods and len(records) > 1 and not shows_processes(records)


def shows_processes(records: Sequence[Record]) -> bool:
    """Whether there are several processes of a trial."""
    return any(record.repeat for record in records)


def table_of(records: Sequence[Record]) -> Table:
    """The table that suits the sweep."""
    if shows_processes(records):
        return processes_table(records)
    return methods_table(records) if shows_methods(records) else results_table(records)


def results_table(records: Sequence[Record]) -> Table:
    """One row per trial, in the order they ran; +- is half the 95 % interval of the median."""
    differing = varied([record.trial for record in records])
    table = _table(*SETTINGS, *differing[0], "p50 ms", "+- %", "mean ms", "FPS", "verdict")
    for record, settings in zip(records, differing, strict=True):
        summary = record.summary
        table.add_row(
            *_settings(record),
            *settings.values(),
            number(summary.get("p50_ms")),
            "-" if (width := record.half_width()) is None else f"{100 * width:.1f}",
            number(summary.get("mean_ms")),
            number(_images_per_second(record)),
            _verdict([record]),
        )
    return table


def processes_table(records: Sequence[Record]) -> Table:
    """One row per trial key, its processes taken together.

    The interval is that of the median over processes; the spread is their standard deviation.
    """
    differing = varied([record.trial for record in records])
    figures = ("processes", "p50 ms", "95 % CI", "spread %", "FPS", "verdict")
    table = _table(*SETTINGS, *differing[0], *figures)
    keys: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        keys[record.key].append(record)
    settings = dict(zip((record.key for record in records), differing, strict=True))
    for key, group in keys.items():
        timed = [record for record in group if record.completed]
        medians = [median(record.latency_ms) for record in timed]
        found = combine(medians) if medians and min(medians) > 0 else None
        bounds = None if found is None else found.ci_ms
        spread = None if found is None else found.spread
        rates = [rate for rate in map(_images_per_second, timed) if rate is not None]
        table.add_row(
            *_settings(group[0], repeat=False),
            *settings[key].values(),
            f"{len(timed)}" if len(timed) == len(group) else f"{len(timed)} of {len(group)}",
            number(found.median_ms if found else None),
            "-" if bounds is None else f"{number(bounds[0])} to {number(bounds[1])}",
            "-" if spread is None else f"{100 * spread:.1f}",
            number(fmean(rates) if rates else None),
            _verdict(group),
        )
    return table


def methods_table(records: Sequence[Record]) -> Table:
    """The article's table: the ways of timing side by side, and what is wrong with each."""
    known = [record for record in records if record.series.get("true_ms") is not None]
    truth = ("true ms",) if known else ()
    differing = varied([record.trial for record in records])
    table = _table("method", "warm-up", *differing[0], "mean ms", "FPS", "cold start ms", *truth)
    table.add_column("verdict", no_wrap=True)
    table.add_column("what is wrong with it")
    for record, settings in zip(records, differing, strict=True):
        timing, summary = record.trial["timing"], record.summary
        table.add_row(
            timing["method"],
            str(timing["warmup"]),
            *settings.values(),
            number(summary.get("mean_ms")),
            number(_images_per_second(record)),
            number(summary.get("cold_start_ms")),
            *([number(record.series.get("true_ms"))] if known else []),
            record.verdict or "-",
            _faults(record) if record.verdict else _verdict([record]),
        )
    return table


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for name in names:
        justify = "left" if name in TEXT else "right"
        table.add_column(name, justify=justify, no_wrap=name != "verdict")  # type: ignore[arg-type]
    return table


def _settings(record: Record, *, repeat: bool = True) -> list[str]:
    trial = record.trial
    height, width = trial["input"]["size"]
    suffix = f" r{record.repeat}" if record.repeat and repeat else ""
    return [
        (trial["model"]["target"] or trial["model"]["name"]) + suffix,
        str(height) if height == width else f"{height}x{width}",
        str(trial["input"]["batch_size"]),
        str(trial["timing"]["warmup"]),
        trial["timing"]["method"],
    ]


def _images_per_second(record: Record) -> float | None:
    """Throughput where it was measured, else closed-loop FPS."""
    rate: float | None = record.summary.get("img_s") or record.summary.get("fps")
    return rate


def number(value: float | None) -> str:
    """Two decimals, three digits below 1, a dash for what is not known."""
    return "-" if value is None else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def _verdict(group: Sequence[Record]) -> str:
    """The worst verdict of the processes and all their reasons, or what ended them."""
    ended = sorted({record.status for record in group if not record.completed})
    if any(record.completed and record.verdict is None for record in group):
        ended.append("not judged")
    levels = {record.verdict for record in group}
    worst = next((level for level in VERDICTS if level in levels), None)
    codes = dict.fromkeys(
        reason["code"] for record in group for reason in record.reasons if reason["level"] != "note"
    )
    judged = [f"{worst}: {' '.join(codes)}" if codes else worst] if worst else []
    return ", ".join([*ended, *judged])


def _faults(record: Record) -> str:
    advice = [reason["advice"] for reason in record.reasons if reason["level"] != "note"]
    if record.trial["timing"]["method"] == "naive" and record.trial["device"] == "cpu":
        advice.insert(
            0,
            "as a method nothing on a CPU, where a call returns when its work is done; "
            "on a GPU this clock stops before the work does",
        )
    return "; ".join(advice) or "nothing: warm and synchronized"
