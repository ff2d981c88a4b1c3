"""The inputs of a forward pass, by the task of its model or from a callable of the user."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch

from runner.contract import ModelError, Problem
from runner.models.custom import load
from runner.models.workload import converted, tensors_of
from runner.trial.description import Trial


def inputs_of(trial: Trial, device: torch.device) -> tuple[Any, ...]:
    """The inputs of the network, on the device, seeded by `trial.seed`.

    A dictionary is passed as keywords, and is then the only element.
    Raises ModelError if a callable of the user returns no tensors.
    """
    torch.manual_seed(trial.seed)
    made = _made(trial) if trial.model.inputs is None else _from_user(trial, device)
    inputs: tuple[Any, ...] = converted(made, lambda tensor: tensor.to(device))
    return inputs


def problems(trial: Trial) -> Iterator[Problem]:
    """Problems of importing or calling `model.inputs`."""
    if trial.model.inputs is None:
        return
    try:
        made_by = load(trial.model.inputs, "model.inputs")
        inspect.signature(made_by).bind(1, trial.input.size, torch.device("cpu"))
    except ModelError as error:
        yield Problem("model.inputs", str(error))
    except TypeError as error:
        found = f"model.inputs={trial.model.inputs} can't be called ({error})"
        remedy = (
            "it is called with (batch_size, (height, width), device) and returns what the "
            "network takes"
        )
        yield Problem("model.inputs", found, remedy)
    except ValueError:
        return  # a callable written in C may have no signature


def _from_user(trial: Trial, device: torch.device) -> tuple[Any, ...]:
    name = str(trial.model.inputs)
    made = load(name, "model.inputs")(trial.input.batch_size, trial.input.pixels, device)
    if not tensors_of(made):
        raise ModelError(f"model.inputs={name} returned a {type(made).__name__} without tensors")
    return tuple(made) if isinstance(made, (tuple, list)) else (made,)


def _made(trial: Trial) -> tuple[Any, ...]:
    batch_size, (height, width) = trial.input.batch_size, trial.input.pixels
    match trial.model.task:
        case "detection":  # a list of images with values from 0 to 1
            images = [_filled(trial, (3, height, width), unit=True) for _ in range(batch_size)]
            return (images,)
        case "video":
            return (_filled(trial, (batch_size, 3, trial.input.frames, height, width)),)
        case "optical_flow":  # two images with values from -1 to 1
            shape = (batch_size, 3, height, width)
            return tuple(_filled(trial, shape).clamp(-1, 1) for _ in range(2))
        case _:
            return (_filled(trial, (batch_size, 3, height, width)),)


def _filled(trial: Trial, shape: tuple[int, ...], unit: bool = False) -> torch.Tensor:
    """A tensor with the requested fill; random values are normal, or uniform in 0..1 if `unit`."""
    match trial.input.fill:
        case "zeros":
            return torch.zeros(shape)
        case "ones":
            return torch.ones(shape)
        case _:
            return torch.rand(shape) if unit else torch.randn(shape)
