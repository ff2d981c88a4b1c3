"""The operators and kernels of forward passes, as a call tree; taken apart from any timing.

Source: torch.profiler. Recording each operator slows a pass, so that its times are shares of a
profile and never latencies.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from runner.profiles.tree import Node, Profile

PASS = "runner::pass"
WARMUPS = 3  # passes before the profiled ones, compilation included
PASSES = 20
# the runtime's own calls, as cudaLaunchKernel; not operators, nor modules named custom or cuda.0
LIBRARY_CALL = re.compile(r"(cuda|cu|hip)[A-Z]\w*")
LAUNCHES = "Launch"  # part of the name of a call that launches


def profiled(
    forward: Callable[[], object],
    device: torch.device,
    network: torch.nn.Module | None = None,
    passes: int = PASSES,
) -> Profile:
    """The call tree of `passes` passes, each with its own times.

    The modules of a `network` that `forward` calls one by one stand in the tree with their paths.
    """
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with warnings.catch_warnings(), named_modules(network):
        warnings.simplefilter("ignore")
        for _ in range(WARMUPS):
            forward()
        _synchronize(device)
        with profile(activities=activities) as recorded:
            for _ in range(passes):
                with record_function(PASS):
                    forward()
                    _synchronize(device)
    roots = [one for one in recorded.events() if one.name == PASS and one.cpu_parent is None]
    return Profile(device.type, len(roots), _merged(roots))


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def named_modules(network: torch.nn.Module | None) -> Iterator[None]:
    """While open, the modules of a network name their part of a profile by their path.

    None, or a network whose modules are not called one by one, has no such names.
    """
    with ExitStack() as hooks:
        if network is not None and not isinstance(network, torch.jit.ScriptModule):
            for path, module in network.named_modules():
                if path:
                    _name(path, module, hooks)
        yield


def _name(path: str, module: torch.nn.Module, hooks: ExitStack) -> None:
    open_ones: list[Any] = []

    def enter(*_: object) -> None:
        open_ones.append(record_function(path))
        open_ones[-1].__enter__()

    def leave(*_: object) -> None:
        if open_ones:
            open_ones.pop().__exit__(None, None, None)

    hooks.callback(module.register_forward_pre_hook(enter).remove)
    hooks.callback(module.register_forward_hook(leave, always_call=True).remove)


def _merged(passes: list[Any]) -> Node:
    """The tree of several passes: siblings of one name are one node, with a time for each pass."""
    return _node(PASS, "scope", [[one] for one in passes])


def _node(name: str, kind: str, by_pass: list[list[Any]]) -> Node:
    """A node of the events of that name in each pass."""
    children: dict[str, list[list[Any]]] = defaultdict(lambda: [[] for _ in by_pass])
    kernels: dict[str, list[list[Any]]] = defaultdict(lambda: [[] for _ in by_pass])
    launches = 0
    for number, events in enumerate(by_pass):
        for event in events:
            for child in event.cpu_children:
                if LIBRARY_CALL.fullmatch(child.name):
                    launches += LAUNCHES in child.name
                    _add_kernels(child, kernels, number)
                else:
                    children[child.name][number].append(child)
            _add_kernels(event, kernels, number)
    own = [_node(child, _kind(events), events) for child, events in children.items()] + [
        _kernel(kernel, some) for kernel, some in kernels.items()
    ]
    count = len(by_pass)
    return Node(
        name=name,
        kind=kind,
        calls=sum(map(len, by_pass)) / count,
        launches=launches / count,
        cpu_us=[sum(_own_us(event) for event in events) for events in by_pass],
        gpu_us=[0.0] * count,
        children=own,
    )


def _add_kernels(event: Any, kernels: dict[str, list[list[Any]]], number: int) -> None:
    for kernel in event.kernels:
        kernels[kernel.name][number].append(kernel)


def _kernel(name: str, by_pass: list[list[Any]]) -> Node:
    count = len(by_pass)
    calls = sum(map(len, by_pass)) / count
    gpu_us = [float(sum(one.duration for one in some)) for some in by_pass]
    return Node(name, "kernel", calls, 0.0, [0.0] * count, gpu_us, [])


def _kind(by_pass: list[list[Any]]) -> str:
    event = next(event for events in by_pass for event in events)
    return "scope" if event.is_user_annotation else "operator"


def _own_us(event: Any) -> float:
    """The host time of an event outside its children; calls of the runtime are its own."""
    library = sum(
        child.cpu_time_total for child in event.cpu_children if LIBRARY_CALL.fullmatch(child.name)
    )
    return float(event.self_cpu_time_total + library)
