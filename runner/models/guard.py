"""Is the output still right? Compares the timed network with the same one in fp32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from runner.contract import ModelError
from runner.models.workload import tensors_of


@dataclass(frozen=True)
class Agreement:
    """The difference of an output from its reference.

    `rel_error` is the norm of their difference in units of the reference's, over all its floating
    numbers; `top1` the share of a batch with the same best class, where there are classes.
    """

    rel_error: float
    top1: float | None = None


def agreement(output: object, reference: object, classes: bool) -> Agreement:
    """Compare the tensors of two outputs. Raises ModelError if they are not comparable.

    `classes`: the first tensor is (batch, classes).
    """
    ours, theirs = tensors_of(output), tensors_of(reference)
    shapes = [[tuple(tensor.shape) for tensor in each] for each in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise ModelError(
            f"the output's shapes differ from those in fp32: {_shown(shapes[0])} against "
            f"{_shown(shapes[1])}"
        )
    pairs = [
        (_plain(a), _plain(b))
        for a, b in zip(ours, theirs, strict=True)
        if b.is_floating_point() and b.numel()
    ]
    if not pairs:
        raise ModelError("the output has no floating-point numbers to compare")
    difference = sum(float((a - b).square().sum()) for a, b in pairs)
    norm = sum(float(b.square().sum()) for _, b in pairs)
    if not math.isfinite(difference) or not math.isfinite(norm):
        raise ModelError("the output, or its fp32 reference, contains NaN or infinity")
    if norm == 0 and difference > 0:
        raise ModelError("the fp32 reference is zero, and this output is not")
    top1 = None
    if classes and pairs[0][1].dim() == 2:
        best = [each.argmax(dim=1) for each in pairs[0]]
        top1 = float((best[0] == best[1]).double().mean())
    return Agreement((difference / norm) ** 0.5 if norm else 0.0, top1)


def denormal_share(value: object) -> float | None:
    """The share of denormal numbers, which are many times slower on a CPU.

    Counts floating-point tensors on the CPU; None without any.
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
    """Whether all numbers are finite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors_of(output))


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", torch.float64)


def _shown(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in shapes[:4]) or "none"
