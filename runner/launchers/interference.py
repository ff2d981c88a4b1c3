"""Measures whether parallel trials on one host slow each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from runner.contract import NotTimed, Status
from runner.host.devices import Devices
from runner.launchers.device_lock import held
from runner.launchers.gpus import pool_of
from runner.statistics.processes import Ratio, speed_up
from runner.trial.description import Input, Model, Runtime, Timing, Trial
from runner.worker import process

ROUNDS = 5  # each: one place alone, then all together
LITTLE = 1.02  # slow-down below which parallel timing counts as reliable
REFERENCE = Trial(
    model=Model("resnet18"),
    input=Input((224, 224), batch_size=1, frames=16, fill="randn"),
    timing=Timing(
        "wall", warmup=10, iterations=400, max_seconds=2.0, inner=1, target=None, cache="warm"
    ),
    runtime=Runtime(threads=None, cudnn_benchmark=False),
    device="cpu",
    repeat=0,
    seed=0,
)


@dataclass(frozen=True)
class Interference:
    """The reference's medians alone and in parallel, in `places` at once; `ratio` of the times."""

    places: int
    alone_ms: tuple[float, ...]
    together_ms: tuple[float, ...]
    ratio: Ratio

    @property
    def trusted(self) -> bool | None:
        """Whether parallel timing is reliable here; None if undecided."""
        low, high = self.ratio.ci or (0.0, float("inf"))
        if high < LITTLE:
            return True
        return False if low > LITTLE or self.ratio.value > 2 * LITTLE - 1 else None


def devices_here() -> Devices:
    """The devices torch can use, found in a process of its own."""
    return process.inspect([], "process").devices


def measure(
    count: int,
    device: str,
    devices: Devices,
    print_line: Callable[[str], object],
    rounds: int = ROUNDS,
) -> Interference:
    """Time the reference on one of `count` places alone, then on all at once, alternating.

    The `devices` are locked meanwhile; `print_line` reports for whom this waits.
    Raises NotTimed.
    """
    alone, together = list[float](), list[float]()
    names = {devices.identity(f"{device}:{number}") for number in range(count)}
    with held(names, "runner.doctor", "wait", print_line), pool_of(count, devices.uuids) as pool:
        _times(pool, count, device)  # every process has loaded torch now
        for _ in range(rounds):
            alone += _times(pool, 1, device)
            # one value for each time, as those of one time have the machine in common
            together.append(median(_times(pool, count, device)))
    ratio = speed_up(together, alone)
    return Interference(count, tuple(alone), tuple(together), ratio)


def _times(pool: ProcessPoolExecutor, count: int, device: str) -> Sequence[float]:
    return list(pool.map(reference_ms, [device] * count))


def reference_ms(device: str) -> float:
    """The median of the reference in milliseconds, on the place that this process holds.

    Raises NotTimed.
    """
    outcome = process.run(replace(REFERENCE, device=device), "process", Path(os.devnull))
    if outcome.status != Status.COMPLETED:
        raise NotTimed((outcome.error or {}).get("message", outcome.status))
    return median(outcome.latency_ms)
