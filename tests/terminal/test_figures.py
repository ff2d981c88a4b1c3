"""The columns of a table: decimals, units, and cells that are equal in all rows."""

from __future__ import annotations

import io

import pytest
from fakes.trials import make_trial, timed
from rich.console import Console

from runner.contract import Phase
from runner.terminal.figures import alike
from runner.terminal.lines import Lines
from runner.terminal.progress import SweepProgress
from runner.terminal.table import columns_of, show


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        ((814.65, 3467.161), ("814.65", "3467.16")),
        ((1.16, 0.285), ("1.160", "0.285")),
        ((46.0, 0.02, None), ("46.0000", "0.0200", "-")),
        ((0.0, 1e-12, 12.0), ("0.00", "0.00", "12.00")),
        ((0.00001, 1.0), ("0.0000", "1.0000")),
        ((), ()),
    ],
)
def test_all_cells_of_a_column_have_as_many_decimals(values, cells):
    assert alike(values) == cells


@pytest.mark.parametrize(("gflop", "title"), [(0.001, "GFLOP/s"), (500.0, "TFLOP/s")])
def test_operations_a_second_have_the_unit_that_can_be_read(gflop, title):
    records = [
        timed(make_trial(model={"name": name}), figures={"gflop": gflop}) for name in ("a", "b")
    ]
    column = next(one for one in columns_of(records)[1] if one.name.endswith("FLOP/s"))
    assert column.name == title
    assert all(0.05 < float(cell) < 1000 for cell in column.cells)


def table_of(records, width=120):
    console = Console(file=io.StringIO(), width=width)
    show(records, console)
    return console.file.getvalue()


@pytest.mark.parametrize(("rows", "once"), [(3, False), (4, True), (12, True)])
def test_many_equal_verdicts_are_one_line_below(rows, once):
    text = table_of([timed(make_trial(seed=seed), n=20) for seed in range(rows)])
    assert text.count("suspect: FEW_SAMPLES") == (1 if once else rows)
    assert (f"verdict of all {rows}: suspect: FEW_SAMPLES" in text) == once


def test_different_verdicts_stand_in_their_rows():
    text = table_of([timed(make_trial(seed=seed), n=20 if seed else 60) for seed in range(5)])
    assert text.count("suspect: FEW_SAMPLES") == 4
    assert "verdict of all" not in text


def test_rows_of_shuffled_rounds_are_sorted_by_their_settings():
    sizes = [(224, 224), (64, 64), (1024, 1024), (64, 64), (1024, 1024), (224, 224)]
    records = [
        timed(make_trial(input={"size": size}, repeat=place // 3))
        for place, size in enumerate(sizes)
    ]
    (size,) = [one for one in columns_of(records)[1] if one.name == "size"]
    assert size.cells == ("64", "224", "1024")


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_the_progress_line_shows_its_phase_at_any_width(width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True)
    trial = make_trial(model={"name": "efficientnet_v2_l_of_a_long_name"})
    with SweepProgress(Lines(console), [trial.key] * 12) as progress:
        progress.begins(trial.title, trial.timing)
        progress.phase(Phase.TIMED, 90.0)
    shown = console.file.getvalue()
    assert "timing" in shown
    assert "…" not in shown
