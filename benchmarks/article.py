"""Time a network as the article does, in one plain script: the yardstick for runner.

    python benchmarks/article.py --size 640 --iterations 100 --method wall

Prints one line of JSON: latency in ms (median, mean, p25, min), closed-loop FPS and,
on a CPU, the median CPU time of an iteration. Imports nothing of runner.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
import torchvision

Iteration = Callable[[], float]


def naive(forward: Callable[[], object], _device: torch.device) -> Iteration:
    """Host clock around the call, no synchronization: launch times on a GPU."""

    def latency_ms() -> float:
        start_ns = time.perf_counter_ns()
        forward()
        return (time.perf_counter_ns() - start_ns) / 1e6

    return latency_ms


def wall(forward: Callable[[], object], device: torch.device) -> Iteration:
    """Host clock around the call, the GPU idle before and after."""
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None

    def latency_ms() -> float:
        synchronize()
        start_ns = time.perf_counter_ns()
        forward()
        synchronize()
        return (time.perf_counter_ns() - start_ns) / 1e6

    return latency_ms


def event(forward: Callable[[], object], _device: torch.device) -> Iteration:
    """CUDA events around the call, synchronized in each iteration."""

    def latency_ms() -> float:
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        start.record()
        forward()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end)

    return latency_ms


METHODS = {"naive": naive, "wall": wall, "event": event}


def parsed_arguments() -> argparse.Namespace:
    """The command line; refuses events without a GPU."""
    usage, _, rest = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=usage, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    gpu = torch.cuda.is_available()
    parser.add_argument("--model", default="resnet50", help="a name in torchvision.models")
    parser.add_argument("--size", type=int, default=640, help="pixels, both sides")
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--warmup", type=int, default=20)
    parser.add_argument("--method", choices=METHODS, default="event" if gpu else "wall")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if gpu else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads of torch; its own choice if none")
    arguments = parser.parse_args()
    if arguments.device == "cpu" and arguments.method == "event":
        parser.error("a cpu has no events; use --method wall")
    return arguments


def main() -> None:
    arguments = parsed_arguments()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    model = torchvision.models.get_model(arguments.model, weights=None).eval().to(device)
    images = torch.randn(1, 3, arguments.size, arguments.size, device=device)
    iterate = METHODS[arguments.method](lambda: model(images), device)

    latency_ms, cpu_ms = [], []
    with torch.inference_mode():
        for _ in range(arguments.warmup):
            iterate()
        for _ in range(arguments.iterations):
            cpu_start_ns = time.process_time_ns()
            latency_ms.append(iterate())
            cpu_ms.append((time.process_time_ns() - cpu_start_ns) / 1e6)

    result = {
        "median_ms": statistics.median(latency_ms),
        "mean_ms": statistics.fmean(latency_ms),
        "p25_ms": statistics.quantiles(latency_ms, n=4, method="inclusive")[0],
        "min_ms": min(latency_ms),
        "fps": 1000 / statistics.fmean(latency_ms),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cpu":
        result["cpu_median_ms"] = statistics.median(cpu_ms)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
