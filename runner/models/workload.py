"""What is timed: something that can be called, on its inputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

MOST_COPIES = 2**18  # in rotation: more tensors than that take memory and minutes to make


class ModelError(Exception):
    """The network can't be had; the message says what to do."""


@dataclass(frozen=True)
class Workload:
    """A network, or whatever else can be called, and its inputs; `forward()` runs it once.

    `describe` has a function for each fact that can be read back, as any of them may raise.
    """

    call: Callable[..., object]
    inputs: tuple[Any, ...]
    describe: Mapping[str, Callable[[], Any]]

    @property
    def own_bytes(self) -> int:
        """Memory that only the way of measuring asks for."""
        return 0

    def finite(self) -> bool:
        """Whether one pass gives finite numbers only."""
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors_of(self.forward()))

    def forward(self) -> object:
        """One forward pass; what it returns is the network's own output."""
        return self.call(*self.inputs)

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
        return Rotating(self.call, self.inputs, self.describe, next_inputs, one * len(others))


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
        return self.call(*next(self.next_inputs))


def _copy(value: Any) -> Any:
    return [item.clone() for item in value] if isinstance(value, list) else value.clone()


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
