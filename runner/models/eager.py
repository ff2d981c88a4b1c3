"""A torch.nn.Module as it is: in eval mode, on its device, what it really is read back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from runner.models.workload import ModelError, Workload, shapes


def eager(
    network: torch.nn.Module, inputs: tuple[Any, ...], device: torch.device, size: tuple[int, int]
) -> Workload:
    """The network in eval mode as a workload, for inputs of `size` (height, width).

    Raises ModelError when a part of it stays in training mode.
    """
    network = network.eval().to(device)
    if training := training_parts(network):
        raise ModelError(
            f"the network is in training mode ({', '.join(training[:3])}) after eval(); "
            "its eval() must reach every part"
        )
    return Workload(
        network, inputs, _facts(network, size) | {"input_shapes": lambda: shapes(inputs)}
    )


def _facts(network: torch.nn.Module, size: tuple[int, int]) -> dict[str, Callable[[], Any]]:
    """What the network really is, read back; not what was asked for."""

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

    return {
        "dtype": dtype,
        "channels_last": channels_last,
        "parameters": lambda: sum(parameter.numel() for parameter in network.parameters()),
        "network_size": lambda: _scaled(getattr(network, "transform", None), size),
        "eval": lambda: not training_parts(network),
    }


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
