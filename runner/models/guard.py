"""Is the output still right? A network as it was timed against itself in fp32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from runner.contract import ModelError
from runner.models.workload import tensors_of


@dataclass(frozen=True)
class Agreement:
    """How far an output is from its reference.

    `rel_error` is the norm of their difference in units of the reference's, over all its floating
    numbers; `top1` the share of a batch with the same best class, where there are classes.
    """

    rel_error: float
    top1: float | None = None


def agreement(output: object, reference: object, classes: bool) -> Agreement:
    """Compare the tensors of two outputs. Raises ModelError where they can't be.

    `classes`: the first tensor is (batch, classes).
    """
    ours, theirs = tensors_of(output), tensors_of(reference)
    shapes = [[tuple(tensor.shape) for tensor in each] for each in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise ModelError(
            f"the output has other shapes than that in fp32: {_shown(shapes[0])} against "
            f"{_shown(shapes[1])}"
        )
    pairs = [
        (_plain(a), _plain(b))
        for a, b in zip(ours, theirs, strict=True)
        if b.is_floating_point() and b.numel()
    ]
    if not pairs:
        raise ModelError("there are no floating numbers in the output to compare")
    difference = sum(float((a - b).square().sum()) for a, b in pairs)
    norm = sum(float(b.square().sum()) for _, b in pairs)
    if not math.isfinite(difference) or not math.isfinite(norm):
        raise ModelError("the output, or that in fp32, holds NaN or infinity: no error tells more")
    if norm == 0 and difference > 0:
        raise ModelError("the output in fp32 is zero, and this one is not")
    top1 = None
    if classes and pairs[0][1].dim() == 2:
        best = [each.argmax(dim=1) for each in pairs[0]]
        top1 = float((best[0] == best[1]).double().mean())
    return Agreement((difference / norm) ** 0.5 if norm else 0.0, top1)


def denormal_share(value: object) -> float | None:
    """The share of numbers so small that a CPU takes many times as long for them.

    Of floating tensors on the CPU; None where there are none.
    """
    small = total = 0
    for tensor in tensors_of(value):
        if tensor.is_floating_point() and tensor.device.type == "cpu" and tensor.numel():
            size = tensor.detach().abs()
            least = torch.finfo(tensor.dtype).smallest_normal
            small += int(((size > 0) & (size < least)).sum())
            total += tensor.numel()
    return small / total if total else None


def finite(output: object) -> bool:
    """Whether there are finite numbers only."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors_of(output))


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", torch.float64)


def _shown(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in shapes[:4]) or "none"
