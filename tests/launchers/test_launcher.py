"""Which launchers are taken, and what is said of the others."""

from __future__ import annotations

import pytest
from fakes.trials import make_trial

from runner.contract import UsageError
from runner.host.devices import Devices
from runner.launchers.gpus import GpuPool
from runner.launchers.here import Here
from runner.launchers.launcher import launcher_of

NAMES = ("gpus", "here", "slurm")
HYDRAS = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


def test_a_launcher_is_made_from_its_keys():
    assert isinstance(launcher_of({"_target_": "runner.launchers.here.Here"}, NAMES), Here)
    made = launcher_of({"_target_": "runner.launchers.gpus.GpuPool", "gpus": 2}, NAMES)
    assert isinstance(made, GpuPool)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"_target_": HYDRAS}, "use one of gpus, here, slurm"),
        ({"_target_": "nowhere.Launcher"}, "can't be imported: nowhere.Launcher"),
        ({"_target_": "runner.launchers.gpus.None"}, "can't be imported"),
        ({"_target_": "networks_that_are_none"}, "can't be imported"),
        ({}, "use one of gpus, here, slurm"),
        ({"_target_": "runner.launchers.gpus.GpuPool", "gpu": 2}, "does not match its class"),
        ({"_target_": "runner.launchers.gpus.GpuPool", "gpus": "two"}, "launcher.gpus is two"),
        ({"_target_": "runner.launchers.gpus.GpuPool", "gpus": -1}, "expected at least 0"),
        ({"_target_": "runner.launchers.gpus.GpuPool", "gpus": True}, "launcher.gpus is True"),
        ({"_target_": "pathlib.Path"}, "is not a runner.launchers.launcher.Launcher"),
        ({"_target_": "runner.launchers.slurm.Slurm"}, "missing a required"),
    ],
)
def test_any_other_is_refused_with_the_reason(settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        launcher_of(settings, NAMES)


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_launchers_of_hydra_are_refused_by_the_program(program, launcher):
    ran = program("model=simulated", f"hydra/launcher={launcher}", "tracking=off")
    assert ran.code == 2, ran.out + ran.err
    assert "use one of gpus, here, slurm" in ran.err
    assert not (ran.folder / "outputs").exists()


def test_devices_that_are_real_are_claimed():
    devices = Devices(cuda=2, uuids=("GPU-a", "GPU-b"))
    trials = [make_trial(device=device) for device in ("cpu", "cuda:1", "cuda:1", "simulated")]
    assert Here().claims(trials, devices) == {"cpu", "GPU-b"}
    pool = GpuPool()
    pool.check(devices)
    assert pool.claims(trials, devices) == {"GPU-a", "GPU-b"}


BAD = """\
from runner.launchers.job import run_point
from runner.launchers.launcher import Launcher

class Nothing(Launcher):
    def run(self, jobs): yield from ()

class Raises(Launcher):
    def run(self, jobs): raise ValueError("no nodes")

class Twice(Launcher):
    def run(self, jobs):
        for job in jobs:
            yield from [(job.trial, run_point(job))] * 2
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("Nothing", 1, "warning: the launcher returned no result for 1 trials"),
        ("Raises", 1, "runner: bad.Raises failed: ValueError: no nodes"),
        ("Twice", 0, "returned an unexpected result: simulated 640px b1 w20 event"),
    ],
)
def test_a_launcher_that_misbehaves_is_reported(program, tmp_path, name, code, sentence):
    (tmp_path / "bad.py").write_text(BAD)
    (tmp_path / "mine/hydra/launcher").mkdir(parents=True)
    (tmp_path / "mine/hydra/launcher/bad.yaml").write_text(f"_target_: bad.{name}")
    ran = program("--config-dir", "mine", "hydra/launcher=bad", "model=simulated", "tracking=off")
    assert ran.code == code, ran.out + ran.err
    assert sentence in ran.out + ran.err
    assert "Traceback" not in ran.err


def test_a_launcher_that_is_refused_hides_no_other_problem(program):
    ran = program("hydra/launcher=basic", "model=simulated", "timing.warmup=-1", "device=tpu")
    assert ran.code == 2
    assert "nothing was run, 3 problems" in ran.err
