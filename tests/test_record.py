from __future__ import annotations

import json

import pytest
from conftest import make_trial

from runner.program import record_of
from runner.record import Outcome, UnreadableRecord, load, save


def make_record(**changes):
    outcome = Outcome("completed", warmup_ms=(9.0,), latency_ms=(0.1, 1 / 3), **changes)
    return record_of(
        make_trial(),
        make_trial().title,
        "night",
        outcome,
        {"host": "here", "torch": "2"},
        "2026-01-01",
    )


def test_a_record_comes_back_as_it_was_written_to_the_last_digit(tmp_path):
    outcome = Outcome("completed", latency_ms=(0.1, 1 / 3) * 20)
    record = record_of(make_trial(), make_trial().title, "night", outcome, {}, "2026-01-01")
    assert record.summary["ci_ms"]["p50"] == [0.1, 1 / 3]
    save(record, tmp_path / "record.json")
    assert load(tmp_path / "record.json") == record
    assert load(tmp_path / "record.json").latency_ms[1] == 1 / 3
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_record_from_before_a_field_existed_is_still_read(tmp_path):
    path = tmp_path / "record.json"
    save(make_record(), path)
    values = json.loads(path.read_text())
    del values["order_seed"]
    path.write_text(json.dumps(values))
    assert load(path).order_seed is None


def test_a_failed_write_leaves_the_old_record_alone(tmp_path):
    path = tmp_path / "record.json"
    save(make_record(), path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(make_record(series={"build_s": float("nan")}), path)
    assert load(path) == load(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "can't be read"),
        ("[]", "of version None; expected version 1"),
        ('{"version": 2}', "of version 2; expected version 1"),
        ('{"version": 1}', "lacks contention"),
    ],
)
def test_a_damaged_record_says_what_is_wrong_with_it(tmp_path, text, reason):
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(UnreadableRecord, match=reason):
        load(path)


def test_unknown_figures_are_null_and_not_zero(tmp_path):
    save(make_record(), tmp_path / "record.json")
    summary = json.loads((tmp_path / "record.json").read_text())["summary"]
    assert summary["p99_ms"] is None
    assert summary["n"] == 2


def test_a_failed_trial_has_no_summary():
    error = {"type": "RuntimeError", "message": "no", "trace": ""}
    record = record_of(
        make_trial(), make_trial().title, "night", Outcome("failed", error=error), {}, "2026-01-01"
    )
    assert record.summary == {}
    assert not record.completed
