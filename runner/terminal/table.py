"""The tables at the end of a sweep; durations in milliseconds.

What all trials share is shown once, above the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rich.console import Console

from runner.records.record import Record
from runner.records.results import Result, has_processes, results_of
from runner.terminal.figures import BY_NAME, OF_METHODS, OF_PROCESSES, OF_TRIALS, verdict
from runner.terminal.layout import Column, lay_out
from runner.terminal.text import print_line
from runner.trial.methods import METHODS
from runner.trial.titles import settings, varying

NUMBERS = ("size", "batch", "warm-up", "rate /s")  # columns of figures
MAX_ROWS = 1000
MANY_ROWS = 4  # with the same verdict, which is then shown once
COLUMN_OF = {  # keys of the command line -> title of their column
    "input.size": "size",
    "input.batch_size": "batch",
    "timing.warmup": "warm-up",
    "timing.method": "method",
    "load.rate": "rate /s",
}


def show(records: Sequence[Record], console: Console, chosen: Sequence[str] | None = None) -> None:
    """Print the table that suits the sweep, as wide as the console and MAX_ROWS long at most.

    Columns that were `chosen` replace its own, with the verdict.
    """
    keys = list(dict.fromkeys(record.key for record in records))
    kept = set(keys[:MAX_ROWS])
    same, columns = columns_of([record for record in records if record.key in kept], chosen)
    lines = ["", f"all trials: {same}"] if same else [""]
    columns, below = _without_equal_verdicts(columns) if chosen is None else (columns, "")
    for line in lines:
        print_line(console, line)
    for line in lay_out(columns, console):
        console.out(line, highlight=False)
    print_line(console, below)
    if below:
        console.out("")
    if len(keys) > MAX_ROWS:
        console.out(f"(the first {MAX_ROWS} of {len(keys)}; all are in MLflow and on disk)\n")


def _without_equal_verdicts(columns: Sequence[Column]) -> tuple[list[Column], str]:
    """The columns, and where many rows have the same verdict a line in place of that column."""
    *others, last = columns
    if last.name != "verdict" or len(last.cells) < MANY_ROWS or len(set(last.cells)) > 1:
        return list(columns), ""
    return others, f"verdict of all {len(last.cells)}: {last.cells[0]}"


def columns_of(
    records: Sequence[Record], chosen: Sequence[str] | None = None
) -> tuple[str, list[Column]]:
    """What all trials share, as a line, and the columns of differences and results."""
    rows = results_of(records)
    shown: tuple[str, ...] = ()
    figures = OF_TRIALS
    if has_processes(records):
        figures = OF_PROCESSES
        rows = sorted(rows, key=_place(rows))  # their processes ran in shuffled rounds
    elif any(row.first.trial.load.rate for row in rows):
        rows = sorted(rows, key=_place(rows))  # a search does not try rates in their order
    elif shows_methods(records):
        figures, shown = OF_METHODS, ("method", "warm-up")
    same, differing = names_of([row.first for row in rows], shown)
    if chosen is not None:
        nothing = ("-",) * len(rows)
        own = [BY_NAME[name](rows) or Column(name, nothing) for name in chosen]
        # requested figures are never dropped, nor the verdict
        kept = [replace(column, spare=None) for column in own]
        return same, [*differing, *kept, *([] if "verdict" in chosen else [verdict(rows)])]
    made = (figure(rows) for figure in figures)
    return same, [*differing, *(column for column in made if column is not None)]


def _place(rows: Sequence[Result]) -> Callable[[Result], tuple[float, ...]]:
    """Sorts by the settings: numbers by size, words in the order of their first appearance."""
    columns = _settings([row.first for row in rows])
    seen = [{cell: place for place, cell in enumerate(dict.fromkeys(one.cells))} for one in columns]
    places = {
        id(row): tuple(
            float(cell) if cell.replace(".", "", 1).isdecimal() else float(of_cell[cell])
            for cell, of_cell in zip(cells, seen, strict=True)
        )
        for row, *cells in zip(rows, *(one.cells for one in columns), strict=True)
    }
    return lambda row: places[id(row)]


def names_of(
    records: Sequence[Record], shown: Sequence[str] = (), but: str = ""
) -> tuple[str, list[Column]]:
    """What all trials share, as a line, and columns of what differs or is `shown`.

    `but` is a key that is shown elsewhere.
    """
    left_out = COLUMN_OF.get(but, but.rpartition(".")[2])
    columns = [one for one in _settings(records) if one.name != left_out]
    differing = [one for one in columns if len(set(one.cells)) > 1 or one.name in shown]
    same = ", ".join(f"{one.name} {one.cells[0]}" for one in columns if one not in differing)
    return same, differing


def shows_methods(records: Sequence[Record]) -> bool:
    """Whether the sweep compares timing methods."""
    synchronized = all(METHODS[record.trial.timing.method].synchronized for record in records)
    return not synchronized and len(records) > 1 and not has_processes(records)


def _settings(records: Sequence[Record]) -> list[Column]:
    """A column for each setting that a title names, and for each other that differs."""
    trials = [record.trial for record in records]
    named = {
        "model": [trial.model.label for trial in trials],
        "size": [trial.input.size_label for trial in trials],
        "batch": [str(trial.input.batch_size) for trial in trials],
        "warm-up": [str(trial.timing.warmup) for trial in trials],
        "method": [trial.timing.method for trial in trials],
    }
    if any(trial.load.rate for trial in trials):
        named["rate /s"] = [f"{rate:.4g}" if (rate := one.load.rate) else "-" for one in trials]
    for name, own in (("pipeline", any(one.is_e2e for one in trials)),
                      ("load", any(one.is_load for one in trials))):  # fmt: skip
        if own:
            named[name] = [getattr(trial, name).name for trial in trials]
    others = [settings(trial) for trial in trials]
    named |= {name: [one.get(name, "-") for one in others] for name in varying(trials)}
    return [Column(name, tuple(cells), text=name not in NUMBERS) for name, cells in named.items()]
