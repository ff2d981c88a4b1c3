"""The work of a process that profiles a trial, which no timing takes part in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from runner.host.own_code import own_code
from runner.host.raised import is_interrupt, words_of
from runner.profiles.tree import Profile
from runner.trial.description import Trial
from runner.worker.execution import PhaseCallbacks


def profile_trial(trial: Trial, _listener: PhaseCallbacks) -> Profile | str:
    """The profile of a trial's forward pass, or why there is none."""
    from runner.host.secrets import know

    know(vars(trial.model))
    if trial.device_kind == "simulated":
        return "a simulated device has no operators"
    try:
        return _profiled(trial)
    except BaseException as error:  # a user's network may raise anything at all
        if is_interrupt(error):
            raise
        return words_of(error)


def _profiled(trial: Trial) -> Profile:
    import torch

    from runner.measure.torch_device import TorchDevice
    from runner.models.sources import build
    from runner.profiles.trace import profiled
    from runner.worker.torch_settings import in_force

    at = torch.device(trial.device)
    is_eager = trial.engine.name == "eager" and trial.runtime.compile == "off"
    device = TorchDevice(at, is_eager)
    with in_force(trial.runtime), torch.inference_mode(), device.selected():
        workload = build(trial, at)
        network = workload.call if is_eager else None
        found = profiled(
            workload.forward, at, network if isinstance(network, torch.nn.Module) else None
        )
    return replace(found, own_code=own_code(Path.cwd()).get("own_code"))
