"""From a trial to something that can be called: the network and its inputs."""

from __future__ import annotations

import importlib
import inspect
import itertools
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError

import torch
import torchvision

from runner.trial import Model, Trial

MOST_COPIES = 2**18  # in rotation: more tensors than that take memory and minutes to make


class ModelError(Exception):
    """The network can't be had; the message says what to do."""


@dataclass(frozen=True)
class Workload:
    """A network in eval mode and its inputs, both on the device; `forward()` runs it once."""

    network: torch.nn.Module
    inputs: tuple[Any, ...]

    @property
    def own_bytes(self) -> int:
        """Memory that only the way of measuring asks for."""
        return 0

    def forward(self) -> object:
        """One forward pass; what it returns is the network's own output."""
        return self.network(*self.inputs)

    def rotated(self, cache_bytes: int) -> Rotating:
        """The same network on copies of its inputs, in turn, that exceed `cache_bytes` in all.

        Raises ModelError for inputs so small that there would be too many.
        """
        one = sum(tensor.nbytes for tensor in tensors_of(self.inputs))
        copies = cache_bytes // max(one, 1) + 2
        if copies > MOST_COPIES:
            raise ModelError(
                f"timing.cache=rotate would need {copies} copies of inputs of {one} bytes (at most "
                f"{MOST_COPIES}); take a larger input.size or batch, or timing.cache=flush"
            )
        others = [tuple(map(_copy, self.inputs)) for _ in range(copies - 1)]
        next_inputs = itertools.cycle([self.inputs, *others])
        return Rotating(self.network, self.inputs, next_inputs, one * len(others))


@dataclass(frozen=True)
class Rotating(Workload):
    """A workload whose every pass gets the next of its inputs."""

    next_inputs: Iterator[tuple[Any, ...]]
    copied_bytes: int

    @property
    def own_bytes(self) -> int:
        """Memory of the copies."""
        return self.copied_bytes

    def forward(self) -> object:
        """One forward pass on the next inputs."""
        return self.network(*next(self.next_inputs))


def build(trial: Trial, device: torch.device) -> Workload:
    """The trial's network in eval mode and its inputs, seeded by `trial.seed`.

    Raises ModelError when the network can't be made, its weights can't be had, or a part of it
    stays in training mode.
    """
    torch.manual_seed(trial.seed)
    network = _network(trial).eval().to(device)
    if training := training_parts(network):
        raise ModelError(
            f"the network is in training mode ({', '.join(training[:3])}) after eval(); "
            "its eval() must reach every part"
        )
    torch.manual_seed(trial.seed)
    return Workload(network, tuple(_to(device, value) for value in _inputs(trial)))


def _network(trial: Trial) -> torch.nn.Module:
    model = trial.model
    if model.target is not None:
        network = load_target(model.target)(**model.kwargs)
        if not isinstance(network, torch.nn.Module):
            raise ModelError(
                f"{model.target} returned a {type(network).__name__}; expected a torch.nn.Module"
            )
        return network
    try:
        made: torch.nn.Module = torchvision.models.get_model(
            model.name, weights=model.weights, **_builder_arguments(trial)
        )
    except (URLError, TimeoutError) as error:
        raise ModelError(
            f"weights {model.weights} of {model.name} could not be downloaded ({error}); "
            f"put the file into {torch.hub.get_dir()}/checkpoints, or leave model.weights out "
            "for random ones"
        ) from error
    return made


def _builder_arguments(trial: Trial) -> dict[str, Any]:
    model, (height, width) = trial.model, trial.input.size
    arguments: dict[str, Any] = {}
    if model.size_argument == "image_size":
        arguments["image_size"] = height
    elif model.size_argument == "input_size":
        arguments["input_size"] = (height, width)
    if model.task == "quantized":
        arguments["quantize"] = True
    if model.task in ("detection", "segmentation") and model.weights is None:
        arguments["weights_backbone"] = None  # else the backbone's are downloaded
    if model.task == "detection" and not model.name.startswith("ssd"):
        # otherwise its own transform scales every image to about 800 pixels
        arguments |= {"min_size": min(height, width), "max_size": max(height, width)}
    return arguments | model.kwargs


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


def problems(models: Iterable[Model]) -> list[str]:
    """What is wrong with targets and weights, found without building a network."""
    found: list[str] = []
    for model in models:
        if model.target is not None:
            try:
                found += _uncallable(load_target(model.target), model)
            except ModelError as error:
                found.append(str(error))
        elif model.kwargs:
            found += _unknown_arguments(model)
        if model.target is None and model.weights is not None:
            names = list(torchvision.models.get_model_weights(model.name).__members__)
            if model.weights not in names:
                found.append(
                    f"model.weights is {model.weights}; {model.name} has {', '.join(names)}, "
                    "or null for random weights"
                )
    return found


def _uncallable(made_by: Callable[..., object], model: Model) -> Iterator[str]:
    """Why a callable can't be called with model.kwargs, by its signature."""
    try:
        inspect.signature(made_by).bind(**model.kwargs)
    except TypeError as error:
        yield (
            f"model.target={model.target} can't be called with model.kwargs={model.kwargs}: "
            f"{error}; it takes {inspect.signature(made_by)}"
        )
    except ValueError:
        return  # a callable of C has no signature to be read


def _unknown_arguments(model: Model) -> Iterator[str]:
    """Why torchvision's builder refuses model.kwargs, found without memory for its weights."""
    try:
        with torch.device("meta"):
            torchvision.models.get_model(model.name, weights=None, **_without_weights(model))
    except TypeError as error:
        yield (
            f"model.kwargs are {model.kwargs}, which {model.name} does not take ({error}); "
            "leave them out, or sweep over models that take them"
        )
    except Exception as error:  # what else the meta device can't do is no fault of the arguments
        print(f"model.kwargs of {model.name} not tried: {error}", file=sys.stderr)


def _without_weights(model: Model) -> dict[str, Any]:
    backbone = model.task in ("detection", "segmentation")
    return ({"weights_backbone": None} if backbone else {}) | model.kwargs


def _inputs(trial: Trial) -> tuple[Any, ...]:
    batch_size, (height, width) = trial.input.batch_size, trial.input.size
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
    """A tensor of the asked-for fill; random values are normal, or `unit` from 0 to 1."""
    match trial.input.fill:
        case "zeros":
            return torch.zeros(shape)
        case "ones":
            return torch.ones(shape)
        case _:
            return torch.rand(shape) if unit else torch.randn(shape)


def _copy(value: Any) -> Any:
    return [item.clone() for item in value] if isinstance(value, list) else value.clone()


def _to(device: torch.device, value: Any) -> Any:
    return [item.to(device) for item in value] if isinstance(value, list) else value.to(device)


def shapes(inputs: tuple[Any, ...]) -> list[list[int]]:
    """Shape of every input tensor, lists flattened."""
    tensors = (t for value in inputs for t in (value if isinstance(value, list) else [value]))
    return [list(tensor.shape) for tensor in tensors]


def tensors_of(output: object) -> list[torch.Tensor]:
    """All tensors in a network's output: tensor, list, tuple or dict of them."""
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (list, tuple)):
        return [tensor for item in output for tensor in tensors_of(item)]
    return []


def training_parts(network: torch.nn.Module) -> list[str]:
    """Names of the parts of a network that are in training mode."""
    return [name or "itself" for name, part in network.named_modules() if part.training]


def _scaled(transform: object, size: tuple[int, int]) -> list[int]:
    """(height, width) to which a detector's transform scales images of `size` before its network.

    As torchvision's GeneralizedRCNNTransform does; `size` itself without such a transform.
    """
    fixed = getattr(transform, "fixed_size", None)  # of an SSD: (width, height)
    if fixed:
        return [fixed[1], fixed[0]]
    least, most = getattr(transform, "min_size", None), getattr(transform, "max_size", None)
    if not isinstance(least, (tuple, list)) or not isinstance(most, int):
        return list(size)
    factor = min(least[-1] / min(size), most / max(size))
    return [math.floor(side * factor) for side in size]


def effective_settings(
    workload: Workload, device: torch.device, timed_size: tuple[int, int]
) -> dict[str, Callable[[], Any]]:
    """What really was in force, read back from torch and the network; not what was asked for.

    As functions, since any of them may raise for a network of the user's.
    """
    network, cuda = workload.network, device.type == "cuda"

    def dtype() -> str | None:
        first = next(network.parameters(), None)
        return str(first.dtype).removeprefix("torch.") if first is not None else None

    def channels_last() -> bool:
        first = next(network.parameters(), None)
        return (
            first is not None
            and first.dim() == 4
            and first.is_contiguous(memory_format=torch.channels_last)
            and not first.is_contiguous()
        )

    def network_size() -> list[int]:
        return _scaled(getattr(network, "transform", None), timed_size)

    def on_cuda(read: Callable[[], Any]) -> Callable[[], Any]:
        return read if cuda else lambda: None

    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return {
        "device": lambda: str(device),
        "device_name": on_cuda(lambda: torch.cuda.get_device_name(device)),
        "dtype": dtype,
        "channels_last": channels_last,
        "parameters": lambda: sum(parameter.numel() for parameter in network.parameters()),
        "input_shapes": lambda: shapes(workload.inputs),
        "network_size": network_size,
        "eval": lambda: not training_parts(network),
        "inference_mode": torch.is_inference_mode_enabled,
        "threads": torch.get_num_threads,
        "interop_threads": torch.get_num_interop_threads,
        # allow_tf32 raises once a network has set these newer ones; they know of it
        "tf32_matmul": on_cuda(lambda: matmul.fp32_precision == "tf32"),
        "tf32_cudnn": on_cuda(lambda: cudnn.conv.fp32_precision == "tf32"),  # type: ignore[attr-defined]
        "cudnn_enabled": on_cuda(lambda: cudnn.enabled),
        "cudnn_benchmark": on_cuda(lambda: cudnn.benchmark),
        "cudnn_deterministic": on_cuda(lambda: cudnn.deterministic),
        "deterministic": torch.are_deterministic_algorithms_enabled,
    }
