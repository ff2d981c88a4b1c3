"""A job handed to other processes needs nothing of the one that planned it."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
from dataclasses import replace

import pytest
from fakes.pool import POOL, YAML
from fakes.program import NO_LINES
from fakes.trials import make_trial, planned_of, record_of

from runner.contract import Status
from runner.launchers import slurm
from runner.launchers.job import Job, Lost, recovered, with_cut_ones
from runner.records.manifest import load_manifest
from runner.records.record import Outcome
from runner.records.store import load, save

TRIAL = make_trial(model={"kwargs": {"token": "abc"}})


@pytest.fixture
def job(tmp_path):
    return Job(TRIAL, planned_of(TRIAL), tmp_path / "night", tmp_path, ("runner",), 7, "process")


def test_a_job_travels_as_it_is(job):
    assert pickle.loads(pickle.dumps(job)) == job


def test_the_file_of_a_job_of_a_cluster_holds_no_secret(job, monkeypatch):
    monkeypatch.setenv(slurm.SECRETS, "of another sweep")
    (on_disk,) = slurm.without_secrets([job]).values()
    assert b"abc" not in pickle.dumps(on_disk)
    there = pickle.loads(pickle.dumps(on_disk))
    assert slurm.with_secrets(there) == job
    assert slurm.SECRETS not in os.environ  # the network sees no more than its own
    with pytest.raises(RuntimeError, match="sbatch must export the environment"):
        slurm.with_secrets(there)
    plain = replace(job, trial=make_trial())
    assert slurm.without_secrets([plain]) == {plain.planned.folder: plain}


def test_a_lost_job_is_recorded_with_its_reason_and_without_secrets(job):
    record = recovered(job, Lost(Status.TIMED_OUT, "the cluster ended it"))
    assert (record.status, record.cause) == (
        "timed_out",
        "timed_out: WorkerDied: the cluster ended it",
    )
    assert load(job.record_path) == record
    assert "abc" not in job.record_path.read_text()


def test_what_a_lost_job_had_written_down_is_judged(job):
    raw = record_of(TRIAL, Outcome(Status.COMPLETED, (9.0,), (1.0,) * 40))
    job.record_path.parent.mkdir(parents=True)
    save(replace(raw, verdict=None, summary={}, reasons=[]), job.record_path)
    record = recovered(job, Lost(Status.FAILED, "its process was killed"))
    assert record.completed
    assert record.verdict
    assert load(job.record_path) == record


def test_an_interrupt_between_two_results_brings_what_the_others_have_written_down(job):
    closed = []

    def results():
        try:
            yield job.trial, record_of(TRIAL, Outcome(Status.COMPLETED))
            yield job.trial, None
        finally:
            closed.append(True)

    jobs = [job]
    for seed in (1, 2):
        trial = make_trial(seed=seed)
        cut = replace(job, trial=trial, planned=planned_of(trial))
        cut.record_path.parent.mkdir(parents=True)
        save(record_of(trial, Outcome(Status.INTERRUPTED)), cut.record_path)
        jobs.append(cut)
    heard = with_cut_ones(jobs, results())
    next(heard)
    for cut in jobs[1:]:  # who listens stops for the same interrupt after each
        trial, record = heard.throw(KeyboardInterrupt())
        assert (trial, record.status) == (cut.trial, "interrupted")
    assert closed
    with pytest.raises(KeyboardInterrupt):
        next(heard)


@pytest.mark.slow
def test_a_sweep_runs_through_a_launcher_of_a_users_own(program, tmp_path):
    (tmp_path / "pool.py").write_text(POOL)
    (tmp_path / "mine/hydra/launcher").mkdir(parents=True)
    (tmp_path / "mine/hydra/launcher/pool.yaml").write_text(YAML)
    ran = program(
        *("--config-dir", "mine", "hydra/launcher=pool", "model=custom"),
        *("model.target=networks.Identity,networks.Raises", "input.size=32,48"),
        *("timing.warmup=2", "timing.iterations=5"),
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
        assert record["environment"]["pid"] != os.getpid()
    statuses = sorted(record.status for record in ran.records())
    assert statuses == ["completed", "completed", "failed", "failed"]
    assert "[4/4]" in ran.out or "1 more trial failed the same way" in ran.out
    with sqlite3.connect(ran.folder / "outputs" / "mlflow.db") as database:
        statuses = [row[0] for row in database.execute(f"SELECT status {NO_LINES}")]
    assert sorted(statuses) == ["FAILED", "FAILED", "FAILED", "FINISHED", "FINISHED"]
