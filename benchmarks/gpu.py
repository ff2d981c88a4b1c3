"""Every oracle that needs a GPU, the article's table, and the peers, in one run.

    python benchmarks/gpu.py --output benchmarks/gpu-h200.md

Writes a dated Markdown table of each figure with what it must be. Exits with 1 when one is
not met. tests/test_gpu.py runs the same oracles as tests.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision

from runner.measure.loop import launch_cost, measure
from runner.measure.torch_device import TorchDevice
from runner.trial import Timing

ROOT = Path(__file__).resolve().parents[1]
CYCLES = 20_000_000  # of torch.cuda._sleep: about 10 ms
Forward = Callable[[], object]


@dataclass(frozen=True)
class Figure:
    """One figure, and the range in which it must lie (None: told only)."""

    name: str
    value: float
    unit: str = ""
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool:
        """Whether it lies in its range."""
        above = self.least is None or self.value >= self.least
        return above and (self.most is None or self.value <= self.most)


def times_ms(forward: Forward, method: str, iterations: int = 50, **changes) -> tuple[float, ...]:
    """Samples of a forward pass, by a method of runner."""
    values = {"inner": None, "target": None, "cache": "warm"} | changes
    timing = Timing(method, 20, iterations, None, **values)
    with torch.inference_mode():
        return measure(forward, TorchDevice(torch.device("cuda")), timing).latency_ms


def median_ms(forward: Forward, method: str, **changes) -> float:
    return statistics.median(times_ms(forward, method, **changes))


def resnet50(batch_size: int, size: int = 640) -> Forward:
    """The article's network, on the GPU."""
    torch.manual_seed(0)
    network = torchvision.models.resnet50(weights=None).eval().cuda()
    images = torch.randn(batch_size, 3, size, size, device="cuda")
    return lambda: network(images)


def tiny_kernels() -> Forward:
    """A chain of 300 kernels, each far shorter than its launch."""
    value = torch.zeros(16, device="cuda")

    def forward() -> torch.Tensor:
        result = value
        for _ in range(300):
            result = result + 1
        return result

    return forward


def ladder() -> Iterator[Figure]:
    """Device work of 1, 2 and 4 units must take 1, 2 and 4 times as long."""
    medians = [
        median_ms(lambda cycles=factor * CYCLES: torch.cuda._sleep(cycles), "event")
        for factor in (1, 2, 4)
    ]
    yield Figure("sleep ladder, 2 to 1", medians[1] / medians[0], "", 1.98, 2.02)
    yield Figure("sleep ladder, 4 to 1", medians[2] / medians[0], "", 3.96, 4.04)
    intercept = 2 * medians[0] - medians[1]
    yield Figure("sleep ladder, intercept", intercept / medians[0], "of 1", -0.02, 0.02)


def without_gaps() -> Iterator[Figure]:
    """At a large batch, where no gaps are left, three ways must agree."""
    from triton.testing import do_bench_cudagraph

    forward = resnet50(32)
    queued = median_ms(forward, "queued")
    yield Figure("resnet50 640px b32, queued", queued, "ms")
    yield Figure("graph to queued", median_ms(forward, "graph") / queued, "", 0.98, 1.02)
    with torch.inference_mode():
        peer = do_bench_cudagraph(forward, rep=500, return_mode="median")
    yield Figure("triton do_bench_cudagraph to queued", peer / queued, "", 0.98, 1.02)


def event_and_wall() -> Iterator[Figure]:
    """Two clocks, one truth: at 10 ms and more the sync overhead does not count."""
    forward = resnet50(8)
    event, wall = [], []
    for _ in range(5):
        event.append(median_ms(forward, "event", iterations=30))
        wall.append(median_ms(forward, "wall", iterations=30))
    ratio = statistics.median(a / b for a, b in zip(event, wall, strict=True))
    yield Figure("resnet50 640px b8, event", statistics.median(event), "ms", 5.0)
    yield Figure("event to wall", ratio, "", 0.99, 1.0)


def peers() -> Iterator[Figure]:
    """What others say of the same network in the same process."""
    from torch.utils.benchmark import Timer
    from triton.testing import do_bench

    forward = resnet50(8)
    with torch.inference_mode():
        timer_ratios = []
        for _ in range(5):
            timer = Timer(
                "forward()", globals={"forward": forward}, num_threads=torch.get_num_threads()
            )
            pipelined_ms = timer.timeit(30).median * 1000
            timer_ratios.append(pipelined_ms / synced_ms(forward))
        flushed = do_bench(forward, warmup=200, rep=1000, return_mode="median")
    yield Figure(
        "torch.utils.benchmark Timer to pipelined", statistics.median(timer_ratios), "", 0.98, 1.02
    )
    ours = median_ms(forward, "event", cache="flush")
    yield Figure("triton do_bench to event, cache flushed", flushed / ours, "", 0.97, 1.03)


def synced_ms(forward: Forward) -> float:
    """Time for a pass by the synced clock, as throughput is counted."""
    timing = Timing("pipelined", 5, 30, None, inner=None, target=None, cache="warm")
    return measure(forward, TorchDevice(torch.device("cuda")), timing).synced_ms or float("nan")


def host_bound() -> Iterator[Figure]:
    """Tiny kernels wait for the host, a large batch does not."""
    device = TorchDevice(torch.device("cuda"))
    with torch.inference_mode():
        tiny, large = tiny_kernels(), resnet50(32)
        for forward in (tiny, large):
            forward()
        chain, batch = launch_cost(tiny, device), launch_cost(large, device)
    yield Figure("300 tiny kernels, event to queued", chain.event_ms / chain.queued_ms, "", 1.05)
    yield Figure("300 tiny kernels, enqueue to queued", chain.enqueue_ms / chain.queued_ms, "", 0.8)
    yield Figure("resnet50 b32, event to queued", batch.event_ms / batch.queued_ms, "", 0.98, 1.05)
    yield Figure(
        "resnet50 b32, enqueue to queued", batch.enqueue_ms / batch.queued_ms, "", None, 0.8
    )


def small_things() -> Iterator[Figure]:
    """One tiny kernel: inner passes resolve what a single sample can't."""
    value = torch.zeros(16, device="cuda")
    single = median_ms(lambda: value + 1, "event", inner=1)
    several = median_ms(lambda: value + 1, "event")
    yield Figure("tiny kernel by single samples", 1000 * single, "us")
    yield Figure("tiny kernel by inner passes", 1000 * several, "us", None, 1000 * single)


ORACLES = (ladder, without_gaps, event_and_wall, peers, host_bound, small_things)


def article() -> list[list[str]]:
    """The article's rows and the other methods, through the whole program."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for arguments in (
            ["sweep=methods", "device=cuda"],
            ["model=resnet50", "timing.method=wall,queued,pipelined,graph", "device=cuda"],
        ):
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "runner",
                    *arguments,
                    "tracking=off",
                    f"sweep.id={len(rows)}",
                ],
                cwd=folder,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            records = [
                json.loads(path.read_text())
                for path in Path(folder).glob(f"outputs/{len(rows)}/*/record.json")
            ]
            rows += [_row(record) for record in sorted(records, key=lambda r: r["started_at"])]
    return rows


def _row(record: dict) -> list[str]:
    summary, timing = record["summary"], record["trial"]["timing"]
    figures = [summary["mean_ms"], summary["p50_ms"], summary["fps"] or summary["img_s"]]
    reasons = " ".join(reason["code"] for reason in record["reasons"])
    return [
        timing["method"],
        str(timing["warmup"]),
        *("-" if figure is None else f"{figure:.2f}" for figure in figures),
        f"{record['verdict']} {reasons}".strip(),
    ]


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, help="Markdown file to write (printed as well)")
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch sees no NVIDIA GPU here; these oracles need one")
    figures = [figure for oracle in ORACLES for figure in oracle()]
    spans = [
        [
            figure.name,
            f"{figure.value:.4g} {figure.unit}".strip(),
            f"{'' if figure.least is None else figure.least} to "
            f"{'' if figure.most is None else figure.most}".strip(),
            "yes" if figure.met else "NO",
        ]
        for figure in figures
    ]
    text = (
        f"# On a GPU, {datetime.date.today().isoformat()}\n\n"
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}, "
        f"Python {sys.version.split()[0]}\n\n"
        + table(["oracle", "figure", "must be", "met"], spans)
        + "\nresnet50, 1x3x640x640, 100 iterations, through `python -m runner`:\n\n"
        + table(["method", "warm-up", "mean ms", "p50 ms", "FPS", "verdict"], article())
    )
    print(text)
    if chosen.output:
        chosen.output.write_text(text)
    return int(not all(figure.met for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
