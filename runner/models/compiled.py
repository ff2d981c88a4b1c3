"""A network compiled by torch.compile, and the compiler's counters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from runner.contract import Problem
from runner.host import torch_private
from runner.trial.description import Trial


def compiled(network: torch.nn.Module, mode: str) -> Callable[..., object]:
    """The network, compiled at its first call; resets the counters."""
    made: Callable[..., object] = torch.compile(network, mode=mode)
    return made


def problems(trial: Trial) -> Iterator[Problem]:
    """Problems of torch.compile on this machine: a missing compiler."""
    key, asked = "runtime.compile", f"runtime.compile={trial.runtime.compile}"
    if trial.device_kind == "cpu" and not torch_private.has_cpp_compiler():
        found = f"{asked} needs a C++ compiler, and none is installed"
        yield Problem(
            key, found, "install g++, name another one in CXX, or use runtime.compile=off"
        )
    elif trial.device_kind == "cuda" and not torch_private.has_triton():
        found = f"{asked} needs Triton and a supported GPU, and one of them is missing"
        yield Problem(key, found, "pip install triton, or use runtime.compile=off")


def compilations() -> int:
    """Number of frames compiled so far."""
    return int(torch_private.counters()["frames"]["ok"])


def facts() -> dict[str, Callable[[], Any]]:
    """Results of compiling: frames, graph breaks by reason, and cache hits."""
    counters = torch_private.counters()

    def cache() -> dict[str, int]:
        found = counters["inductor"]
        return {name: found[f"fxgraph_cache_{name}"] for name in ("hit", "miss", "bypass")}

    return {
        "graph_breaks": lambda: sum(counters["graph_break"].values()),
        "graphs": lambda: int(counters["stats"]["unique_graphs"]),
        "compile_cache": lambda: cache() | {"warm": cache()["hit"] > 0 and not cache()["miss"]},
    }
