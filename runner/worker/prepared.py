"""Everything that timing a trial needs: its workload, its device, and what watches them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.trial.description import Trial

if TYPE_CHECKING:
    from runner.host.cpu import CpuWatch
    from runner.host.gpu import GpuWatch
    from runner.measure.torch_device import TorchDevice
    from runner.models.workload import Workload
    from runner.pipelines.request import Requests

ROTATED_CACHES = 5  # inputs in rotation exceed the last-level cache so many times
COMPILING_CALLS = 3  # modes with CUDA graphs warm up and record in the later ones


@dataclass(frozen=True)
class Prepared:
    """Everything needed to time a trial: workload, device, watchers.

    With pipeline=e2e also its `requests`; `batched` has the inputs of 1, 2, ... queries together.
    """

    trial: Trial
    workload: Workload
    device: TorchDevice
    setup_s: dict[str, float]
    cpu: CpuWatch
    gpu: GpuWatch | None
    requests: Requests | None
    batched: Sequence[tuple[Any, ...]]
    compilations: list[int] = field(default_factory=list)

    def answer(self, queries: int = 1) -> object:
        """What is timed: one pass, or the answer to so many queries together."""
        if self.requests is not None:
            return self.requests.answer(queries)
        if len(self.batched) == 1:
            return self.workload.forward()
        return self.workload.call(*self.batched[queries - 1])

    def look(self) -> None:
        """Read all counters, between two blocks of the timed part."""
        self.cpu.look()
        if self.gpu is not None:
            self.gpu.look()
        if self.trial.runtime.compile != "off":
            from runner.models.compiled import compilations

            self.compilations.append(compilations())

    def wait(self, turn: Callable[[], None]) -> None:
        """Wait for a turn, which is no part of any block."""
        turn()
        self.cpu.look(after_pause=True)


def prepare(trial: Trial, device: TorchDevice, started: float) -> Prepared:
    """Build the network and its inputs, and start the watchers."""
    import torch

    from runner.host.cpu import CpuWatch
    from runner.host.gpu import GpuWatch, torch_uuid
    from runner.measure.torch_device import cache_bytes
    from runner.models.sources import build

    at = torch.device(trial.device)
    workload = build(trial, at)
    if trial.timing.cache == "rotate":
        workload = workload.rotated(ROTATED_CACHES * cache_bytes(at))
    requests = None
    if trial.is_e2e:
        from runner.pipelines.request import Requests

        requests = Requests(trial, workload, at)
        batched = [workload.inputs]
    else:
        batched = workload.batched(trial.load.max_batch, trial.input.batch_size)
    device.synchronize()
    setup_s = dict(workload.setup_s)
    setup_s["build_s"] = time.perf_counter() - started - sum(setup_s.values())
    if trial.runtime.compile != "off":
        started = time.perf_counter()
        for _ in range(COMPILING_CALLS):
            workload.forward()
        device.synchronize()
        setup_s["compile_s"] = time.perf_counter() - started
    cpu = CpuWatch(threads_of(trial, torch.get_num_threads()))
    gpu = None
    if at.type == "cuda":
        gpu = GpuWatch(torch_uuid(torch.cuda.get_device_properties(at)))
    device.reset_peak_memory()
    return Prepared(trial, workload, device, setup_s, cpu, gpu, requests, batched)


def threads_of(trial: Trial, each: int) -> int:
    """How many threads compute at once, if torch uses `each` for one pass on a CPU."""
    # one thread launches work on a GPU
    threads = (each if trial.device_kind == "cpu" else 1) * trial.load.instances
    workers = trial.pipeline.workers
    return threads + workers if trial.pipeline.overlap else max(threads, workers)
