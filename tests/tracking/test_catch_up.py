"""MLflow brought up to date with what is on disk: each record once, whatever came between."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fakes.program import ROOT
from fakes.trials import make_trial, record_of
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    TEMPORARILY_UNAVAILABLE,
)
from requests import HTTPError

from runner.contract import Held, RefusedByTracking, TrackingUnavailable
from runner.publish import main
from runner.records.locks import locked
from runner.records.manifest import Manifest, Planned, save_manifest
from runner.records.record import Outcome, utc_now
from runner.records.store import save
from runner.tracking import catch_up as catching
from runner.tracking import runs
from runner.tracking.catch_up import CaughtUp, Target, catch_up, waiting
from runner.tracking.journal import JOURNAL
from runner.tracking.store import explained, open_store

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own; the subject here is ours
SIZES = (32, 48, 64)


def write(folder, size: int, **changes):
    """A record of `size` pixels below `folder`; its path."""
    trial = make_trial(input={"size": (size, size)})
    record = record_of(trial, Outcome("completed", latency_ms=(1.0, 2.0)))
    path = folder / trial.folder / "record.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    save(replace(record, sweep_id=folder.name, **changes), path)
    return path


@pytest.fixture
def outputs(tmp_path):
    """A folder with one sweep of three records, and the store beside it."""
    trials = [make_trial(input={"size": (size, size)}) for size in SIZES]
    plan(tmp_path / "night", trials)
    for size in SIZES:
        write(tmp_path / "night", size)
    return tmp_path


def plan(sweep_dir, trials, kind: str = "sqlite") -> None:
    sweep_dir.mkdir(parents=True)
    save_manifest(
        Manifest(
            sweep_dir.name, None, ("runner",), None,
            {"kind": kind, "uri": None, "experiment": "runner"}, "here", 1, utc_now(),
            tuple(Planned(one.folder, one.key, one.repeat, one.title, "cpu") for one in trials),
        ),
        sweep_dir,
    )  # fmt: skip


@pytest.fixture
def store(outputs):
    return open_store(None, "runner", outputs)


def runs_in(outputs) -> list[tuple[str, str]]:
    with sqlite3.connect(outputs / "mlflow.db") as database:
        query = "SELECT name, status FROM runs WHERE lifecycle_stage = 'active'"
        return sorted(database.execute(query))


ALL = [(f"resnet18 {size}px b1 w2 wall", "FINISHED") for size in SIZES]
# the line that they make together, and the sweep
WHOLE = [("resnet18 over input.size", "FINISHED"), ("resnet18 x 3 sizes", "FINISHED")]


def test_each_record_is_brought_once(outputs, store):
    assert catch_up(store, outputs / "night") == CaughtUp(3, 0)
    assert runs_in(outputs) == [*ALL, *WHOLE]
    assert catch_up(store, outputs / "night") == CaughtUp(0, 3)
    (outputs / "night" / JOURNAL).unlink()  # it only spares questions
    assert catch_up(store, outputs / "night") == CaughtUp(3, 0)
    assert runs_in(outputs) == [*ALL, *WHOLE]


def test_a_run_that_was_begun_is_completed_and_that_of_an_earlier_attempt_goes(outputs, store):
    path = write(outputs / "night", 32, started_at="2025-01-01T00:00:00+00:00")
    catch_up(store, outputs / "night")
    write(outputs / "night", 32)  # run again, by a sweep that was killed before it could publish
    assert catch_up(store, outputs / "night") == CaughtUp(1, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "metrics_of", lambda record: 1 / 0)
        write(outputs / "night", 48, started_at="2025-01-02T00:00:00+00:00")
        with pytest.raises(ZeroDivisionError):
            catch_up(store, outputs / "night")  # its run is begun, and no more
    assert ("resnet18 48px b1 w2 wall", "RUNNING") in runs_in(outputs)
    assert catch_up(store, outputs / "night") == CaughtUp(1, 2)
    assert runs_in(outputs) == [*ALL, *WHOLE]
    assert path.exists()


def test_another_store_and_one_made_anew_get_everything(outputs, store):
    catch_up(store, outputs / "night")
    other = open_store(f"sqlite:///{outputs}/other.db", "runner", outputs)
    assert catch_up(other, outputs / "night") == CaughtUp(3, 0)
    assert catch_up(open_store(None, "second", outputs), outputs / "night") == CaughtUp(3, 0)


def test_a_damaged_record_and_a_sweep_cut_short_keep_nothing_else_from_there(outputs, store):
    write(outputs / "night", 32).write_text("{")
    found = catch_up(store, outputs / "night")
    assert (found.brought, found.missing) == (2, 1)
    assert "can't be read" in found.why_not
    assert ("resnet18 x 2 sizes", "KILLED") in runs_in(outputs)


def test_what_waits_is_told_by_the_journal_and_goes_where_it_was_to_go(outputs, store):
    target = Target(None, "runner", outputs)
    assert list(waiting(target)) == []  # it never went to MLflow: no journal
    catch_up(store, outputs / "night")
    assert list(waiting(target)) == []
    write(outputs / "night", 48)
    assert list(waiting(target)) == [outputs / "night"]
    assert list(waiting(Target(None, "another", outputs))) == []


def test_a_sweep_that_is_being_run_publishes_itself(outputs, store):
    with locked(outputs / "night" / ".lock", "sweep night"), pytest.raises(Held, match="pid"):
        catch_up(store, outputs / "night")


def test_the_door_brings_all_sweeps_and_says_what_it_did(outputs, capsys):
    plan(outputs / "off", [], kind="off")
    assert main(["--output-dir", str(outputs)]) == 0
    assert capsys.readouterr().out == "night: 3 published to MLflow, 0 already there\n"
    assert main(["night", "--output-dir", str(outputs)]) == 0
    assert capsys.readouterr().out == "night: 0 published to MLflow, 3 already there\n"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("name", ["report.html", "report.md", "summary.csv", JOURNAL])
def test_pipes_and_folders_in_the_place_of_files_hold_up_nothing(outputs, store, make, name):
    make(outputs / "night" / name)
    assert catch_up(store, outputs / "night") == CaughtUp(3, 0)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink(path, path)])
def test_a_sweep_that_can_not_be_locked_is_told(outputs, store, make, capsys):
    make(outputs / "night" / ".lock")
    found = catch_up(store, outputs / "night")
    assert (found.brought, found.missing) == (0, 3)
    assert "night/.lock can't be locked: " in found.why_not
    assert main(["--output-dir", str(outputs)]) == 1
    assert ".lock can't be locked: " in capsys.readouterr().out


def test_the_door_names_what_is_no_sweep_and_what_is_missing(outputs, capsys, monkeypatch):
    assert main(["nihgt", "--output-dir", str(outputs)]) == 2
    assert "nihgt has no record of a trial; expected the id of a sweep" in capsys.readouterr().err

    def refuse(*_, **__):
        raise TrackingUnavailable("disk full")

    monkeypatch.setattr(catching.runs, "publish", refuse)
    assert main(["--output-dir", str(outputs)]) == 1
    assert "0 published to MLflow, 0 already there, 3 failed: disk full" in capsys.readouterr().out
    path = outputs / "night" / "sweep.json"
    values = json.loads(path.read_text())
    values["tracking"]["uri"] = "postgresql://***@host/db"
    path.write_text(json.dumps(values))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert main(["--output-dir", str(outputs)]) == 1
    assert "needs a password, which is never stored; give --tracking-uri" in (
        capsys.readouterr().out
    )


@pytest.mark.slow
def test_eight_processes_that_publish_into_one_file_lose_nothing(tmp_path):
    """The file is not there yet: one of them makes it."""
    trials = [make_trial(input={"size": (size, size)}) for size in SIZES]
    for number in range(8):
        plan(tmp_path / "outputs" / f"mine{number}", trials)
        for size in SIZES:
            write(tmp_path / "outputs" / f"mine{number}", size)
    began = [
        subprocess.Popen(
            [sys.executable, "-m", "runner.publish", f"mine{number}"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(8)
    ]
    for process in began:
        out, _ = process.communicate(timeout=250)
        assert process.returncode == 0, out
        assert "lock" not in out.lower()
    with sqlite3.connect(tmp_path / "outputs" / "mlflow.db") as database:
        query = "SELECT COUNT(*) FROM tags WHERE key = 'runner.kind' AND value = 'trial'"
        assert database.execute(query).fetchone() == (8 * len(SIZES),)


@pytest.mark.parametrize("name", ["a%20b", "a%2Fb", "a?b", "a#c", "ä b&c=d;e", "100%"])
def test_a_folder_may_have_any_name(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    store = open_store(None, "runner", folder)
    store.client.search_experiments()
    assert sorted(one.name for one in folder.iterdir()) == [".mlflow.lock", "mlflow.db"]
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_a_record_that_mlflow_refuses_keeps_no_other_from_there(
    outputs, store, capsys, monkeypatch
):
    fill, refusing = runs._fill, [True]

    def refuse(client, run_id, record, path):
        if "48px" in record.title and refusing:
            raise MlflowException("bad name: " + "x" * 10_000, INVALID_PARAMETER_VALUE)
        fill(client, run_id, record, path)

    monkeypatch.setattr(runs, "_fill", refuse)
    assert main(["night", "--output-dir", str(outputs)]) == 1
    out = capsys.readouterr().out
    refused = next(path.parent.name for path in outputs.glob("*/*/record.json")
                   if "48px" in path.read_text())  # fmt: skip
    assert (
        f"2 published to MLflow, 0 already there, 1 failed: {refused} is refused: bad name" in out
    )
    assert len(out) < 600
    assert ("resnet18 48px b1 w2 wall", "FAILED") in runs_in(outputs)
    refusing.clear()
    assert main(["night", "--output-dir", str(outputs)]) == 0
    assert runs_in(outputs) == [*ALL, *WHOLE]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MlflowException("no", INVALID_PARAMETER_VALUE), RefusedByTracking),
        (MlflowException("endpoint /x failed with error code 413 != 200"), RefusedByTracking),
        (MlflowException("endpoint /x failed with error code 502 != 200"), TrackingUnavailable),
        (MlflowException("no", PERMISSION_DENIED), TrackingUnavailable),
        (MlflowException("down", TEMPORARILY_UNAVAILABLE), TrackingUnavailable),
        (HTTPError(response=SimpleNamespace(status_code=400)), RefusedByTracking),
        (HTTPError(response=SimpleNamespace(status_code=503)), TrackingUnavailable),
        (OSError(28, "No space left on device"), TrackingUnavailable),
    ],
)
def test_what_is_wrong_with_one_request_is_told_from_what_is_wrong_with_the_store(error, kind):
    with pytest.raises(TrackingUnavailable) as told, explained():
        raise error
    assert type(told.value) is kind


def test_runs_that_were_deleted_are_told_and_come_back_on_request(outputs, store, capsys):
    catch_up(store, outputs / "night")
    found = store.client.search_runs([store.experiment_id], "tags.`runner.kind` = 'trial'")
    for run in found[:2]:
        store.client.delete_run(run.info.run_id)
    for _ in range(2):
        assert main(["--output-dir", str(outputs)]) == 0
        assert "1 already there, 2 deleted there (--again publishes" in capsys.readouterr().out
    assert main(["night", "--again", "--output-dir", str(outputs)]) == 0
    assert capsys.readouterr().out == "night: 2 published to MLflow, 1 already there\n"
    assert runs_in(outputs) == [*ALL, *WHOLE]
    assert main(["night", "--again", "--output-dir", str(outputs)]) == 0
    assert capsys.readouterr().out == "night: 0 published to MLflow, 3 already there\n"


@pytest.mark.parametrize("left", ["RUNNING", "KILLED"])
def test_the_run_of_a_sweep_that_could_not_be_closed_is_closed(outputs, store, capsys, left):
    catch_up(store, outputs / "night")
    (sweep,) = store.client.search_runs([store.experiment_id], "tags.`runner.kind` = 'sweep'")
    store.client.update_run(sweep.info.run_id, status=left)
    assert main(["--output-dir", str(outputs)]) == 0
    assert capsys.readouterr().out == (
        "night: 0 published to MLflow, 3 already there; closed the sweep's run, which was still "
        "open\n"
    )
    assert runs_in(outputs) == [*ALL, *WHOLE]
