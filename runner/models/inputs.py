"""The batch that a forward pass gets, by the task of its model."""

from __future__ import annotations

from typing import Any

import torch

from runner.trial.description import Trial


def inputs_of(trial: Trial, device: torch.device) -> tuple[Any, ...]:
    """What the network is called with, on the device, seeded by `trial.seed`."""
    torch.manual_seed(trial.seed)
    return tuple(_to(device, value) for value in _made(trial))


def _made(trial: Trial) -> tuple[Any, ...]:
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


def _to(device: torch.device, value: Any) -> Any:
    return [item.to(device) for item in value] if isinstance(value, list) else value.to(device)
