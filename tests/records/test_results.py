"""One number, one value: a trial's figures are the same in table, answers, report and MLflow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.trials import make_trial, record_of, timed

from runner.pages.answers import answers, lines_of, usable
from runner.records.record import Outcome
from runner.records.results import Result, results_of
from runner.terminal.figures import number
from runner.terminal.table import columns_of
from runner.tracking.curves import curves_of
from runner.tracking.parent import figures_of


def sweep(processes: int):
    """Two precisions at two batches, on a noisy machine, one process slow and one failed."""
    return [
        timed(
            replace(
                make_trial(runtime={"precision": precision}, input={"batch_size": batch}),
                repeat=repeat,
            ),
            ms * batch * (1 + 0.03 * repeat),
            noise=0.2,
            figures={"gflop": 2.0 * batch},
        )
        for repeat in range(processes)
        for precision, ms in (("fp32", 10.0), ("bf16", 7.0))
        for batch in (1, 4)
    ]


def with_spoilt_ones(records):
    """The first trial has an invalid process, ten times as fast, and the second a failed one."""
    quick = replace(timed(records[0].trial, 1.0), verdict="invalid")
    failed = record_of(
        records[1].trial, Outcome("failed", error={"type": "E", "message": "", "trace": ""})
    )
    return [quick, failed, *records[2:]]


@pytest.mark.parametrize("processes", [1, 2, 5])
@pytest.mark.parametrize("spoil", [False, True])
def test_all_who_show_a_figure_show_the_same(processes, spoil):
    records = sweep(processes)
    records = with_spoilt_ones(records) if spoil and processes > 1 else records
    results = results_of(records)
    cells = {column.name: column.cells for column in columns_of(records)[1]}
    assert sorted(cells["p50 ms"]) == sorted(number(one.typical) for one in results)
    assert sorted(cells["FPS"]) == sorted(number(one.images_per_second) for one in results)
    told = "\n".join(answers(records))
    ranked = sorted(
        (one for one in results if one.first.trial.input.batch_size == 1),
        key=lambda one: one.typical,
    )
    assert (
        f"batch 1: bf16, {number(ranked[0].typical)} ms; next fp32, {number(ranked[1].typical)}"
        in (told)
    )
    assert f"{ranked[1].typical / ranked[0].typical:.2f}x slower" in told
    best = max(results, key=lambda one: one.images_per_second)
    assert f"{number(best.images_per_second)} images/s at batch" in told
    shares = [cell.partition(" ")[0] for cell in cells["speed-up"] if cell != "-"]
    assert sorted(shares) == sorted(
        f"{plain.typical / other.typical:.2f}"
        for plain, other in zip(results[:2], results[2:], strict=True)
    )
    assert all(f"{share}x faster than eager fp32" in told for share in shares)
    figures = dict(figures_of(records))
    assert figures["best/p50_ms"] == min(one.typical for one in results)
    assert figures["best/img_s"] == best.images_per_second
    points = {
        (curve.params["runtime.precision"], at): metrics
        for curve in curves_of(records)
        for at, metrics in curve.points.items()
    }
    for one in results:
        trial = one.first.trial
        metrics = points[trial.runtime.precision, trial.input.batch_size]
        assert metrics["lat_ms/p50"] == one.typical
        assert metrics["thr/fps"] == one.images_per_second
        assert metrics["thr/tflop_s"] == one.tflop_s
    along = lines_of(usable(records), "input.batch_size")
    drawn = [row.typical for line in along for row in line.rows]
    assert sorted(drawn) == sorted(one.typical for one in results)


def test_an_invalid_process_counts_only_where_there_is_no_other():
    slow, quick = sweep(2)[0], replace(timed(sweep(1)[0].trial, 1.0), verdict="invalid")
    assert Result((quick, slow)).typical == slow.typical_ms
    assert Result((quick,)).typical == quick.typical_ms
    assert not Result((quick,)).usable
    assert Result((quick, slow)).usable


def test_one_process_each_is_said_only_where_it_is_one():
    few, many = "\n".join(answers(sweep(1))), "\n".join(answers(sweep(5)))
    assert "only indicative: one process each" in few
    assert "a side" not in few
    assert "indicative" not in many
    records = [one for one in sweep(3) if one.repeat == 0 or one.trial.runtime.precision == "fp32"]
    assert "(one side has a single process, only indicative)" in "\n".join(answers(records))
