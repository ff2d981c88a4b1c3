"""The page of a sweep: the plots its axes call for, the facts, and what is wrong."""

from __future__ import annotations

import csv
import time
from dataclasses import replace

import pytest
from fakes.trials import make_trial, record_of, timed

from runner.pages.page import to_html
from runner.pages.report import page_of, write
from runner.records.record import Outcome


def grid(**axes):
    """A record for each combination of sizes, batches, warm-ups, models, precisions, methods."""
    trials = [make_trial()]
    for name, values in axes.items():
        trials = [replaced(trial, name, value) for trial in trials for value in values]
    return [timed(trial, 5.0 + n, figures={"gflop": 1.0 + n}) for n, trial in enumerate(trials)]


def replaced(trial, name, value):
    group, _, key = name.partition("__")
    return replace(trial, **{group: replace(getattr(trial, group), **{key: value})})


def took_s(work):
    """CPU seconds, the least of three."""
    times = []
    for _ in range(3):
        began_s = time.process_time()
        work()
        times.append(time.process_time() - began_s)
    return min(times)


def headings(records):
    return [section.heading for section in page_of(records, None).sections if section.plots]


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"input__size": ((64, 64), (96, 96), (128, 128))}, ["Resolution"]),
        ({"input__batch_size": (1, 2, 4)}, ["Batch"]),
        ({"timing__warmup": (0, 5, 20)}, ["Warm-up"]),
        ({"model__name": ("resnet18", "vgg11")}, ["Ranking", "FLOPs"]),
        ({"runtime__precision": ("fp32", "bf16")}, ["Ranking", "Speed-ups"]),
        ({"timing__method": ("naive", "wall")}, ["Methods"]),
        ({}, []),
    ],
)
def test_the_axes_of_a_sweep_decide_which_plots_there_are(axes, expected):
    assert headings(grid(**axes)) == [*expected, "Samples"]


def test_the_line_of_latency_against_resolution_holds_the_numbers():
    records = grid(input__size=((128, 128), (64, 64), (32, 32), (96, 96)))
    (section,) = [one for one in page_of(records, None).sections if one.heading == "Resolution"]
    (line,) = section.plots[0].figure.data
    assert list(line.x) == [32, 64, 96, 128]
    by_size = sorted(records, key=lambda record: record.trial.input.size)
    assert line.y == pytest.approx([record.summary["p50_ms"] for record in by_size])
    assert line.error_y.array[0] > 0
    assert "size^" in line.name


def test_three_files_are_written_and_the_table_can_be_read_by_others(tmp_path):
    records = grid(input__size=((64, 64), (128, 128)), model__name=("resnet18", "vgg11"))
    files = write(records, tmp_path, ["2 planned trials have not run"])
    assert [file.name for file in files] == ["report.html", "report.md", "summary.csv"]
    assert "- 2 planned trials have not run" in files[1].read_text()
    rows = list(csv.DictReader(files[2].read_text().splitlines()))
    assert [row["model"] for row in rows] == ["resnet18", "vgg11"] * 2
    assert "# resnet18, vgg11 x 2 sizes" in files[1].read_text()


def test_what_failed_is_told_and_costs_nothing_else():
    failed = record_of(
        make_trial(model={"name": "vgg11"}),
        Outcome("failed", error={"type": "ValueError", "message": "no"}),
    )
    page = page_of([*grid(), failed], None)
    text = "\n".join(line for section in page.sections for line in section.lines)
    assert "1 not completed" in text
    assert [one.heading for one in page_of([failed], None).sections] == [
        "Table", "Quality of the numbers",
    ]  # fmt: skip


def test_mixed_machines_are_told():
    there = timed(make_trial(seed=1), host={"host": "there"})
    facts = page_of([*grid(), there], None).facts
    assert any("here (a CPU); there (a CPU) - mixed machines" in fact for fact in facts)


def test_a_thousand_trials_make_a_page_of_bounded_size():
    trials = [make_trial(seed=seed) for seed in range(1000)]
    one = timed(trials[0])
    records = [replace(one, trial=trial, key=trial.key) for trial in trials]
    assert len(to_html(page_of(records, None))) < 7_000_000
    few, many = (took_s(lambda n=n: page_of(records[:n], None)) for n in (250, 1000))
    assert many < 12 * few  # four times as long; a square would be sixteen
