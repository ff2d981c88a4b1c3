"""The few operators whose result decides what a program does next, computed by the CPU.

The memory of a fake GPU is the host's, so each of them first runs as torch has it, with all its
kernels, and then has its result written over what those left. torch finds `register` by its entry
point for devices from other packages, in every process that imports it.
"""

from __future__ import annotations

import ctypes
import sys
import warnings
from collections.abc import Callable
from typing import Any

AS_TORCH_HAS_THEM = [
    "aten::fill_.Scalar", "aten::fill_.Tensor", "aten::isfinite",
    "aten::all", "aten::all.dim", "aten::any", "aten::any.dim",
    "aten::sort", "aten::sort.stable", "aten::topk", "aten::cat",
]  # fmt: skip
# the last layer of a classifier: zeros, not what recycled memory holds, which may be no number
ZEROS = ["aten::addmm", "aten::mm", "aten::bmm"]
# their result's shape depends on data: they wait for the device, as torch's own do
WAITING = [
    "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive",
    "repeat_interleave.Tensor",
]  # fmt: skip
kept: list[Any] = []  # a library's kernels go with it


def register() -> None:
    """Put them in the place of torch's own, for CUDA."""
    import torch

    def on_host(value: Any) -> Any:
        """The same memory, as a tensor of the CPU; likewise of lists."""
        if isinstance(value, (list, tuple)):
            return [on_host(part) for part in value]
        if not isinstance(value, torch.Tensor) or value.device.type != "cuda":
            return value
        if value.numel() == 0:
            return torch.empty(value.shape, dtype=value.dtype)
        storage = value.untyped_storage()
        memory = (ctypes.c_byte * storage.nbytes()).from_address(storage.data_ptr())
        whole = torch.frombuffer(
            memory, dtype=value.dtype, count=storage.nbytes() // value.element_size()
        )
        return whole.as_strided(value.shape, value.stride(), value.storage_offset())

    def computed(name: str) -> Callable[..., Any]:
        kernel = torch.library.get_kernel(name, "CUDA")
        packet, _, overload = name.partition("::")[2].partition(".")
        operator = getattr(getattr(torch.ops.aten, packet), overload or "default")

        def run(keys: Any, *arguments: Any, **named: Any) -> Any:
            left = kernel.call_boxed(keys, *arguments, **named)
            if not torch.cuda.is_current_stream_capturing():  # then nothing is to run yet
                named = {key: on_host(value) for key, value in named.items()}
                results = operator(*map(on_host, arguments), **named)
                one = isinstance(left, torch.Tensor)
                for into, result in [(left, results)] if one else zip(left, results, strict=True):
                    on_host(into).copy_(result)
            return left

        return run

    copy = torch.library.get_kernel("aten::copy_", "CUDA")

    def copied(keys: Any, into: Any, source: Any, non_blocking: bool = False) -> Any:
        with_torchvision()
        copy.call_boxed(keys, into, source, non_blocking)
        on_gpus = into.device.type == source.device.type == "cuda"  # else bytes were moved
        if on_gpus and not torch.cuda.is_current_stream_capturing():
            on_host(into).copy_(on_host(source))
        return into

    def moved(result: Any, device: Any) -> Any:
        if isinstance(result, tuple):
            return tuple(moved(part, device) for part in result)
        return result.to(device)

    def waiting(name: str) -> Callable[..., Any]:
        packet, _, overload = name.partition(".")
        operator = getattr(getattr(torch.ops.aten, packet), overload or "default")

        def run(value: Any, *arguments: Any, **named: Any) -> Any:
            torch.cuda._sleep(1)
            torch.cuda.current_stream().synchronize()
            named = {key: on_host(given) for key, given in named.items()}
            return moved(operator(on_host(value), *map(on_host, arguments), **named), value.device)

        return run

    def nms(boxes: Any, scores: Any, threshold: float) -> Any:
        torch.cuda._sleep(1)
        torch.cuda.current_stream().synchronize()
        suppress = torch.ops.torchvision.nms
        return suppress(on_host(boxes), on_host(scores), threshold).to(boxes.device)

    def zeroed(name: str) -> Callable[..., Any]:
        kernel = torch.library.get_kernel(name, "CUDA")

        def run(keys: Any, *arguments: Any, **named: Any) -> Any:
            left = kernel.call_boxed(keys, *arguments, **named)
            on_host(left).zero_()
            return left

        return run

    def with_torchvision() -> None:
        """Once a program has imported it, which takes a second."""
        if "torchvision" not in libraries and hasattr(sys.modules.get("torchvision"), "ops"):
            libraries["torchvision"] = torch.library.Library("torchvision", "IMPL")
            put("torchvision::nms", nms)

    libraries = {"aten": torch.library.Library("aten", "IMPL")}

    def put(name: str, function: Callable[..., Any], **options: Any) -> None:
        library, _, operator = name.partition("::")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it takes the place of torch's
            libraries[library].impl(operator, function, "CUDA", **options)

    for name in AS_TORCH_HAS_THEM:
        put(name, computed(name), with_keyset=True)
    for name in ZEROS:
        put(name, zeroed(name), with_keyset=True)
    put("aten::copy_", copied, with_keyset=True)
    for name in WAITING:
        put(f"aten::{name}", waiting(name))
    kept.append(libraries)
