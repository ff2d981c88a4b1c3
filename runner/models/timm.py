"""Source of networks: timm's models, by name: `model=timm model.name=convnext_tiny`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import URLError

import torch

from runner.contract import ModelError, Problem
from runner.host.raised import words_of
from runner.trial.description import Model, Trial
from runner.trial.rules import missing_package

PRETRAINED = "DEFAULT"  # a model's own trained weights, as in torchvision


def network(trial: Trial) -> torch.nn.Module:
    """The model with its weights. Raises ModelError for weights that can't be downloaded."""
    import timm

    model = trial.model
    try:
        made: torch.nn.Module = timm.create_model(
            model.name, pretrained=model.weights is not None, **model.kwargs
        )
    except (URLError, OSError) as error:
        raise ModelError(
            f"the weights of {model.label} could not be downloaded ({error}); "
            "omit model.weights for random ones"
        ) from error
    return made


def problems(trial: Trial) -> Iterator[Problem]:
    """Problems of a model that timm does not have."""
    model = trial.model
    try:
        import timm
    except ImportError:
        yield missing_package("model", "model=timm", "timm")
        return
    if not timm.is_model(model.name):
        near = difflib.get_close_matches(model.name.partition(".")[0], timm.list_models(), n=5)
        hint = f"similar: {', '.join(near)}" if near else "timm.list_models() lists them"
        yield Problem("model.name", f"model.name is {model.name}, which timm does not have", hint)
        return
    if problem := _unfit_size(trial):
        yield problem
    if model.weights not in (None, PRETRAINED):
        remedy = f"{PRETRAINED}, or null for random ones; add a tag to the name, as in NAME.TAG"
        yield Problem("model.weights", f"model.weights is {model.weights}", f"expected {remedy}")


def _unfit_size(trial: Trial) -> Problem | None:
    """The problem of a size that the model does not take."""
    model, size = trial.model, trial.input.size
    if not _settings(model.name).get("fixed_input_size") or size in (None, own_size(model)):
        return None
    why_not = _tried(trial, model.kwargs)
    if why_not is None:
        return None
    found = f"input.size is {trial.input.size_label}, which {model.label} does not take ({why_not})"
    height, width = trial.input.pixels
    asked = height if height == width else (height, width)
    if _tried(trial, model.kwargs | {"img_size": asked}) is None:
        shown = str(asked).replace("(", "[").replace(")", "]")
        return Problem(
            "input.size", found, f"build it for that: model.kwargs={{img_size: {shown}}}"
        )
    return Problem("input.size", found, f"use {'x'.join(map(str, own_size(model) or ()))}")


def _tried(trial: Trial, kwargs: dict[str, Any]) -> str | None:
    """Why a model built with these arguments does not take the input; None if it does.

    Found on the meta device, without memory; None, too, if that lacks an operator.
    """
    import timm

    try:
        with torch.device("meta"), torch.no_grad():
            network = timm.create_model(trial.model.name, **kwargs).eval()
            network(torch.randn(1, 3, *trial.input.pixels))
    except NotImplementedError:  # from the meta device: the trial itself will report it
        return None
    except Exception as error:  # each architecture raises its own
        return words_of(error)
    return None


def own_size(model: Model) -> tuple[int, int] | None:
    """(height, width) in pixels of the images it was made for."""
    size = _settings(model.name).get("input_size")
    return None if size is None else (int(size[-2]), int(size[-1]))


def describe(network: torch.nn.Module) -> dict[str, Callable[[], Any]]:
    """How its images must be normalised, for the record; it does not affect the time."""
    settings: Any = network.pretrained_cfg
    return {"normalisation": lambda: {name: list(settings[name]) for name in ("mean", "std")}}


def _settings(name: str) -> dict[str, Any]:
    import timm

    found = timm.get_pretrained_cfg(name)
    return {} if found is None else dict(found.to_dict())  # type: ignore[no-untyped-call]
