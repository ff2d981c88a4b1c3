"""Every oracle that needs a GPU, the article's table, and the peers, in one run.

    python benchmarks/gpu.py --output benchmarks/gpu-h200.md

Writes the article's table and then each figure, as it comes, with what it must be; an oracle
that fails does not keep the others from running. Exits with 1 when a figure is not met.
tests/test_on_a_gpu.py runs the same oracles as tests.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision

from runner.measure.launch import launch_cost
from runner.measure.loop import measure
from runner.measure.torch_device import TorchDevice
from runner.trial.description import Timing

ROOT = Path(__file__).resolve().parents[1]
CYCLES = 20_000_000  # of torch.cuda._sleep: about 10 ms
ROUNDS = 5  # of what is compared, in turn
BACKBONE = {"fasterrcnn_resnet50_fpn": {"weights_backbone": None}}  # else it is downloaded
Forward = Callable[[], object]


class NotHere(Exception):
    """An oracle needs something that this machine lacks; the message says what."""


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
    """At a large batch, where no gaps are left, three ways must agree: in turn, as ratios."""
    from triton.testing import do_bench_cudagraph

    forward = resnet50(32)
    queued, graph, peer = [], [], []
    for _ in range(ROUNDS):
        queued.append(median_ms(forward, "queued", iterations=20))
        graph.append(median_ms(forward, "graph", iterations=20))
        with torch.inference_mode():
            peer.append(do_bench_cudagraph(forward, rep=300, return_mode="median"))
    yield Figure("resnet50 640px b32, queued", statistics.median(queued), "ms")
    yield Figure("graph to queued", ratio(graph, queued), "", 0.98, 1.02)
    yield Figure("triton do_bench_cudagraph to queued", ratio(peer, queued), "", 0.98, 1.02)


def event_and_wall() -> Iterator[Figure]:
    """Two clocks, one truth: at 10 ms and more the sync overhead does not count."""
    forward = resnet50(8)
    event, wall = [], []
    for _ in range(ROUNDS):
        event.append(median_ms(forward, "event", iterations=30))
        wall.append(median_ms(forward, "wall", iterations=30))
    yield Figure("resnet50 640px b8, event", statistics.median(event), "ms", 5.0)
    # the two medians are of different passes, so noise may put the shorter one above the other
    yield Figure("event to wall", ratio(event, wall), "", 0.99, 1.005)


def timer() -> Iterator[Figure]:
    """What torch's own Timer says of the same network in the same process."""
    from torch.utils.benchmark import Timer

    forward = resnet50(8)
    theirs, ours = [], []
    with torch.inference_mode():
        timer = Timer(
            "forward()", globals={"forward": forward}, num_threads=torch.get_num_threads()
        )
        for _ in range(ROUNDS):
            theirs.append(timer.timeit(30).median * 1000)
            ours.append(synced_ms(forward))
    yield Figure("torch.utils.benchmark Timer to pipelined", ratio(theirs, ours), "", 0.98, 1.02)


def triton() -> Iterator[Figure]:
    """What Triton's do_bench says, which flushes the cache before each pass."""
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        raise NotHere("Triton compiles its driver with a C compiler, and there is none")
    from triton.testing import do_bench

    forward = resnet50(8)
    theirs, ours = [], []
    for _ in range(ROUNDS):
        with torch.inference_mode():
            theirs.append(do_bench(forward, warmup=100, rep=300, return_mode="median"))
        ours.append(median_ms(forward, "event", cache="flush", iterations=30))
    yield Figure("triton do_bench to event, cache flushed", ratio(theirs, ours), "", 0.97, 1.03)


def ratio(one: list[float], other: list[float]) -> float:
    """Median of the ratios of what was measured in turn."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


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
    if chain.queued_ms is None or batch.queued_ms is None:
        raise RuntimeError(f"not queued: {chain.why_not_queued or batch.why_not_queued}")
    yield Figure("300 tiny kernels, event to queued", chain.event_ms / chain.queued_ms, "", 1.05)
    yield Figure("300 tiny kernels, enqueue to queued", chain.enqueue_ms / chain.queued_ms, "", 0.8)
    yield Figure("resnet50 b32, event to queued", batch.event_ms / batch.queued_ms, "", 0.98, 1.05)
    yield Figure(
        "resnet50 b32, enqueue to queued", batch.enqueue_ms / batch.queued_ms, "", None, 0.8
    )


def unqueued() -> Iterator[Figure]:
    """Networks that can't be queued are told soon, by the launch probe: it once spun for hours."""
    device = TorchDevice(torch.device("cuda"))
    names = {"fasterrcnn_resnet50_fpn": 640, "swin_v2_b": 256}
    for name, size in names.items():
        network = torchvision.models.get_model(name, weights=None, **BACKBONE.get(name, {}))
        network = network.eval().cuda()
        image = torch.rand(3, size, size, device="cuda")
        images = [image] if name in BACKBONE else image[None]

        def forward(network=network, images=images) -> object:
            return network(images)

        with torch.inference_mode():
            forward()
            torch.cuda.synchronize()
            began = time.perf_counter()
            cost = launch_cost(forward, device)
            spent_s = time.perf_counter() - began
        yield Figure(f"launch probe of {name}", spent_s, "s", None, 2.0)
        queued = "can't be queued" if cost.queued_ms is None else f"{cost.queued_ms:.3g} ms queued"
        yield Figure(f"{name} ({queued}), launch", cost.enqueue_ms, "ms")


def small_things() -> Iterator[Figure]:
    """One tiny kernel: inner passes resolve what a single sample can't."""
    value = torch.zeros(16, device="cuda")
    single = median_ms(lambda: value + 1, "event", inner=1)
    several = median_ms(lambda: value + 1, "event")
    yield Figure("tiny kernel by single samples", 1000 * single, "us")
    yield Figure("tiny kernel by inner passes", 1000 * several, "us", None, 1000 * single)


ORACLES = (
    ladder,
    without_gaps,
    event_and_wall,
    timer,
    triton,
    host_bound,
    unqueued,
    small_things,
)


def article() -> Iterator[list[str]]:
    """The article's rows and the other methods, through the whole program."""
    with tempfile.TemporaryDirectory() as folder:
        for number, arguments in enumerate(
            (
                ["sweep=methods", "device=cuda"],
                ["model=resnet50", "timing.method=wall,queued,pipelined,graph", "device=cuda"],
            )
        ):
            command = [sys.executable, "-m", "runner", *arguments, "tracking=off"]
            subprocess.run(
                [*command, f"sweep.id={number}"],
                cwd=folder,
                check=False,  # a trial that failed has its row, too
                stdout=subprocess.DEVNULL,
            )
            records = [
                json.loads(path.read_text())
                for path in Path(folder).glob(f"outputs/{number}/*/record.json")
            ]
            yield from map(row, sorted(records, key=lambda record: record["started_at"]))


def row(record: dict) -> list[str]:
    summary, timing = record["summary"], record["trial"]["timing"]
    figures = [summary.get(name) for name in ("mean_ms", "p50_ms", "fps")]
    figures[2] = figures[2] or summary.get("img_s")
    reasons = " ".join(reason["code"] for reason in record["reasons"])
    error = record["error"]["message"] if record["error"] else reasons
    return [
        timing["method"],
        str(timing["warmup"]),
        *("-" if figure is None else f"{figure:.2f}" for figure in figures),
        f"{record['verdict'] or record['status']} {error}".strip(),
    ]


def rows_of(oracle: Callable[[], Iterator[Figure]]) -> Iterator[tuple[list[str], bool]]:
    """Its figures as they come, and whether each is met; an oracle that fails is a row as well."""
    try:
        for figure in oracle():
            least, most = ("" if end is None else end for end in (figure.least, figure.most))
            span, value = f"{least} to {most}".strip(), f"{figure.value:.4g} {figure.unit}".strip()
            yield [figure.name, value, span, "yes" if figure.met else "NO"], figure.met
    except NotHere as missing:
        yield [oracle.__name__, f"skipped: {missing}", "", "-"], True
    except Exception as error:
        traceback.print_exc()
        yield [oracle.__name__, f"{type(error).__name__}: {error}".split("\n")[0], "", "NO"], False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, help="Markdown file to write (printed as well)")
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch sees no NVIDIA GPU here; these oracles need one")
    if chosen.output:
        chosen.output.write_text("")

    def tell(*lines: str) -> None:
        print(*lines, sep="\n", flush=True)
        if chosen.output:
            with chosen.output.open("a") as file:
                print(*lines, sep="\n", file=file)

    tell(
        f"# On a GPU, {datetime.date.today().isoformat()}",
        "",
        "resnet50, 1x3x640x640, 100 iterations, through `python -m runner`:",
        "",
        *head("method", "warm-up", "mean ms", "p50 ms", "FPS", "verdict"),
    )
    for row in article():  # first, as this process holds no context on the GPU yet
        tell(line(row))
    tell(
        "",
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}, "
        f"Python {sys.version.split()[0]}",
        "",
        *head("oracle", "figure", "must be", "met"),
    )
    all_met = True
    for oracle in ORACLES:
        for row, met in rows_of(oracle):
            tell(line(row))
            all_met &= met
    return int(not all_met)


def head(*names: str) -> list[str]:
    return [line(list(names)), line(["---"] * len(names))]


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
