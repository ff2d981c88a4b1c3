"""The job of a point: handed to other processes, it needs nothing of the one that planned it."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3

from fakes.program import NO_LINES, ROOT

from runner.host.devices import Devices
from runner.records.manifest import load_manifest
from runner.sweep.job import Audience, Job

PLUGINS = str(ROOT / "tests" / "fakes" / "launcher")


class Loud(Audience):
    """An audience that can't travel."""

    def __getstate__(self):
        raise TypeError("it holds a terminal")


def test_a_job_travels_without_its_audience(tmp_path):
    job = Job(Devices(cuda=1), tmp_path, ("cache",), 7, ("runner",), Loud())
    found = pickle.loads(pickle.dumps(job))
    assert (found.devices, found.folder, found.varying) == (Devices(cuda=1), tmp_path, ("cache",))
    assert type(found.audience) is Audience
    assert type(job.audience) is Loud


def test_a_sweep_runs_through_a_launcher_whose_jobs_are_processes_of_their_own(program):
    ran = program(
        "model=custom",
        "model.target=networks.Identity,networks.Raises",
        "input.size=32,48",
        "hydra/launcher=elsewhere",
        "timing.warmup=2",
        "timing.iterations=5",
        PYTHONPATH=os.pathsep.join([str(ROOT), PLUGINS]),
    )
    assert ran.code == 1, ran.out + ran.err
    assert "Traceback" not in ran.err
    (sweep_dir,) = ran.folder.glob("outputs/*/sweep.json")
    planned = load_manifest(sweep_dir.parent).trials
    assert [one.title.split()[0] for one in planned] == [
        "networks.Identity", "networks.Identity", "networks.Raises", "networks.Raises",
    ]  # fmt: skip
    for one in planned:  # each where the plan says
        record = json.loads((sweep_dir.parent / one.folder / "record.json").read_text())
        assert (record["key"], record["title"]) == (one.key, one.title)
    assert [record.status for record in sorted(ran.records(), key=lambda record: record.title)] == [
        "completed", "completed", "failed", "failed",
    ]  # fmt: skip
    assert "[3/4] networks.Raises 32px" in ran.out
    assert "1 more trial in the same way" in ran.out
    with sqlite3.connect(ran.folder / "outputs" / "mlflow.db") as database:
        statuses = [row[0] for row in database.execute(f"SELECT status {NO_LINES}")]
    assert sorted(statuses) == ["FAILED", "FAILED", "FAILED", "FINISHED", "FINISHED"]
