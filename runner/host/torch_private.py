"""Private interfaces of torch that can't be avoided. Read in torch 2.14.1.

Nothing public keeps a GPU busy for a time, walks nested tensors as torch does, reports the
streams of a pass, reports what torch.compile has compiled, isolates its disk cache for one
process, or tells beforehand whether it has a compiler and the CPU an instruction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = ["tree_leaves", "tree_map_only"]


def spin(cycles: int) -> None:
    """Queue so many cycles of the current GPU in which it does nothing."""
    torch.cuda._sleep(cycles)  # type: ignore[no-untyped-call]


def streams_of(forward: Callable[[], object]) -> set[int]:
    """Handles of the streams of the current GPU on which a pass runs its operators."""
    found: set[int] = set()

    class Looks(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, operator: Any, types: Any, arguments: Any = (), named: Any = None
        ) -> Any:
            found.add(torch.cuda.current_stream().cuda_stream)
            return operator(*arguments, **(named or {}))

    with Looks():  # type: ignore[no-untyped-call]
        forward()
    return found


def counters() -> Mapping[str, Mapping[str, int]]:
    """What torch.compile counts in this process: frames, graphs, breaks, hits of its cache."""
    from torch._dynamo.utils import counters as counted

    return counted


def forget_counts() -> None:
    """Count from zero again."""
    from torch._dynamo.utils import counters as counted

    counted.clear()


def cold_cache() -> AbstractContextManager[object]:
    """A cache of compiled code that is empty at first, while the context lasts."""
    from torch._inductor.utils import fresh_cache

    return fresh_cache()


def has_cpp_compiler() -> bool:
    """Whether torch.compile finds a C++ compiler."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True


def has_triton() -> bool:
    """Whether torch.compile can make code for the GPU."""
    from torch.utils._triton import has_triton as found

    return bool(found())


def has_fp16_kernels() -> bool:
    """Whether torch's kernels for this CPU compute in fp16."""
    return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
