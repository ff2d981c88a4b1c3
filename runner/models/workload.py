"""What is timed: a callable and its inputs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
import torch

from runner.contract import ModelError
from runner.host.raised import first_cause, text_of
from runner.host.torch_private import tree_leaves, tree_map_only

MAX_COPIES = 2**18  # in rotation: more tensors take too much memory and minutes to create


@dataclass(frozen=True)
class Workload:
    """A network, or any other callable, and its inputs; `forward()` runs it once.

    `describe` has a function for each property that can be read back; any of them may raise.
    `reference` computes the output of the same network in eager fp32, if that may differ;
    `setup_s` has the seconds of each preparation step; `cost` counts its operations.
    """

    call: Callable[..., object]
    inputs: tuple[Any, ...]
    describe: Mapping[str, Callable[[], Any]]
    reference: Callable[[], object] | None = None
    setup_s: Mapping[str, float] = field(default_factory=dict)
    cost: Callable[[], Any] | None = None

    @property
    def own_bytes(self) -> int:
        """Bytes of memory that only measuring needs."""
        return 0

    def forward(self) -> object:
        """One forward pass; returns the network's own output."""
        return self.call(*self.inputs)

    def batched(self, most: int, size: int) -> list[tuple[Any, ...]]:
        """The inputs of 1, 2, ... `most` queries together; those of one have `size` images.

        Raises ModelError for inputs whose first dimension is not the batch.
        """
        if most == 1:
            return [self.inputs]
        if isinstance(self.inputs[0], list):  # a detector's images
            return [([*self.inputs[0]] * queries,) for queries in range(1, most + 1)]

        def repeated(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.dim() == 0 or len(tensor) != size:
                raise ModelError(
                    f"load.max_batch needs inputs that begin with the batch of {size}, but one has "
                    f"the shape {list(tensor.shape)}; use load.max_batch=1"
                )
            return torch.cat([tensor] * most)

        largest = converted(self.inputs, repeated)  # of which the others are views
        ends = range(size, most * size + 1, size)
        return [converted(largest, itemgetter(slice(end))) for end in ends]

    def rotated(self, cache_bytes: int) -> Rotating:
        """The same network on copies of its inputs, in turn, that exceed `cache_bytes` in all.

        Raises ModelError for inputs so small that there would be too many.
        """
        one = sum(tensor.nbytes for tensor in tensors_of(self.inputs))
        copies = cache_bytes // max(one, 1) + 2
        if copies > MAX_COPIES:
            raise ModelError(
                f"timing.cache=rotate would need {copies} copies of inputs of {one} bytes (at most "
                f"{MAX_COPIES}); take a larger input.size or batch, or timing.cache=flush"
            )
        others = [converted(self.inputs, torch.Tensor.clone) for _ in range(copies - 1)]
        next_inputs = itertools.cycle([self.inputs, *others])
        return Rotating(
            self.call,
            self.inputs,
            self.describe,
            self.reference,
            self.setup_s,
            self.cost,
            next_inputs=next_inputs,
            copied_bytes=one * len(others),
        )


@dataclass(frozen=True, kw_only=True)
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


def innermost(error: BaseException) -> str:
    """The original cause of an error in one line; converters wrap it in pages of text."""
    error = first_cause(error)
    text = re.sub("\x1b\\[[0-9;]*m", "", text_of(error)).strip()  # without colours
    return f"{type(error).__name__}: {text.partition(chr(10))[0]}"


def converted(value: Any, convert: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same nested structure with every tensor converted."""
    return tree_map_only(torch.Tensor, convert, value)


def tensors_of(value: object) -> list[torch.Tensor]:
    """All tensors in the inputs or the output of a network, however nested."""
    leaves = tree_leaves(value)
    if any(isinstance(leaf, Mapping) for leaf in leaves):  # a dictionary of a special class
        leaves = [list(leaf.values()) if isinstance(leaf, Mapping) else leaf for leaf in leaves]
        return tensors_of(leaves)
    arrays = (torch.from_numpy(one) if isinstance(one, np.ndarray) else one for one in leaves)
    return [leaf for leaf in arrays if isinstance(leaf, torch.Tensor)]


def named(names: Sequence[str], inputs: tuple[Any, ...]) -> list[tuple[str, torch.Tensor]]:
    """The tensors by the input names of a file: keywords by name, others in order.

    Raises ModelError for unknown keywords or another number of tensors.
    """
    keywords = inputs[0] if isinstance(inputs[0], dict) else {}
    if keywords and set(keywords) == set(names):
        return list(keywords.items())
    tensors = tensors_of(inputs)
    plain = all(isinstance(value, torch.Tensor) for value in keywords.values())
    if len(tensors) != len(names) or (keywords and plain):
        given = ", ".join(keywords) or f"{len(tensors)} tensors"
        raise ModelError(f"the network takes {', '.join(names)}, but is given {given}")
    return list(zip(names, tensors, strict=True))


def on_stream(
    run: Callable[..., object], stream: torch.cuda.Stream, device: torch.device
) -> Callable[..., object]:
    """Make `run`, which launches its work on `stream`, part of torch's current stream.

    It runs after the work queued there and before what follows; it returns once launched.
    """
    before, after = torch.cuda.Event(), torch.cuda.Event()  # type: ignore[no-untyped-call]

    def queued(*inputs: object) -> object:
        current = torch.cuda.current_stream(device)
        before.record(current)
        stream.wait_event(before)
        output = run(*inputs)
        after.record(stream)
        current.wait_event(after)
        return output

    return queued


def shapes(inputs: object) -> list[list[int]]:
    """Shape of every tensor, however nested."""
    return [list(tensor.shape) for tensor in tensors_of(inputs)]


def dtypes_of(value: object) -> str | None:
    """`float32`, or several with commas; None without a tensor."""
    names = (str(tensor.dtype).removeprefix("torch.") for tensor in tensors_of(value))
    return ", ".join(dict.fromkeys(names)) or None
