"""The same work by others: what each reports, and how long one waits for it.

    python benchmarks/peers.py --rounds 3

resnet50 at 224, batches of 1, 2, 4 and 8, 10 warm-ups and 20 iterations, by a plain loop, by
optimum-benchmark (isolated and inline), by timm's own loop (that of its benchmark.py: inference
mode, the host's clock around each step) and by runner. optimum-benchmark gets an environment of
its own, laid over this one, as it needs an older transformers. The sides run in turn; prints
latency, wall time and CPU time as ratios to the plain loop's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from processes import RUNNER, Cost, cost_of, machine, print_table

PEERS = ("optimum-benchmark", "transformers<5")
BATCHES, WARMUP, ITERATIONS = (1, 2, 4, 8), 10, 20
LOOP = f"""
import json, statistics, sys, time, torch
if sys.argv[1] == "timm":
    import timm
    network = timm.create_model("resnet50").eval()
else:
    import torchvision
    network = torchvision.models.resnet50(weights=None).eval()
torch.set_num_threads(int(sys.argv[2]))
found = {{}}
with torch.inference_mode():
    for batch in {BATCHES}:
        images, taken = torch.randn(batch, 3, 224, 224), []
        for count in range({WARMUP + ITERATIONS}):
            start = time.perf_counter()
            network(images)
            if count >= {WARMUP}:
                taken.append(1000 * (time.perf_counter() - start))
        found[batch] = statistics.median(taken)
print(json.dumps(found))
"""
OPTIMUM = f"""
import json, sys
from optimum_benchmark import (
    Benchmark, BenchmarkConfig, InferenceConfig, InlineConfig, ProcessConfig, PyTorchConfig,
)
def main():
    found = {{}}
    for batch in {BATCHES}:
        shapes = {{"batch_size": batch, "num_channels": 3, "height": 224, "width": 224}}
        report = Benchmark.launch(BenchmarkConfig(
            name="peer",
            launcher=ProcessConfig() if sys.argv[1] == "isolated" else InlineConfig(),
            scenario=InferenceConfig(
                iterations={ITERATIONS}, duration=0, warmup_runs={WARMUP}, input_shapes=shapes
            ),
            backend=PyTorchConfig(
                model="resnet50", library="timm", model_type="resnet50", device="cpu",
                task="image-classification",
            ),
        ))
        found[batch] = 1000 * report.forward.latency.p50
    print(json.dumps(found))
if __name__ == "__main__":
    main()
"""


def environment(folder: Path) -> str:
    """The interpreter of a new environment that has optimum-benchmark, and all that is here."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    where = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    own = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True)
    (Path(own.stdout.strip()) / "below.pth").write_text(sysconfig.get_paths()["purelib"])
    subprocess.run([python, "-m", "pip", "install", "-q", *PEERS], check=True)
    return python


def sides(folder: Path, threads: int) -> dict[str, list[str]]:
    """The command of each side; each but runner prints its latencies as its last line."""
    (folder / "loop.py").write_text(LOOP)
    (folder / "peer.py").write_text(OPTIMUM)
    # told by the variable, as a second session of one process can't be told otherwise
    other = ["env", f"OMP_NUM_THREADS={threads}", environment(folder / "environment"), "peer.py"]
    return {
        "plain loop": [sys.executable, "loop.py", "plain", f"{threads}"],
        "runner": [
            *(*RUNNER, "model=resnet50", "input.size=224", f"runtime.threads={threads}"),
            f"input.batch_size={','.join(map(str, BATCHES))}",
            *(f"timing.warmup={WARMUP}", f"timing.iterations={ITERATIONS}", "device=cpu"),
        ],
        "timm's loop": [sys.executable, "loop.py", "timm", f"{threads}"],
        "optimum-benchmark, inline": [*other, "inline"],
        "optimum-benchmark, isolated": [*other, "isolated"],
    }


def latencies_ms(name: str, cost: Cost, folder: Path) -> dict[int, float]:
    """What a side reports, by batch size."""
    if name != "runner":
        return {int(batch): ms for batch, ms in json.loads(cost.output.splitlines()[-1]).items()}
    paths = sorted(folder.glob("outputs/*/sweep.json"), key=lambda path: path.stat().st_mtime)
    records = [json.loads(path.read_text()) for path in paths[-1].parent.glob("*/record.json")]
    return {one["trial"]["input"]["batch_size"]: one["summary"]["p50_ms"] for one in records}


def rows_of(taken: dict[str, list[tuple[Cost, dict[int, float]]]]) -> Iterator[list[str]]:
    """Medians over the rounds of each side's ratios to the plain loop of its round."""
    plain = taken["plain loop"]
    for name, rounds in taken.items():
        pairs = list(zip(rounds, plain, strict=True))
        ratios = [
            statistics.median(own[1][batch] / base[1][batch] for own, base in pairs)
            for batch in BATCHES
        ]
        wall = statistics.median(own[0].wall_s / base[0].wall_s for own, base in pairs)
        cpu = statistics.median(own[0].cpu_s / base[0].cpu_s for own, base in pairs)
        seconds = statistics.median(own[0].wall_s for own, _ in pairs)
        cells = [f"{value:.2f}" for value in (*ratios, wall, cpu)]
        yield [name, *cells, f"{seconds:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = sides(folder, chosen.threads)
        taken: dict[str, list[tuple[Cost, dict[int, float]]]] = {side: [] for side in commands}
        for _ in range(chosen.rounds):
            for side, command in commands.items():
                cost = cost_of(command, folder)
                taken[side].append((cost, latencies_ms(side, cost, folder)))
        versions = [sys.executable, "-m", "pip", "list", "--format=freeze"]
        there = subprocess.run(
            [commands["optimum-benchmark, inline"][2], *versions[1:]],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    print_table(
        ["", *(f"latency b{batch}" for batch in BATCHES), "wall", "CPU", "wall s"],
        list(rows_of(taken)),
    )
    names = ("optimum-benchmark=", "transformers=", "timm=")
    print(", ".join(line for line in there.splitlines() if line.startswith(names)))
    print(
        f"ratios to the plain loop, {chosen.rounds} rounds, {chosen.threads} threads; {machine()}"
    )


if __name__ == "__main__":
    main()
