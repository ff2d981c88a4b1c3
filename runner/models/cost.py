"""The cost of a forward pass by the network's shape: FLOPs, parameters, bytes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from runner.contract import ModelError
from runner.models.workload import converted


@dataclass(frozen=True)
class Cost:
    """Cost of one pass over the batch: `gflop`, 10^9 floating operations (a multiply-add is 2).

    Those of matrix products and convolutions, as torch's FlopCounterMode counts them, which are
    nearly all of a CNN's; `weights_mib` with the buffers.
    """

    gflop: float
    parameters: int
    weights_mib: float


def cost_of(network: torch.nn.Module, inputs: tuple[Any, ...]) -> Cost:
    """Count on the meta device, which computes nothing; if that fails, by a real pass.

    Raises ModelError for a network without countable operations, such as an int8 one.
    """
    if not (flop := _flop(network, inputs)):
        raise ModelError("it has no matrix product or convolution that torch can count")
    sizes = [tensor.nbytes for tensor in (*network.parameters(), *network.buffers())]
    count = sum(parameter.numel() for parameter in network.parameters())
    return Cost(flop / 1e9, count, sum(sizes) / 2**20)


def _flop(network: torch.nn.Module, inputs: tuple[Any, ...]) -> int:
    with torch.no_grad(), _every_product_seen():
        try:
            shape_only = copy.deepcopy(network).to("meta")
            return _counted(shape_only, converted(inputs, lambda tensor: tensor.to("meta")))
        except Exception:  # data-dependent networks raise many kinds there
            return _counted(network, inputs)


def _counted(network: torch.nn.Module, inputs: tuple[Any, ...]) -> int:
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    return int(counter.get_total_flops())


@contextmanager
def _every_product_seen() -> Iterator[None]:
    """Attention by its parts: the counter does not see its fast path."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
