"""Source of networks: torchvision's models, by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from urllib.error import URLError

import torch
import torchvision

from runner.contract import ModelError, Problem
from runner.trial.description import Model, Trial


def network(trial: Trial) -> torch.nn.Module:
    """The model with its weights. Raises ModelError for weights that can't be downloaded."""
    model = trial.model
    try:
        made: torch.nn.Module = torchvision.models.get_model(
            model.name, weights=model.weights, **_builder_arguments(trial)
        )
    except (URLError, TimeoutError) as error:
        raise ModelError(
            f"weights {model.weights} of {model.name} could not be downloaded ({error}); "
            f"put the file into {torch.hub.get_dir()}/checkpoints, or omit model.weights "
            "for random ones"
        ) from error
    return made


def problems(trial: Trial) -> Iterator[Problem]:
    """Problems of arguments and weights, found without building the network."""
    model = trial.model
    if model.kwargs:
        yield from _unknown_arguments(model)
    if model.weights is not None:
        names = list(torchvision.models.get_model_weights(model.name).__members__)
        if model.weights not in names:
            yield Problem(
                "model.weights",
                f"model.weights is {model.weights}",
                f"{model.name} has {', '.join(names)}, or null for random weights",
            )


def _builder_arguments(trial: Trial) -> dict[str, Any]:
    model, (height, width) = trial.model, trial.input.pixels
    arguments: dict[str, Any] = {}
    if model.size_argument == "image_size":
        arguments["image_size"] = height
    elif model.size_argument == "input_size":
        arguments["input_size"] = (height, width)
    if model.task == "quantized":
        arguments["quantize"] = True
    if model.task in ("detection", "segmentation") and model.weights is None:
        arguments["weights_backbone"] = None  # otherwise the backbone's weights are downloaded
    if model.task == "detection" and not model.name.startswith("ssd"):
        # otherwise its own transform scales every image to about 800 pixels
        arguments |= {"min_size": min(height, width), "max_size": max(height, width)}
    return arguments | model.kwargs


def _unknown_arguments(model: Model) -> Iterator[Problem]:
    """Why torchvision's builder refuses model.kwargs, found on the meta device."""
    try:
        with torch.device("meta"):
            torchvision.models.get_model(model.name, weights=None, **_without_weights(model))
    except TypeError as error:
        yield Problem(
            "model.kwargs",
            f"model.kwargs are {model.kwargs}, which {model.name} does not take ({error})",
            "omit them, or sweep models that take them",
        )
    except Exception as error:  # limits of the meta device, not of the arguments
        print(f"model.kwargs of {model.name} not tried: {error}", file=sys.stderr)


def _without_weights(model: Model) -> dict[str, Any]:
    backbone = model.task in ("detection", "segmentation")
    return ({"weights_backbone": None} if backbone else {}) | model.kwargs
