"""From a trial to its workload: the source of its network and the engine that runs it.

A source is a module of this package with two functions, `network(trial)` and `problems(trial)`, and
`own_size(model)` if its models have one, `input_dtypes(network)` if these are not parameters
of torch, and `describe(network)` for more facts; an engine has `prepare(network, inputs,
trial, device)` and `problems(trial)`.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from runner.contract import Problem
from runner.host.raised import is_interrupt, words_of
from runner.models import eager
from runner.models.cost import Cost, cost_of
from runner.models.inputs import inputs_of
from runner.models.inputs import problems as inputs_problems
from runner.models.workload import Workload, converted
from runner.trial.description import Model, Trial


def build(trial: Trial, device: torch.device) -> Workload:
    """The trial's network in eval mode and its inputs, seeded by `trial.seed`.

    Raises ModelError if the network can't be built, its weights are unavailable, or a part of it
    stays in training mode.
    """
    torch.manual_seed(trial.seed)
    source = _source(trial.model)
    network = source.network(trial)
    engine = importlib.import_module(f"runner.models.{trial.engine.name}")
    inputs = _in_own_type(inputs_of(trial, device), source, network, trial)
    workload: Workload = engine.prepare(network, inputs, trial, device)
    own = source.describe(network) if hasattr(source, "describe") else {}
    return replace(workload, describe={**workload.describe, **own})


def _in_own_type(
    inputs: tuple[Any, ...], source: Any, network: Any, trial: Trial
) -> tuple[Any, ...]:
    """Inputs in the type of the network's weights, if they have one type and no custom inputs."""
    dtypes = source.input_dtypes(network) if hasattr(source, "input_dtypes") else _dtypes(network)
    own = {dtype for dtype in dtypes if dtype.is_floating_point}
    if trial.model.inputs is not None or len(own) != 1 or own == {torch.float32}:
        return inputs
    (dtype,) = own
    made: tuple[Any, ...] = converted(inputs, lambda t: t.to(dtype) if t.is_floating_point() else t)
    return made


def _dtypes(network: torch.nn.Module) -> Iterator[torch.dtype]:
    return (parameter.dtype for parameter in network.parameters())


def cost_before(trial: Trial) -> Cost | None:
    """The cost of a pass, without memory for its weights; None if only a real pass tells."""
    shapes_only = replace(trial, model=replace(trial.model, weights=None))
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = _source(trial.model).network(shapes_only).eval()
            inputs = inputs_of(trial, torch.device("meta"))
            if dtype := eager.CAST.get(trial.runtime.precision):
                network, inputs = eager.cast(network, inputs, dtype)
            return cost_of(eager.by_keyword(network, inputs), inputs)
    except BaseException as error:  # networks raise many kinds there
        if is_interrupt(error):
            raise
        print(f"no cost of {trial.title}: {words_of(error)}", file=sys.stderr)
        return None


def problems(trials: Iterable[Trial]) -> Iterator[Problem]:
    """Problems of models and engines, found without building a network."""
    for trial in trials:
        try:
            yield from _source(trial.model).problems(trial)
            yield from inputs_problems(trial)
            yield from importlib.import_module(f"runner.models.{trial.engine.name}").problems(trial)
        except Exception as error:  # a damaged file, or a broken library
            key = "model.file" if trial.model.file else "model"
            yield Problem(key, f"{trial.model.label} can't be read ({words_of(error)})")


def own_sizes(trials: Sequence[Trial]) -> dict[str, tuple[int, int]]:
    """(height, width) for which models are made, if known, by label."""
    models = {trial.model.label: trial.model for trial in trials if not trial.model.default_size}
    asked = {label: getattr(_source(model), "own_size", None) for label, model in models.items()}
    sizes = {label: ask(models[label]) for label, ask in asked.items() if ask is not None}
    return {label: size for label, size in sizes.items() if size is not None}


def _source(model: Model) -> Any:
    return importlib.import_module(f"runner.models.{model.source_name}")
