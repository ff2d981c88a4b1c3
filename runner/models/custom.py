"""Source of networks: the user's own, by the import path of a callable."""

from __future__ import annotations

import importlib
import inspect
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path

import torch

from runner.contract import ModelError, Problem
from runner.host.own_code import is_own
from runner.host.raised import first_cause, is_interrupt, words_of
from runner.trial.description import Model, Trial


def network(trial: Trial) -> torch.nn.Module:
    """The network that `model.target` returns. Raises ModelError for anything else."""
    target = str(trial.model.target)
    made = load(target, "model.target")(**trial.model.kwargs)
    if not isinstance(made, torch.nn.Module):
        raise ModelError(f"{target} returned a {type(made).__name__}; expected a torch.nn.Module")
    return made


def problems(trial: Trial) -> Iterator[Problem]:
    """Why `model.target` can't be imported or called with `model.kwargs`."""
    model = trial.model
    try:
        yield from _uncallable(load(str(model.target), "model.target"), model)
    except ModelError as error:
        yield Problem("model.target", str(error))


def load(target: str, key: str) -> Callable[..., object]:
    """The callable at the import path of `key`; the current directory is searched, too.

    Raises ModelError if it can't be imported or is not callable.
    """
    if (folder := os.getcwd()) not in sys.path:
        sys.path.insert(0, folder)
    module_name, _, name = target.rpartition(".")
    lines = io.StringIO()
    try:
        with redirect_stderr(lines):
            found = getattr(importlib.import_module(module_name), name)
    except BaseException as error:  # a user's module may raise anything at all
        if is_interrupt(error):
            raise
        where, words = place_of(error), lines.getvalue().strip().rpartition("\n")[2]
        text = f": {words}" if words and isinstance(error, SystemExit) else ""  # as argparse does
        raise ModelError(
            f"{key}={target} can't be imported: {f'{where}: ' if where else ''}"
            f"{words_of(error)}{text} (looked in {folder} and the installed packages)"
        ) from error
    finally:
        sys.stderr.write(lines.getvalue())  # into worker.log
    if not callable(found):
        raise ModelError(f"{key}={target} is a {type(found).__name__}; expected a callable")
    made: Callable[..., object] = found
    return made


def place_of(error: BaseException) -> str | None:
    """The innermost line of the user's own code in a traceback: `net.py:12 in forward`.

    None without one. The user's own code is what lies below the current directory.
    """
    own = Path.cwd()
    for frame in reversed(traceback.extract_tb(first_cause(error).__traceback__)):
        path = Path(frame.filename)
        if is_own(path, own):
            return f"{path.relative_to(own)}:{frame.lineno} in {frame.name}"
    return None


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
        return  # a callable written in C may have no signature
