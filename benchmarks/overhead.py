"""What measuring itself costs: per sample, for each timing method.

    python benchmarks/overhead.py

Three figures. `in the sample` is what a method reports for a pass that does nothing, on this
CPU: what it adds to every number. `around it` is the host's time per sample of the loop and
the method's own Python, on a device that answers at once. `error` is what a method reports
for the simulated device beyond what it should by its definition: launch and kernels for wall
and event, kernels only for queued, pipelined and graph. Medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import nullcontext

import torch
from processes import machine, print_table

from runner.measure.loop import measure
from runner.measure.simulated import SimulatedDevice
from runner.measure.torch_device import TorchDevice
from runner.trial.description import Timing
from runner.trial.methods import METHODS

SIMULATED_MS = {"queued": 40.0, "pipelined": 40.0, "graph": 40.0}


class InstantEvent:
    """A mark that is passed at once."""

    def record(self) -> None:
        pass

    def query(self) -> bool:
        return False  # still busy, so that `queued` takes the sample

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, _end: InstantEvent) -> float:
        return 1.0


class InstantDevice:
    """A device that answers at once, with the real host clock."""

    now_ns = staticmethod(time.perf_counter_ns)

    def synchronize(self) -> None:
        pass

    def event(self) -> InstantEvent:
        return InstantEvent()

    def occupy(self, busy_ms: float) -> None:
        pass

    def capture(self, forward):
        return forward

    def selected(self):
        return nullcontext()


def nothing() -> None:
    pass


def timing(method: str, iterations: int) -> Timing:
    return Timing(method, 0, iterations, None, inner=1, target=None, cache="warm")


def around_us(method: str, samples: int) -> float:
    """Host microseconds per sample on a device that answers at once."""
    device = InstantDevice()
    began = time.perf_counter()
    measure(nothing, device, timing(method, samples))
    whole_s = time.perf_counter() - began
    began = time.perf_counter()
    measure(nothing, device, timing(method, 1))
    return (whole_s - (time.perf_counter() - began)) / samples * 1e6


def in_sample_us(method: str, samples: int) -> float:
    """What the method reports for a pass that does nothing, on this CPU."""
    measured = measure(nothing, TorchDevice(torch.device("cpu")), timing(method, samples))
    return 1000 * statistics.median(measured.latency_ms)


def error_ms(method: str) -> float:
    """What the method reports for the simulated device beyond its definition."""
    device = SimulatedDevice(enqueue_ms=8, kernel_ms=40, launches=160)
    true_ms = SIMULATED_MS.get(method, 8.0 if method == "naive" else device.latency_ms)
    measured = measure(device.forward, device, timing(method, 5))
    return statistics.median(measured.latency_ms) - true_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    around: dict[str, list[float]] = {method: [] for method in METHODS}
    inside: dict[str, list[float]] = {m: [] for m in METHODS if "cpu" in METHODS[m].devices}
    for _ in range(chosen.rounds):
        for method in METHODS:
            around[method].append(around_us(method, chosen.samples))
            if method in inside:
                inside[method].append(in_sample_us(method, chosen.samples))
    print_table(
        ["method", "in the sample, us", "around it, us", "error on the simulated device, ms"],
        [
            [
                method,
                f"{statistics.median(inside[method]):.2f}" if method in inside else "-",
                f"{statistics.median(around[method]):.2f}",
                f"{error_ms(method):.6f}",
            ]
            for method in METHODS
        ],
    )
    print(f"\n{chosen.samples} samples, {chosen.rounds} rounds; {machine()}")


if __name__ == "__main__":
    main()
