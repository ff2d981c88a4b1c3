"""A sweep on a real Slurm: arrays, rounds, a GPU each, limits, preemption, cancelling, death."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from fakes.cluster import Slurm
from fakes.networks import NETWORKS
from fakes.program import run_in, start_in, until, with_words

pytestmark = pytest.mark.slurm

ON_SLURM = (
    *("hydra/launcher=slurm", "hydra.launcher.poll_s=1", "hydra.launcher.gpus_per_trial=0"),
    *("hydra.launcher.cpus_per_trial=1", "model=custom", "input.batch_size=1", "timing.warmup=1"),
)


@pytest.fixture(scope="module")
def cluster():
    """One Slurm for all; its sockets want a short path."""
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:
        cluster = Slurm(Path(folder))
        try:
            cluster.up()
            yield cluster
        finally:
            cluster.down()


@pytest.fixture
def slurm(cluster):
    """The same, with no job of another test in it."""
    yield cluster
    cluster.cancel_all()
    until(lambda: cluster.run("squeue", "-h") == "")


@pytest.fixture
def start(tmp_path, slurm):
    """Starts the program; it ends with the test, whatever has become of it."""
    (tmp_path / "networks.py").write_text(NETWORKS)
    started = []

    def begin(*words):
        started.append(start_in(tmp_path, *with_words(ON_SLURM, *words), **slurm.variables))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def sweep(tmp_path, slurm):
    """The program in a folder that the node shares, as it is this machine."""
    (tmp_path / "networks.py").write_text(NETWORKS)
    return lambda *words: run_in(tmp_path, *with_words(ON_SLURM, *words), **slurm.variables)


def records(folder):
    found = [json.loads(path.read_text()) for path in folder.glob("outputs/*/*/record.json")]
    return sorted(found, key=lambda record: record["started_at"])


def test_trials_are_jobs_in_rounds_with_a_gpu_of_their_own(sweep, tmp_path):
    ran = sweep(
        "model.target=networks.Sleep", "device=cpu", "input.size=8,16,24", "sweep.repeats=2",
        "timing.iterations=15", "hydra.launcher.gpus_per_trial=1", "sweep.id=mine",
    )  # fmt: skip
    assert ran.code == 0, ran.out + ran.err
    found = records(tmp_path)
    assert [record["repeat"] for record in found] == [0, 0, 0, 1, 1, 1]
    first = max(record["ended_at"] for record in found[:3])
    assert all(record["started_at"] > first for record in found[3:])  # round after round
    assert len({record["environment"]["slurm_job"] for record in found}) == 6
    for gpu in ("0", "1"):
        mine = [record for record in found if record["environment"]["visible_gpus"] == gpu]
        assert all(a["ended_at"] <= b["started_at"] for a, b in pairwise(mine))
    assert {record["environment"]["visible_gpus"] for record in found} <= {"0", "1"}
    assert {record["environment"]["usable_cpus"] for record in found} == {1}  # bound by Slurm
    assert "[6/6] networks.Sleep" in ran.out
    assert "viewStateShareKey=mine" in ran.out  # published by the sweep itself
    again = sweep(
        "model.target=networks.Sleep", "device=cpu", "input.size=8,16,24", "sweep.repeats=2",
        "timing.iterations=15", "hydra.launcher.gpus_per_trial=1", "sweep.id=mine",
    )  # fmt: skip
    assert "6 of 6 trials are done" in again.out


def test_what_fails_or_dies_costs_no_other(sweep, slurm, tmp_path):
    ran = sweep(
        "model.target=networks.Raises,networks.Identity,networks.Dies", "input.size=8",
        "timing.iterations=5", "tracking=server", "tracking.uri=http://me:s3cr3t@127.0.0.1:9",
    )  # fmt: skip
    assert ran.code == 1, ran.out + ran.err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".pkl" for path in files)  # what jobs are given lies there, too
    assert not any(b"s3cr3t" in path.read_bytes() for path in files)
    statuses = {record["title"].split()[0]: record["status"] for record in records(tmp_path)}
    assert statuses == {
        "networks.Raises": "failed", "networks.Identity": "completed", "networks.Dies": "failed",
    }  # fmt: skip


def test_a_job_that_is_killed_is_told(start, slurm, tmp_path):
    process = start(
        "model.target=networks.Sleep", "input.size=8,16", "tracking=off",
        "timing.iterations=1000", "sweep.id=mine",
    )  # fmt: skip
    until(lambda: slurm.run("squeue", "-h", "-t", "R", "-o", "%i").count("_") == 2)
    time.sleep(3)
    (one, _) = sorted(slurm.run("squeue", "-h", "-t", "R", "-o", "%i").split())
    for process_of_job in psutil.process_iter():
        with suppress(psutil.Error):
            if process_of_job.environ().get("SLURM_ARRAY_TASK_ID") == "0":
                process_of_job.kill()
    out, err = process.communicate(timeout=200)
    assert process.returncode == 1, out + err
    (lost,) = [record for record in records(tmp_path) if record["status"] != "completed"]
    assert f"its Slurm job {one} ended with " in lost["error"]["message"]


def test_timeout_s_sets_the_jobs_limit(start, slurm, tmp_path):
    process = start(
        "model.target=networks.Sleep", "input.size=8", "tracking=off",
        "timing.iterations=100000", "timing.timeout_s=5",
    )  # fmt: skip
    until(lambda: slurm.run("squeue", "-h", "-t", "R", "-o", "%l").strip() != "")
    assert slurm.run("squeue", "-h", "-t", "R", "-o", "%l").strip() == "6:00"
    out, err = process.communicate(timeout=100)
    assert process.returncode == 1, out + err
    assert [record["status"] for record in records(tmp_path)] == ["timed_out"]


def test_a_preempted_trial_starts_again_by_itself(start, slurm, tmp_path):
    process = start(
        "model.target=networks.StopsOnce", "input.size=8", "tracking=off",
        "timing.iterations=100", "sweep.id=mine",
    )  # fmt: skip
    until((tmp_path / "stopped.txt").exists)
    job = slurm.run("squeue", "-h", "-t", "R", "-o", "%i").strip()
    urgent = subprocess.Popen(
        ["srun", "--partition=urgent", "--exclusive", "sleep", "1"],
        env=os.environ | slurm.variables,
    )
    until(lambda: [r["status"] for r in records(tmp_path)] == ["interrupted"])
    kept = records(tmp_path)[0]
    assert kept["latency_ms"]  # written down in the grace period
    assert urgent.wait(timeout=120) == 0
    until(lambda: slurm.run("squeue", "-h", "-j", job, "-o", "%T").strip() == "PENDING")
    slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")  # it would wait two minutes
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, out + err
    assert [record["status"] for record in records(tmp_path)] == ["completed"]
    assert list(tmp_path.glob("outputs/mine/*/record.1.json"))


def test_an_interrupted_sweep_cancels_its_jobs_and_is_gone_on_with(sweep, start, slurm, tmp_path):
    words = (
        "model.target=networks.Sleep", "input.size=8,16,24,32", "timing.iterations=100",
        "sweep.id=mine", "tracking=off",
    )  # fmt: skip
    process = start(*words)
    until(lambda: len(records(tmp_path)) >= 1)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130, out + err
    until(lambda: slurm.run("squeue", "-h", "-o", "%i").strip() == "")
    ran = sweep(*words)
    assert ran.code == 0, ran.out + ran.err
    assert [record["status"] for record in records(tmp_path)] == ["completed"] * 4


def test_jobs_of_a_sweep_that_was_killed_are_ended_before_it_goes_on(sweep, start, slurm, tmp_path):
    words = (
        "model.target=networks.StopsOnce", "input.size=8", "timing.iterations=100",
        "sweep.id=mine", "tracking=off",
    )  # fmt: skip
    process = start(*words)
    until((tmp_path / "stopped.txt").exists)
    process.kill()
    ran = sweep(*words)
    assert ran.code == 0, ran.out + ran.err
    assert slurm.run("squeue", "-h") == ""
    assert [record["status"] for record in records(tmp_path)] == ["completed"]
    (earlier,) = tmp_path.glob("outputs/mine/*/record.1.json")
    assert json.loads(earlier.read_text())["latency_ms"]


def test_a_gpu_is_asked_for_by_default_though_this_machine_has_none(sweep, tmp_path):
    ran = sweep("model.target=networks.Identity", "hydra.launcher.gpus_per_trial=1", "dry_run=true")
    assert "networks.Identity 640px b1 w1 event on cuda" in ran.out, ran.out + ran.err


def test_without_accounting_it_is_refused(sweep, slurm, tmp_path):
    configuration = Path(slurm.variables["SLURM_CONF"])
    own = tmp_path / "slurm.conf"
    lines = configuration.read_text().splitlines()
    own.write_text("\n".join(line for line in lines if not line.startswith("Accounting")))
    shutil.copy(configuration.with_name("gres.conf"), tmp_path)
    ran = run_in(
        tmp_path, *ON_SLURM, "model.target=networks.Identity", "tracking=off", SLURM_CONF=str(own)
    )
    assert ran.code == 2, ran.out + ran.err
    assert "this Slurm has no accounting" in ran.err


def test_without_slurm_it_is_refused(tmp_path):
    ran = run_in(
        tmp_path, "model=simulated", "hydra/launcher=slurm", "tracking=off", PATH="/nowhere"
    )
    assert ran.code == 2, ran.out + ran.err
    assert "needs Slurm, but srun is not installed" in ran.err


def test_what_jobs_are_given_is_private_and_gone_when_they_have_ended(start, slurm, tmp_path):
    process = start(
        "model.target=networks.Sleep", "input.size=8", "timing.iterations=60", "sweep.id=mine",
        "tracking=off",
    )  # fmt: skip
    folder = tmp_path / "outputs/mine/.slurm"
    until(lambda: list(folder.rglob("*_submitted.pkl")))
    assert folder.stat().st_mode & 0o777 == 0o700
    given = [path for path in folder.rglob("*.pkl") if path.is_file()]
    assert {path.stat().st_mode & 0o077 for path in given} == {0}
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, out + err
    assert list(folder.rglob("*_submitted.pkl")) == []
