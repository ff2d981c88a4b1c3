"""Runs in MLflow: one for each trial, its processes below it, names that differ at once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fakes.trials import make_trial, timed

from runner.pages.report import write
from runner.records.results import results_of
from runner.tracking import parent, results, runs, view
from runner.tracking.store import open_store

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own; the subject here is ours
TRIALS = [
    make_trial(model={"name": "efficientnet_v2_s"}, input={"size": (size, size)})
    for size in (64, 128)
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return open_store(None, "runner", tmp_path_factory.mktemp("outputs"))


def published(store, folder, processes, times=1):
    """A sweep of two trials, published and described so many times; its runs."""
    folder.mkdir()
    records = [
        replace(timed(replace(trial, repeat=repeat), 10.0 + repeat), sweep_id=folder.name)
        for repeat in range(processes)
        for trial in TRIALS
    ]
    parent_id = runs.open_parent(store, folder.name, "sizes", len(records))
    for record in records:
        path = folder / f"{record.folder}.json"
        path.write_text(json.dumps({}))
        runs.publish(store, record, path, parent_id)
    write(records, folder)
    for _ in range(times):
        parent.describe(store, parent_id, None, folder, records)
    found = runs.found_runs(store, f"tags.`runner.sweep` = '{folder.name}'")
    return records, parent_id, {run.info.run_id: run for run in found}


def kinds(found, kind):
    return [run for run in found.values() if run.data.tags["runner.kind"] == kind]


def test_a_trial_has_one_run_with_its_figures_and_its_processes_lie_below(store, tmp_path):
    records, parent_id, found = published(store, tmp_path / "three", 3, times=2)
    own = {run.data.tags["runner.identity"]: run for run in kinds(found, "result")}
    assert len(own) == 2
    for result in results_of(records):
        run = own[result.first.identity]
        assert run.data.metrics["lat_ms/p50"] == pytest.approx(result.typical, rel=1e-3)
        assert run.data.metrics["lat_ms/p50_lo"] < run.data.metrics["lat_ms/p50_hi"]
        assert run.data.tags["verdict"] == result.verdict
        assert run.data.tags["processes"] == "3"
        assert run.data.tags["mlflow.parentRunId"] == parent_id
        assert "repeat" not in run.data.params
    for run in kinds(found, "trial"):
        above = found[run.data.tags["mlflow.parentRunId"]]
        assert above.data.tags["runner.kind"] == "result"
        assert above.data.tags["runner.identity"] == run.data.tags["runner.identity"]


def test_one_process_each_needs_no_run_above_it(store, tmp_path):
    _, parent_id, found = published(store, tmp_path / "one", 1)
    assert kinds(found, "result") == []
    assert {run.data.tags["mlflow.parentRunId"] for run in kinds(found, "trial")} == {parent_id}


@pytest.mark.parametrize("processes", [1, 3])
def test_names_differ_in_what_the_ui_shows_of_them(store, tmp_path, processes):
    records, _, found = published(store, tmp_path / f"names{processes}", processes)
    for kind in ("trial", "result") if processes > 1 else ("trial",):
        names = [run.info.run_name for run in kinds(found, kind)]
        assert len({name[: results.VISIBLE] for name in names}) == len(names)
        assert all("efficientnet_v2_s" in name for name in names)
    assert len(kinds(found, "trial")) == len(records)


def test_the_parent_begins_with_the_answers_and_has_the_axes_as_params(store, tmp_path):
    _, parent_id, found = published(store, tmp_path / "axes", 3)
    run = found[parent_id]
    assert run.data.params["input.size"] == "64,128"
    assert run.data.tags["mlflow.note.content"].startswith("## Answers\n\n- ")


def test_the_view_shows_a_row_for_each_trial_with_its_reasons_beside_the_verdict(store, tmp_path):
    published(store, tmp_path / "seen", 3)
    tags = store.client.get_experiment(store.experiment_id).tags
    state = json.loads(json.loads(tags[f"{view.VIEW_TAG}seen"])["state"])
    assert 'runner.kind` = "result"' in state["searchFilter"]
    columns = state["selectedColumns"]
    assert columns.index("tags.`reasons`") == columns.index("tags.`verdict`") + 1


def test_hosts_that_share_a_sweep_have_a_run_each(store, tmp_path):
    records, parent_id, _ = published(store, tmp_path / "shared", 2)
    there = [replace(one, environment=one.environment | {"host": "another"}) for one in records]
    results.publish(store, parent_id, "shared", there)
    found = runs.found_runs(
        store, "tags.`runner.sweep` = 'shared' and tags.`runner.kind` = 'result'"
    )
    assert len({run.data.tags["host"] for run in found}) == 2
    assert len(found) == 2 * len(TRIALS)


def test_the_view_of_a_sweep_too_large_for_runs_of_its_trials_shows_processes(
    store, tmp_path, monkeypatch
):
    monkeypatch.setattr(results, "MAX_RUNS", 3)
    _, _, found = published(store, tmp_path / "large", 2)
    assert kinds(found, "result") == []
    tags = store.client.get_experiment(store.experiment_id).tags
    state = json.loads(json.loads(tags[f"{view.VIEW_TAG}large"])["state"])
    assert 'runner.kind` = "trial"' in state["searchFilter"]


def test_every_link_opens_the_view_for_training(store):
    for link in (
        view.run_link(store, "a"),
        view.ui_link(store, "b"),
        view.curves_link(store, "c", "input.size"),
    ):
        assert "workflowType=machine_learning" in link
