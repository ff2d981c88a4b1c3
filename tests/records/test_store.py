from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fakes.trials import make_record, make_trial, record_of

from runner.contract import Unreadable
from runner.records.record import Outcome
from runner.records.store import load, save
from runner.verdict.flag import Flag


def test_a_record_comes_back_as_it_was_written_to_the_last_digit(tmp_path):
    outcome = Outcome("completed", latency_ms=(0.1, 1 / 3) * 20)
    record = record_of(make_trial(), outcome)
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
    record = make_record()
    save(record, path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(replace(record, figures={"build_s": float("nan")}), path)
    assert load(path) == record


def test_a_link_to_itself_gives_way_and_another_stays(tmp_path):
    loop, link = tmp_path / "record.json", tmp_path / "link.json"
    loop.symlink_to("record.json")
    with pytest.raises(Unreadable, match=r"record\.json can't be read"):
        load(loop)
    record = make_record()
    save(record, loop)
    link.symlink_to("real.json")
    save(record, link)
    assert load(loop) == load(link) == load(tmp_path / "real.json")
    assert link.is_symlink()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "can't be read"),
        ("[]", r"it is \[\]; expected a JSON object"),
        ('{"version": 2}', "version is 2; expected 1"),
        ('{"version": 1}', "lacks sweep_id"),
    ],
)
def test_a_damaged_record_says_what_is_wrong_with_it(tmp_path, text, reason):
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(Unreadable, match=reason):
        load(path)


def test_unknown_figures_are_null_and_not_zero(tmp_path):
    save(make_record(), tmp_path / "record.json")
    summary = json.loads((tmp_path / "record.json").read_text())["summary"]
    assert summary["p99_ms"] is None
    assert summary["n"] == 2


def test_a_failed_trial_has_no_summary():
    error = {"type": "RuntimeError", "message": "no", "trace": ""}
    record = record_of(make_trial(), Outcome("failed", error=error))
    assert record.summary == {}
    assert not record.completed


def test_a_fault_in_judging_costs_the_verdict_and_no_sample(monkeypatch, capsys):
    def fails(*_arguments):
        raise ZeroDivisionError("somewhere in scipy")

    monkeypatch.setattr("runner.verdict.judge.flags", fails)
    record = make_record()
    assert record.latency_ms == [0.1, 1 / 3]
    assert (record.status, record.verdict, record.reasons) == ("completed", None, [])
    assert record.why_null == {"verdict": "judging failed: ZeroDivisionError: somewhere in scipy"}
    assert record.headline == "2 samples"
    assert "Traceback" in capsys.readouterr().err


def test_a_figure_that_can_not_be_saved_costs_the_verdict_and_no_sample(tmp_path, monkeypatch):
    flag = Flag("DRIFT", "suspect", float("nan"), "%", "no number", "")
    monkeypatch.setattr("runner.verdict.judge.flags", lambda *arguments: [flag])
    record = make_record()
    save(record, tmp_path / "record.json")
    assert load(tmp_path / "record.json").latency_ms == [0.1, 1 / 3]
    assert "not JSON compliant" in record.why_null["verdict"]


def test_a_record_gives_back_its_trial_and_blanks_only_its_secrets(tmp_path):
    trial = make_trial(model={"kwargs": {"width": 7, "token": "hunter2"}}, device="cuda:1")
    record = record_of(trial, Outcome("completed", latency_ms=(1.0, 2.0)))
    save(record, tmp_path / "record.json")
    found = load(tmp_path / "record.json")
    assert found.trial == replace(
        trial, model=replace(trial.model, kwargs={"width": 7, "token": "***"})
    )
    assert found.key == trial.key


def test_a_record_of_the_first_days_is_still_read(tmp_path):
    path = tmp_path / "record.json"
    save(make_record(), path)
    values = json.loads(path.read_text())
    for name in ("inner", "target", "cache"):
        del values["trial"]["timing"][name]
    for name in ("figures", "order_seed", "key_rule"):
        del values[name]
    values["series"] = {"build_s": 0.5, "queued_ms": None}
    values["why_null"] = {"series.queued_ms": "it waits for the device"}
    values["reasons"] = [{"code": "NOISY", "level": "suspect", "figure": 0.1, "advice": "too wide"}]
    path.write_text(json.dumps(values))
    found = load(path)
    assert found.trial.timing.cache == "warm"
    assert (found.figures, found.series) == ({"build_s": 0.5, "queued_ms": None}, {})
    assert found.why_null == {"figures.queued_ms": "it waits for the device"}
    assert found.reasons[0]["found"] == "too wide"


def test_a_record_of_a_trial_from_later_days_is_refused(tmp_path):
    path = tmp_path / "record.json"
    save(make_record(), path)
    values = json.loads(path.read_text())
    values["trial"]["runtime"]["magic"] = "bf16"
    path.write_text(json.dumps(values))
    with pytest.raises(Unreadable, match=r"trial\.runtime.magic is unknown to this version"):
        load(path)


def test_a_record_of_before_gets_the_title_of_its_trial(tmp_path):
    path = tmp_path / "record.json"
    record = record_of(make_trial(repeat=2), Outcome("completed", latency_ms=(1.0, 2.0)))
    save(replace(record, title=f"{record.title} cache=warm", trial_title=""), path)
    assert load(path).title == "resnet18 64px b1 w2 wall r2 cache=warm"
    assert load(path).trial_title == "resnet18 64px b1 w2 wall cache=warm"
