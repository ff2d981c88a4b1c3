"""Source of networks: a file of torch.jit.save."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from runner.contract import Problem
from runner.models.files import unreadable
from runner.trial.description import Trial


def network(trial: Trial) -> torch.nn.Module:
    """The network in the file."""
    made: torch.nn.Module = torch.jit.load(trial.model.file, map_location="cpu")  # type: ignore[no-untyped-call]
    return made


def problems(trial: Trial) -> Iterator[Problem]:
    """Problems of the file."""
    yield from unreadable(trial, "model.file=net.pt")
    if trial.runtime.compile != "off":
        found = (
            f"runtime.compile={trial.runtime.compile}, but {trial.model.label} is a "
            "TorchScript module"
        )
        yield Problem("runtime.compile", found, "use runtime.compile=off")
