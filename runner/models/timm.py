"""Source of networks: timm's models, by name: `model=timm model.name=convnext_tiny`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import URLError

import torch

from runner.contract import ModelError, Problem
from runner.trial.description import Model, Trial
from runner.trial.rules import missing_package

PRETRAINED = "DEFAULT"  # the word for a model's own trained weights, as torchvision has it


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
            "leave model.weights out for random ones"
        ) from error
    return made


def problems(trial: Trial) -> Iterator[Problem]:
    """Why timm does not have the model."""
    model = trial.model
    try:
        import timm
    except ImportError:
        yield missing_package("model", "model=timm", "timm")
        return
    if not timm.is_model(model.name):
        near = difflib.get_close_matches(model.name.partition(".")[0], timm.list_models(), n=5)
        hint = f"near it: {', '.join(near)}" if near else "timm.list_models() lists them"
        yield Problem("model.name", f"model.name is {model.name}, which timm does not have", hint)
    elif model.weights not in (None, PRETRAINED):
        remedy = f"{PRETRAINED}, or null for random ones; a tag goes into the name, as in NAME.TAG"
        yield Problem("model.weights", f"model.weights is {model.weights}", f"expected {remedy}")


def own_size(model: Model) -> tuple[int, int] | None:
    """(height, width) in pixels of the images it was made for."""
    size = _settings(model.name).get("input_size")
    return None if size is None else (int(size[-2]), int(size[-1]))


def describe(network: torch.nn.Module) -> dict[str, Callable[[], Any]]:
    """How images must be normalised for it; it makes no difference to the time."""
    settings: Any = network.pretrained_cfg
    return {"normalisation": lambda: {name: list(settings[name]) for name in ("mean", "std")}}


def _settings(name: str) -> dict[str, Any]:
    import timm

    found = timm.get_pretrained_cfg(name)
    return {} if found is None else dict(found.to_dict())  # type: ignore[no-untyped-call]
