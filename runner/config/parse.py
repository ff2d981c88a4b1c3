"""From the plain values of a point to its Trial, checked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, ValuesView
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path

from runner.config.explain import unknown_key
from runner.config.schema import Config, types_of
from runner.config.settings import wide_problems
from runner.config.values import Values, known
from runner.contract import CONF, Problem, UsageError
from runner.host.devices import Devices, resolve_device
from runner.measure.simulated import Costs
from runner.trial.description import (
    Engine,
    Input,
    Load,
    Model,
    Pipeline,
    Runtime,
    Timing,
    Trial,
)
from runner.trial.methods import EVERYWHERE, resolve_method
from runner.trial.rules import problems, size_of, target_problem

Sizes = Mapping[str, tuple[int, int]]
"""(height, width) of models that only their sources know, by the models' labels."""
DEEPEST = 40  # levels of model.kwargs
LEVELS = (list, ValuesView)
OF_SOURCES = {"onnx": "onnxruntime", "engine": "tensorrt"}  # what engine=auto means for them
ONLY_ON = {"quantized": "cpu", "simulated": "simulated"}  # int8 kernels are the CPU's


@dataclass(frozen=True)
class Draft:
    """A trial as it was given, with the problems it has on any device.

    Device and method may be `auto`, and the size None if only the model's source knows it.
    """

    trial: Trial
    problems: tuple[Problem, ...]


def trial_of(values: Values, devices: Devices, folder: Path) -> Trial:
    """The Trial that the values of a point describe. Raises UsageError with every problem found."""
    trial, unfit = settled(drafted(values, folder), devices)
    if found := [*unfit, *wide_problems(values)]:
        raise UsageError(*found)
    return trial


def drafted(values: Values, folder: Path) -> Draft:
    """Parse the values of a point; `folder` is searched for the user's own modules."""
    model = Model(**known(values["model"], Model))
    given, device = values["input"]["size"], str(values["device"])
    size = None if given is None and model.default_size is None else size_of(given)
    problem = [size] if isinstance(size, Problem) else []
    engine = known(values["engine"], Engine)
    if engine["name"] == "auto":
        engine["name"] = OF_SOURCES.get(model.source or "", "eager")
    trial = Trial(
        model=model,
        input=Input(**known(values["input"], Input) | {"size": None if problem else size}),
        timing=Timing(**known(values["timing"], Timing)),
        runtime=Runtime(**known(values["runtime"], Runtime)),
        device=ONLY_ON.get(model.task, device) if device == "auto" else device,
        repeat=values["repeat"],
        seed=values["seed"],
        engine=Engine(**engine),
        pipeline=Pipeline(**known(values["pipeline"], Pipeline)),
        load=Load(**known(values["load"], Load)),
    )
    found = [
        *_unknown_keys(values, Config),
        *_model_problems(values["model"], folder),
        *problem,
    ]
    return Draft(trial, tuple(found))


def settled(
    draft: Draft, devices: Devices, sizes: Sizes | None = None
) -> tuple[Trial, list[Problem]]:
    """The trial on one of these devices, and all its problems there.

    A size stays unknown until the sources of the models were asked for their `sizes`.
    """
    trial, found = draft.trial, list(draft.problems)
    size = trial.input.size
    if size is None and sizes is not None:
        size = sizes.get(trial.model.label)
        if size is None:
            why = f"input.size is null, and {trial.model.label} does not say which it is made for"
            found.append(Problem("input.size", why, "give it in pixels, as in input.size=224"))
    device = resolve_device(trial.device, devices)
    if isinstance(device, Problem):
        found.append(device)
        device = trial.device
    kind = device.partition(":")[0]
    # a request begins and ends on the host
    on_host = trial.is_e2e or trial.is_load or trial.engine.name not in ("eager", "tensorrt")
    clock = "cpu" if on_host else kind
    method = resolve_method(trial.timing.method, clock)
    if (size, method, device) != (trial.input.size, trial.timing.method, trial.device):
        trial = replace(
            trial,
            input=replace(trial.input, size=size),
            timing=replace(trial.timing, method=method),
            device=device,
        )
    text = {problem.key for problem in found}
    found += [one for one in problems(trial, kind in EVERYWHERE) if one.key not in text]
    return trial, found


def _model_problems(model: Values, folder: Path) -> Iterator[Problem]:
    if model["source"] is not None:
        return  # the source itself checks its keys
    name, target, weights = model["name"], model["target"], model["weights"]
    named = name != "custom" and name in _own_models()
    if named and target is not None:
        yield Problem(
            "model.target", f"model.target is only valid with model=custom, but model is {name}"
        )
    elif not named and target is None and name != "custom":
        found = f"model.name is {name}, which is not a model"
        yield Problem("model.name", found, "choose one with model=NAME")
    elif not named and (problem := target_problem(target, folder)):
        yield problem
    kwargs = model["kwargs"]
    if _depth(kwargs) > DEEPEST:
        found = f"model.kwargs are nested more than {DEEPEST} deep"
        yield Problem("model.kwargs", found, "give fewer levels")
        return
    try:
        json.dumps(kwargs, allow_nan=False)
    except ValueError:
        yield Problem("model.kwargs", f"model.kwargs are {kwargs}", "expected finite numbers only")
    if model["task"] == "simulated":
        yield from _unsimulated(kwargs, weights)
    if not named and weights is not None:
        found = "model.weights is only valid with torchvision's models"
        yield Problem("model.weights", found, "load your own weights in model.target")


def _depth(values: object) -> int:
    parts = values.values() if isinstance(values, dict) else values
    return 1 + max(map(_depth, parts), default=0) if isinstance(parts, LEVELS) else 0


@cache
def _own_models() -> frozenset[str]:
    """The names that have a file in conf/model/."""
    return frozenset(path.stem for path in (CONF / "model").glob("*.yaml"))


def _unsimulated(kwargs: Values, weights: str | None) -> Iterator[Problem]:
    try:
        Costs(**kwargs)
    except (TypeError, ValueError) as error:
        costs = ", ".join(part.name for part in fields(Costs))
        found = f"model.kwargs do not describe a simulated device ({error})"
        yield Problem("model.kwargs", found, f"it takes {costs}")
    if weights is not None:
        found = "model.weights is set, but a simulated device has none"
        yield Problem("model.weights", found, "omit it")


def _unknown_keys(values: Values, schema: type, prefix: str = "") -> Iterator[Problem]:
    types = types_of(schema)
    for key, value in values.items():
        if key not in types:
            yield unknown_key(f"{prefix}{key}", prefix, list(types))
        elif is_dataclass(types[key]) and isinstance(value, dict):
            yield from _unknown_keys(value, types[key], f"{prefix}{key}.")
