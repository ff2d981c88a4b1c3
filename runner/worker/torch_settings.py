"""torch's settings for a trial, set before its network is built and restored after it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from runner.host import torch_private
from runner.host.cpu import usable_cpus
from runner.trial.description import Runtime

# cuBLAS needs it before its first call, or refuses to be deterministic
DETERMINISTIC_CUBLAS = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


@contextmanager
def in_force(runtime: Runtime) -> Iterator[None]:
    """Apply `runtime` to torch; restored afterwards, because isolation=none runs more trials."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    threads, tf32 = torch.get_num_threads(), (matmul.allow_tf32, cudnn.allow_tf32)
    before = (cudnn.benchmark, cudnn.deterministic)
    deterministic = torch.are_deterministic_algorithms_enabled()
    with ExitStack() as stack:
        try:
            torch.set_num_threads(runtime.threads or min(threads, usable_cpus()))
            if runtime.interop_threads is not None:
                torch.set_num_interop_threads(runtime.interop_threads)
            # torch's fp32 convolutions are TF32 by default; fp32 here means fp32
            matmul.allow_tf32 = cudnn.allow_tf32 = runtime.precision == "tf32"
            cudnn.benchmark = runtime.cudnn_benchmark
            if runtime.deterministic:
                os.environ.update(DETERMINISTIC_CUBLAS)
                torch.use_deterministic_algorithms(True)
                cudnn.deterministic = True
            if runtime.compile != "off":
                _compiler(runtime, stack)
            yield
        finally:
            torch.set_num_threads(threads)
            matmul.allow_tf32, cudnn.allow_tf32 = tf32
            cudnn.benchmark, cudnn.deterministic = before
            torch.use_deterministic_algorithms(deterministic)


def _compiler(runtime: Runtime, stack: ExitStack) -> None:
    """A compiler without state of this process, and with a cold cache without any."""
    torch.compiler.reset()
    torch_private.forget_counts()
    if runtime.compile_cache == "cold":
        stack.enter_context(torch_private.cold_cache())
