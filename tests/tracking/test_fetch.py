"""Records fetched from MLflow, by run, by sweep and by age, from a real store."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.trials import make_trial, timed, write_sweep

from runner.contract import NothingThere
from runner.records.store import RECORD
from runner.tracking import runs
from runner.tracking.fetch import find
from runner.tracking.store import open_store, sqlite_uri

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own; the subject here is ours
TRIALS = [make_trial(input={"size": (size, size)}) for size in (64, 128)]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Two sweeps in a store, and the ids of their runs; nothing of them is on this disk."""
    folder = tmp_path_factory.mktemp("outputs")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    store = open_store(None, "runner", folder)
    ids = {}
    for day, sweep_id in enumerate(("old", "new"), 1):
        records = [
            replace(timed(trial), sweep_id=sweep_id, started_at=f"2026-01-0{day}T00:00:0{n}+00:00")
            for n, trial in enumerate(TRIALS)
        ]
        sweep_dir = write_sweep(elsewhere, sweep_id, records)
        ids[sweep_id] = runs.open_parent(store, sweep_id, sweep_id, 2)
        for record in records:
            path = sweep_dir / record.trial.folder / RECORD
            ids[sweep_id, record.key] = runs.publish(store, record, path, ids[sweep_id])
    return folder, ids


def test_a_run_is_its_record_and_a_parent_its_trials(published):
    folder, ids = published
    (record,) = find(ids["old", TRIALS[0].key], folder).records
    assert (record.sweep_id, record.trial) == ("old", TRIALS[0])
    assert [one.trial for one in find(ids["new"], folder).records] == TRIALS


def test_with_the_stores_uri_sweeps_are_named_as_on_disk(published):
    folder, _ = published
    uri = sqlite_uri(folder / "mlflow.db")
    assert len(find("old", folder, uri).records) == 2
    assert find("latest", folder, uri).name == "new"
    assert find("latest~1", folder, uri).name == "old"


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("0" * 32, "can't be read from MLflow"),
        ("nope", "MLflow has no trial of a sweep nope"),
        ("latest~2", "latest~2 was requested, but MLflow has 2 sweeps"),
        ("it's", "it's is not the id of a sweep"),
    ],
)
def test_what_mlflow_does_not_have_is_told(published, word, told):
    folder, _ = published
    with pytest.raises(NothingThere, match=told):
        find(word, folder, sqlite_uri(folder / "mlflow.db"))


def test_a_run_without_its_artifact_is_told_and_a_foreign_one_is_none_of_ours(published):
    folder, _ = published
    store = open_store(None, "runner", folder)
    bare = store.client.create_run(
        store.experiment_id, tags={"runner.kind": "trial", "runner.sweep": "bare"}
    )
    foreign = store.client.create_run(store.experiment_id)
    with pytest.raises(NothingThere, match="has no readable record"):
        find(bare.info.run_id, folder)
    with pytest.raises(NothingThere, match=r"was not logged by runner"):
        find(foreign.info.run_id, folder)
