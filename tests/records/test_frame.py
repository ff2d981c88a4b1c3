"""Records as pandas tables: a row a trial, or a row a sample."""

from __future__ import annotations

import pandas as pd
import pytest
from fakes.trials import make_trial, timed

from runner.records.frame import samples_frame, trials_frame

SQUARE, WIDE = (make_trial(input={"size": size}) for size in ((64, 64), (48, 96)))


def test_a_row_a_trial_has_its_keys_its_figures_and_where_it_ran():
    record = timed(SQUARE, 10.0)
    (row,) = trials_frame([record]).to_dict("records")
    assert row["model"] == "resnet18"
    assert (row["input.size"], row["input.height"], row["timing.warmup"]) == (64, 64, 2)
    assert row["p50_ms"] == record.summary["p50_ms"]
    assert row["p50_lo_ms"] < row["p50_ms"] < row["p50_hi_ms"]
    assert (row["status"], row["verdict"]) == ("completed", record.verdict)
    assert (row["host"], row["torch"]) == ("here", "2.14.1")
    assert pd.isna(row["p99_ms"])  # 60 samples can't say it


def test_a_row_a_sample_has_its_phase_and_its_place_in_it():
    record = timed(SQUARE, n=5)
    frame = samples_frame([record])
    assert list(frame["phase"]) == ["warmup"] * 2 + ["timed"] * 5
    assert list(frame["iteration"]) == [0, 1, 0, 1, 2, 3, 4]
    assert list(frame["latency_ms"]) == [*record.warmup_ms, *record.latency_ms]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_both_formats_hold_square_and_other_sizes_together(tmp_path, kind):
    frame = trials_frame([timed(SQUARE), timed(WIDE)])
    path = tmp_path / f"table.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
        read = pd.read_csv(path)
    else:
        frame.to_parquet(path, index=False)
        read = pd.read_parquet(path)
    assert list(read["input.size"]) == ["64", "48x96"]
    assert list(read["p50_ms"]) == list(frame["p50_ms"])


def test_no_record_is_an_empty_table():
    assert len(trials_frame([])) == 0
    assert list(samples_frame([]).columns)[-1] == "latency_ms"
