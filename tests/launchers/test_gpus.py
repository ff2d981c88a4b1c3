"""All GPUs of a host, stood in for by simulated devices."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys

import psutil
import pytest
from fakes.networks import NETWORKS
from fakes.program import run_in, start_in, until

from runner.contract import UsageError
from runner.launchers import gpus

pytestmark = pytest.mark.slow

NETS = ("model=custom", "timing.warmup=1", "input.batch_size=1", "tracking=off")


def records(folder):
    found = [json.loads(path.read_text()) for path in folder.glob("outputs/*/*/record.json")]
    return sorted(found, key=lambda record: record["started_at"])


def test_each_gpu_has_one_trial_at_a_time_and_cores_of_its_own(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    ran = run_in(
        tmp_path, *NETS, "model.target=networks.Sleep", "timing.iterations=20",
        "input.size=8,16,24,32", "hydra/launcher=gpus", "hydra.launcher.gpus=2",
    )  # fmt: skip
    assert ran.code == 0, ran.out + ran.err
    found = records(tmp_path)
    by_gpu = {gpu: [r for r in found if r["environment"]["visible_gpus"] == gpu] for gpu in "01"}
    assert all(by_gpu.values())
    assert sum(map(len, by_gpu.values())) == 4
    for mine in by_gpu.values():
        assert {record["environment"]["usable_cpus"] for record in mine} == {
            max(1, len(os.sched_getaffinity(0)) // 2)
        }
        for one, other in itertools.pairwise(mine):
            assert one["ended_at"] <= other["started_at"]
    assert "[4/4] networks.Sleep" in ran.out


def test_a_failing_trial_and_one_that_ends_its_process_cost_no_other(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    ran = run_in(
        tmp_path, *NETS, "model.target=networks.Raises,networks.Identity,networks.Dies",
        "timing.iterations=5", "input.size=8", "hydra/launcher=gpus", "hydra.launcher.gpus=2",
    )  # fmt: skip
    assert ran.code == 1, ran.out + ran.err
    statuses = {record["title"].split()[0]: record["status"] for record in records(tmp_path)}
    assert statuses == {
        "networks.Raises": "failed", "networks.Identity": "completed", "networks.Dies": "failed",
    }  # fmt: skip
    assert "Traceback" not in ran.err


def test_an_interrupt_leaves_what_was_measured_and_the_rest_is_gone_on_with(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    words = (
        *NETS, "model.target=networks.Sleep", "timing.iterations=30", "input.size=8,16,24,32,40",
        "hydra/launcher=gpus", "hydra.launcher.gpus=2", "sweep.id=mine",
    )  # fmt: skip
    process = start_in(tmp_path, *words)
    until(lambda: len(records(tmp_path)) >= 2)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    before = len([one for one in records(tmp_path) if one["status"] == "completed"])
    assert 2 <= before < 5
    cut = [one for one in records(tmp_path) if one["status"] == "interrupted"]
    counts = {"interrupted": len(cut), "not started": 5 - before - len(cut)}
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    assert f"of 5 trials {told}" in out
    ran = run_in(tmp_path, *words)
    assert ran.code == 0, ran.out + ran.err
    assert f"{before} of 5 trials are done" in ran.out
    assert [one["status"] for one in records(tmp_path)] == ["completed"] * 5


@pytest.fixture
def ending(monkeypatch):
    """The handler of SIGTERM in a process of the pool, which is this one."""
    monkeypatch.setattr(gpus.os, "_exit", sys.exit)
    monkeypatch.setattr(gpus, "_ending", gpus._Ending())
    return lambda: gpus._ending(signal.SIGTERM, None)


def test_a_process_of_the_pool_ends_by_sigterm_between_two_points(ending, monkeypatch):
    monkeypatch.setattr(gpus, "run_point", lambda point: point)
    assert gpus.run_in_place(b"first") == b"first"
    with pytest.raises(SystemExit):
        ending()


def test_it_ends_after_the_point_that_runs_which_a_second_one_does_not_cut_short(
    ending, monkeypatch
):
    written = []

    def point(_):
        with pytest.raises(KeyboardInterrupt):
            ending()
        ending()
        written.append("down")  # by a trial that had all its samples, and so completed

    monkeypatch.setattr(gpus, "run_point", point)
    with pytest.raises(SystemExit):
        gpus.run_in_place(b"")
    assert written


def test_a_process_of_the_pool_that_is_killed_costs_no_trial(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    process = start_in(
        tmp_path, *NETS, "model.target=networks.StopsOnce", "timing.iterations=80",
        "input.size=8,16,24", "hydra/launcher=gpus", "hydra.launcher.gpus=2",
    )  # fmt: skip
    until((tmp_path / "stopped.txt").exists)
    for one in psutil.Process(process.pid).children():
        if "spawn_main" in " ".join(one.cmdline()):
            one.kill()
            break
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, out + err
    assert [one["status"] for one in records(tmp_path)] == ["completed"] * 3


@pytest.mark.parametrize(
    ("asked", "seen", "used"), [(None, 4, 4), (2, 4, 2), (2, 0, 2), (None, 0, None), (3, 2, None)]
)
def test_how_many_gpus_are_used(asked, seen, used):
    if used is None:
        with pytest.raises(UsageError):
            gpus.count_of(asked, seen)
    else:
        assert gpus.count_of(asked, seen) == used


def test_the_gpus_are_held_and_a_killed_sweep_leaves_nothing_behind(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    on_gpus = (*NETS, "timing.iterations=5", "hydra/launcher=gpus", "hydra.launcher.gpus=2")
    locks = {"RUNNER_LOCK_DIR": str(tmp_path)}
    process = start_in(
        tmp_path, *on_gpus, "model.target=networks.HoldsOn", "input.size=8,16", "sweep.id=first",
        **locks,
    )  # fmt: skip
    until((tmp_path / "pids.txt").exists)
    second = (*on_gpus, "model.target=networks.Identity", "input.size=8")
    refused = run_in(tmp_path, *second, "device_lock=refuse", **locks)
    assert refused.code == 2, refused.out + refused.err
    assert f"sweep first (pid {process.pid} on " in refused.err
    started = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert psutil.wait_procs(started, timeout=60)[1] == []
    ran = run_in(tmp_path, *second, "device_lock=refuse", **locks)
    assert ran.code == 0, ran.out + ran.err


def test_without_a_gpu_it_is_refused_and_nothing_is_run(tmp_path):
    ran = run_in(tmp_path, "model=simulated", "hydra/launcher=gpus", "tracking=off")
    assert ran.code == 2
    assert "hydra/launcher=gpus, but torch sees no CUDA device here" in ran.err
    assert records(tmp_path) == []
