"""The table at the end of a sweep, and the article's own when methods are compared."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from runner.record import Record


def results_table(records: Sequence[Record]) -> Table:
    """One row per trial, in the order they ran; durations in milliseconds."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for name in ("model", "size", "batch", "warm-up", "method", "p50 ms", "mean ms", "FPS"):
        numeric = name not in ("model", "method")
        table.add_column(name, justify="right" if numeric else "left", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for record in records:
        table.add_row(*_settings(record), *_figures(record), _status(record))
    return table


def methods_table(records: Sequence[Record]) -> Table:
    """The article's table: the ways of timing side by side, and what is wrong with each."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for name in ("method", "warm-up", "mean ms", "FPS", "cold start ms"):
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    table.add_column("what is wrong with it")
    for record in records:
        timing, summary = record.trial["timing"], record.summary
        table.add_row(
            timing["method"],
            str(timing["warmup"]),
            _number(summary.get("mean_ms")),
            _number(summary.get("fps")),
            _number(summary.get("cold_start_ms")),
            _faults(record) if record.completed else _status(record),
        )
    return table


def _settings(record: Record) -> list[str]:
    trial = record.trial
    height, width = trial["input"]["size"]
    repeat = f" r{record.repeat}" if record.repeat else ""
    return [
        (trial["model"]["target"] or trial["model"]["name"]) + repeat,
        str(height) if height == width else f"{height}x{width}",
        str(trial["input"]["batch_size"]),
        str(trial["timing"]["warmup"]),
        trial["timing"]["method"],
    ]


def _figures(record: Record) -> list[str]:
    return [_number(record.summary.get(name)) for name in ("p50_ms", "mean_ms", "fps")]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def _status(record: Record) -> str:
    if record.completed:
        codes = " ".join(reason["code"] for reason in record.reasons)
        return f"{record.verdict}: {codes}" if codes else record.status
    return record.status


def _faults(record: Record) -> str:
    if record.reasons:
        return "; ".join(reason["advice"] for reason in record.reasons)
    if record.trial["timing"]["method"] == "naive":
        return (
            "nothing on a CPU, where a call returns when its work is done; "
            "on a GPU this clock stops before the work does"
        )
    return "nothing: warm and synchronized"
