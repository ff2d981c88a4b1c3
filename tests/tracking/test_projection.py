"""What goes to MLflow, read back with MLflow's own client from a real SQLite store."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import warnings

import pytest
from fakes.trials import make_record

from runner.contract import TrackingUnavailable
from runner.records.store import save
from runner.tracking import runs, view
from runner.tracking.store import open_store

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow

pytestmark = pytest.mark.filterwarnings("ignore:::(mlflow|alembic|sqlalchemy|google|pydantic)")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_store(None, "runner", folder)


def test_a_record_becomes_a_run_with_the_names_of_the_contract(store, tmp_path):
    record = make_record(figures={"build_s": 0.5, "peak_mib": 10.0})
    save(record, tmp_path / "record.json")
    parent = runs.open_parent(store, "night", "smoke", 1)
    run_id = runs.publish(store, record, tmp_path / "record.json", parent)
    run = store.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "resnet18 64px b1 w2 wall"
    assert run.data.params["input.size"] == "64"
    assert run.data.params["timing.warmup"] == "2"
    assert run.data.params["model"] == "resnet18"
    assert run.data.metrics["lat_ms/p50"] == float(f"{record.summary['p50_ms']:.4g}")
    assert run.data.metrics["thr/fps"] == float(f"{record.summary['fps']:.4g}")
    assert float(run.data.tags["runner.typical_ms"]) == record.summary["p50_ms"]
    assert "lat_ms/p99" not in run.data.metrics  # two samples can't say it
    assert run.data.tags["runner.kind"] == "trial"
    assert run.data.tags["runner.sweep"] == "night"
    assert run.data.tags["runner.trial_key"] == record.key
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert [item.path for item in store.client.list_artifacts(run_id)] == ["record.json"]


@pytest.mark.parametrize(
    ("status", "shown"),
    [("failed", "FAILED"), ("out_of_memory", "FAILED"), ("interrupted", "KILLED")],
)
def test_a_trial_that_did_not_end_well_is_no_finished_run(store, tmp_path, status, shown):
    from dataclasses import replace

    error = {"type": "E", "message": "why", "trace": ""}
    record = replace(make_record(), status=status, summary={}, error=error)
    save(record, tmp_path / "record.json")
    run = store.client.get_run(runs.publish(store, record, tmp_path / "record.json", None))
    assert (run.info.status, run.data.tags["error"]) == (shown, "E: why")


def test_opening_again_finds_the_same_experiment(store, tmp_path):
    again = open_store(store.uri, "runner", tmp_path)
    assert again.experiment_id == store.experiment_id


def test_a_deleted_experiment_is_named(store, tmp_path):
    made = open_store(store.uri, "gone", tmp_path)
    made.client.delete_experiment(made.experiment_id)
    with pytest.raises(TrackingUnavailable, match="was deleted; restore it"):
        open_store(store.uri, "gone", tmp_path)


def test_a_store_that_is_not_there_says_so_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingUnavailable) as raised:
        open_store("http://me:hunter2@127.0.0.1:9/x", "runner", tmp_path)
    assert "hunter2" not in str(raised.value)


def test_the_link_opens_the_trials_of_one_sweep_fastest_first(store):
    link = view.ui_link(store, "night without a view")
    assert link.startswith(f"http://127.0.0.1:5000/#/experiments/{store.experiment_id}/runs?")
    assert "runner.sweep%60%20%3D%20%22night%20without%20a%20view%22" in link
    assert "orderByKey=metrics.%60lat_ms/p50%60&orderByAsc=true" in link
    assert "mlflow" in view.ui_command(store)
    assert mlflow.__version__.startswith("3.17")


def test_a_sweep_has_a_saved_view_with_columns_and_the_link_opens_it(store):
    runs.open_parent(store, "seen", "smoke", 1)
    tags = store.client.get_experiment(store.experiment_id).tags
    saved = json.loads(tags["mlflow.sharedViewState.seen"])
    state = json.loads(saved["state"])
    assert saved["name"] == "smoke seen"
    assert state["searchFilter"].endswith(
        'tags.`runner.sweep` = "seen" and tags.verdict != "invalid"'
    )
    assert "metrics.`lat_ms/p50`" in state["selectedColumns"]
    link = view.ui_link(store, "seen")
    assert "viewStateShareKey=seen" in link
    assert "searchFilter" not in link  # the UI would ignore the view


def test_a_view_that_cant_be_saved_costs_nothing(store, monkeypatch):
    def refuse(*_):
        raise mlflow.exceptions.MlflowException("read only")

    monkeypatch.setattr(store.client, "set_experiment_tag", refuse)
    assert runs.open_parent(store, "plain", "plain", 1)
    assert "searchFilter" in view.ui_link(store, "plain")


def test_the_runs_of_a_sweep_that_was_killed_are_ended_by_the_next(store, tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    killed = runs.open_parent(store, "killed", "killed", 2)
    store.client.set_tag(killed, "pid", str(gone.pid))
    child = store.client.create_run(store.experiment_id, tags={"mlflow.parentRunId": killed})
    other = runs.open_parent(store, "elsewhere", "elsewhere", 2)
    store.client.set_tag(other, "host", "another-host")
    alive = runs.open_parent(store, "alive", "alive", 2)
    runs.open_parent(store, "next", "next", 2)
    found = {
        name: store.client.get_run(run).info.status
        for name, run in {
            "killed": killed, "child": child.info.run_id, "other": other, "alive": alive
        }.items()
    }  # fmt: skip
    assert found == {
        "killed": "KILLED",
        "child": "KILLED",
        "other": "RUNNING",
        "alive": "RUNNING",
    }


def test_a_printed_command_can_be_pasted(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (tmp_path / "out put").mkdir()
        store = open_store(None, "runner", tmp_path / "out put")
    *_, uri = shlex.split(view.ui_command(store))
    assert uri == store.uri
