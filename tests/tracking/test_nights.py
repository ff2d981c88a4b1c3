"""Nights read from MLflow are those on disk, and trends are added to, not begun anew."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from fakes.nights import MEDIANS_MS
from fakes.trials import make_trial, timed, write_sweep

from runner import publish
from runner.history.decisions import Decisions
from runner.history.nightly import judge_night
from runner.records.nights import load_night
from runner.tracking import nights as tracked
from runner.tracking import trends
from runner.tracking.store import open_store


def write_night(output_dir, day):
    records = [
        replace(
            timed(make_trial(model={"name": name}, repeat=repeat), ms),
            started_at=f"2026-11-{day:02d}T02:00:{repeat:02d}.000+00:00",
            ended_at=f"2026-11-{day:02d}T02:00:{repeat + 5:02d}.500+00:00",
        )
        for repeat in range(2)
        for name, ms in MEDIANS_MS.items()
    ]
    return write_sweep(output_dir, f"nightly-2026-11-{day:02d}", records, tracking="sqlite")


@pytest.fixture
def store(tmp_path, monkeypatch, capsys):
    """A store with three nights, which are on disk as well."""
    monkeypatch.chdir(tmp_path)
    for day in (1, 2, 4):
        write_night(tmp_path / "outputs", day)
    assert publish.main([]) == 0
    return open_store(None, "runner", tmp_path / "outputs")


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_what_mlflow_tells_of_a_night_is_what_the_records_say(store, tmp_path):
    assert tracked.names_of_nights(store, "nightly") == [
        f"nightly-2026-11-{day:02d}" for day in (1, 2, 4)
    ]
    here = load_night(tmp_path / "outputs/nightly-2026-11-02")
    there = tracked.load_night(store, "nightly-2026-11-02")
    sides = [sorted(one.processes, key=lambda one: one.folder) for one in (here, there)]
    assert sides[0] == sides[1]
    assert there.planned == here.planned


TAGS = {
    "runner.repeat": ("x", "-1", "1e9", "", "9" * 400),
    "runner.typical_ms": ("nan", "inf", "-5", "0", "x", "1e999", ""),
    "runner.facts": ("[" * 5000, "{", "[]", '{"host": 3}', "null", "NaN"),
    "runner.identity": ("", "x" * 4000),
    "runner.trial_key": ("../../x", "a/b", ""),
    "status": ("done", "", "COMPLETED"),
    "gate": ("", "red", "x" * 4000),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tag", TAGS)
def test_a_run_whose_tags_were_edited_costs_itself_only(store, tag, tmp_path):
    query = "tags.`runner.kind` = 'trial' and tags.`runner.sweep` = 'nightly-2026-11-02'"
    run, *_ = store.client.search_runs([store.experiment_id], query)
    right = run.data.tags.get(tag)
    for value in (*TAGS[tag], None):
        if value is None:
            store.client.delete_tag(run.info.run_id, tag) if tag in run.data.tags else None
        else:
            store.client.set_tag(run.info.run_id, tag, value)
            run.data.tags[tag] = value
        night = tracked.load_night(store, "nightly-2026-11-02")
        assert len(night.processes) + len(night.notes) == 6, value
        assert all(run.info.run_id in note for note in night.notes)
        before = [load_night(tmp_path / "outputs/nightly-2026-11-01")]
        judge_night(replace(night, notes=()), before, Decisions())
        tracked.publish(store, night, values("regression"), [])
    if right is not None:
        store.client.set_tag(run.info.run_id, tag, right)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("value", ["x", "-1", "9" * 30, "", None])
@pytest.mark.parametrize("tag", ["runner.origin", "runner.last_day", "runner.identity"])
def test_a_trend_whose_tags_were_edited_costs_itself_only(store, tmp_path, tag, value):
    nights = [load_night(tmp_path / f"outputs/nightly-2026-11-{day:02d}") for day in (1, 2, 4)]
    trends.publish(store, "nightly", nights[:2], values())
    run, *_ = store.client.search_runs([store.experiment_id], "tags.`runner.kind` = 'curve'")
    if value is None:
        store.client.delete_tag(run.info.run_id, tag)
    else:
        store.client.set_tag(run.info.run_id, tag, value)
    trends.publish(store, "nightly", nights, values())


def values(verdict="pass", ratio=1.0):
    trials = [
        {"identity": make_trial(model={"name": name}).key, "verdict": verdict, "ratio": ratio}
        for name in MEDIANS_MS
    ]
    return {
        "headline": "all is well", "exit_code": 0, "counts": {verdict: 3}, "trials": trials,
        "health": {"question": True},
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_verdicts_and_trends_are_put_there_once(store, tmp_path):
    folders = [tmp_path / f"outputs/nightly-2026-11-{day:02d}" for day in (1, 2, 4)]
    nights = [load_night(folder) for folder in folders]
    for count in (2, 2, 3):  # the second night is judged twice
        tracked.publish(store, nights[count - 1], values("regression"), [])
        trends.publish(store, "nightly", nights[:count], values())
    night = tracked.load_night(store, "nightly-2026-11-04")
    assert set(night.previous_verdicts.values()) == {"regression"}
    assert night.question
    query = "tags.`runner.kind` = 'curve'"
    runs = store.client.search_runs([store.experiment_id], query)
    assert len(runs) == 3
    for run in runs:
        points = store.client.get_metric_history(run.info.run_id, "lat_ms/p50")
        assert sorted(point.step for point in points) == [1, 2, 4]
        assert run.data.params["input.size"] == "64"
    assert "nightly%20nights-over-night" in trends.link(store, "nightly")


@pytest.mark.filterwarnings("ignore")
def test_a_night_is_judged_by_a_history_that_only_mlflow_has(store, tmp_path, capsys):
    from runner import nightly

    shutil.rmtree(tmp_path / "outputs/nightly-2026-11-01")
    shutil.rmtree(tmp_path / "outputs/nightly-2026-11-02")
    capsys.readouterr()
    words = ("--judge", "--night", "2026-11-04", "nightly.history=mlflow")
    assert nightly.main(words) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert "compared with the 2 nights before it" in out
    assert "3 passed" in out
    assert "viewStateShareKey=nightly%20nights" in out
