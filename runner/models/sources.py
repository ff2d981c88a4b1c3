"""From a trial to its workload: the source that has its network.

A source is a module of this room with two functions: `network(trial)` and `problems(model)`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from runner.models.eager import eager
from runner.models.inputs import inputs_of
from runner.models.workload import Workload
from runner.trial.description import Model, Trial
from runner.trial.rules import Problem


def build(trial: Trial, device: torch.device) -> Workload:
    """The trial's network in eval mode and its inputs, seeded by `trial.seed`.

    Raises ModelError when the network can't be made, its weights can't be had, or a part of it
    stays in training mode.
    """
    torch.manual_seed(trial.seed)
    network = _source(trial.model).network(trial)
    return eager(network, inputs_of(trial, device), device, trial.input.size)


def problems(models: Iterable[Model]) -> Iterator[Problem]:
    """What is wrong with targets, arguments and weights, found without building a network."""
    for model in models:
        yield from _source(model).problems(model)


def _source(model: Model) -> Any:
    return importlib.import_module(f"runner.models.{model.source_name}")
