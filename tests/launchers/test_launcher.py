"""Which launchers are taken, and what is said of the others."""

from __future__ import annotations

import pytest
from fakes.trials import make_trial

from runner.contract.errors import UsageError
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
        ({}, "use one of gpus, here, slurm"),
        ({"_target_": "runner.launchers.gpus.GpuPool", "gpu": 2}, "does not fit its class"),
        ({"_target_": "runner.launchers.gpus.GpuPool", "gpus": "two"}, "launcher.gpus is two"),
        ({"_target_": "runner.launchers.gpus.GpuPool", "gpus": -1}, "expected at least 0"),
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
    assert GpuPool().claims(trials, devices) == {"GPU-a", "GPU-b"}
