"""Source of networks: a user's own, by the import path of a callable."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator

import torch

from runner.models.workload import ModelError
from runner.trial.description import Model, Trial
from runner.trial.rules import Problem


def network(trial: Trial) -> torch.nn.Module:
    """What `model.target` returns. Raises ModelError unless that is a network."""
    target = str(trial.model.target)
    made = load_target(target)(**trial.model.kwargs)
    if not isinstance(made, torch.nn.Module):
        raise ModelError(f"{target} returned a {type(made).__name__}; expected a torch.nn.Module")
    return made


def problems(model: Model) -> Iterator[Problem]:
    """Why `model.target` can't be imported or called with `model.kwargs`."""
    try:
        yield from _uncallable(load_target(str(model.target)), model)
    except ModelError as error:
        yield Problem("model.target", str(error))


def load_target(target: str) -> Callable[..., object]:
    """The callable at an import path, looked for in the current directory too.

    Raises ModelError if it can't be imported or is not callable.
    """
    if (folder := os.getcwd()) not in sys.path:
        sys.path.insert(0, folder)
    module_name, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except Exception as error:  # a user's module may raise anything at all
        raise ModelError(
            f"model.target={target} can't be imported: {type(error).__name__}: {error} "
            f"(looked in {folder} and the installed packages)"
        ) from error
    if not callable(found):
        raise ModelError(f"model.target={target} is a {type(found).__name__}; expected a callable")
    made: Callable[..., object] = found
    return made


def _uncallable(made_by: Callable[..., object], model: Model) -> Iterator[Problem]:
    """Why a callable can't be called with model.kwargs, by its signature."""
    try:
        inspect.signature(made_by).bind(**model.kwargs)
    except TypeError as error:
        yield Problem(
            "model.kwargs",
            f"model.target={model.target} can't be called with model.kwargs={model.kwargs}: "
            f"{error}",
            f"it takes {inspect.signature(made_by)}",
        )
    except ValueError:
        return  # a callable of C has no signature to be read
