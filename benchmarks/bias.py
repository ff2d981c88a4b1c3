"""Whether runner reports the latency that the article's plain script measures.

    python benchmarks/bias.py --model resnet18 --size 128 --threads 1 --pairs 8

Runs article.py and `python -m runner` in turn and compares what they report: latency by
the wall clock (median, p25, minimum) and, on a CPU, the median CPU time of a forward
pass. On a shared machine other people's work is in the wall clock, and through caches and
sibling cores in the CPU time too; p25 and the minimum stand it best. Prints the ratios,
runner to article, by pair and their median. Goal: within 2 %.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path

from processes import ARTICLE, ROOT, RUNNER, cost_of, machine, print_table

GOAL = 0.02
WARMUP = 20


def article_ms(chosen: argparse.Namespace, folder: Path) -> dict[str, float]:
    """What article.py reports."""
    command = [
        *ARTICLE,
        f"--model={chosen.model}",
        f"--size={chosen.size}",
        f"--iterations={chosen.iterations}",
        f"--warmup={WARMUP}",
        f"--method={chosen.method}",
        f"--device={chosen.device}",
        f"--threads={chosen.threads}",
    ]
    result = json.loads(cost_of(command, folder).output)
    wall_ms = {"median": result["median_ms"], "p25": result["p25_ms"], "min": result["min_ms"]}
    if chosen.device == "cpu":
        return {"CPU median": result["cpu_median_ms"]} | wall_ms
    return wall_ms


def runner_ms(chosen: argparse.Namespace, folder: Path, sweep_id: str) -> dict[str, float]:
    """What runner writes into its record; on a CPU its network notes its CPU times, too."""
    log = folder / f"{sweep_id}.txt"
    model = [f"model={chosen.model}"]
    if chosen.device == "cpu":
        kwargs = f"{{name: {chosen.model}, log: {log.name}}}"
        model = ["model=custom", "model.target=cpu_timed.make", f"+model.kwargs={kwargs}"]
    command = [
        *RUNNER,
        *model,
        f"input.size={chosen.size}",
        f"timing.iterations={chosen.iterations}",
        f"timing.warmup={WARMUP}",
        f"timing.method={chosen.method}",
        f"device={chosen.device}",
        f"runtime.threads={chosen.threads}",
        f"sweep.id={sweep_id}",
    ]
    cost_of(command, folder)
    (path,) = (folder / "outputs" / sweep_id).glob("*/record.json")
    summary = json.loads(path.read_text())["summary"]
    wall_ms = {"median": summary["p50_ms"], "p25": summary["p25_ms"], "min": summary["min_ms"]}
    if chosen.device == "cpu":
        cpu_ms = [float(line) for line in log.read_text().split()]
        timed_ms = cpu_ms[WARMUP : WARMUP + chosen.iterations]  # one more call checks the output
        return {"CPU median": statistics.median(timed_ms)} | wall_ms
    return wall_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--method", choices=("naive", "wall", "event"), default="wall")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=8)
    chosen = parser.parse_args()

    pairs = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(ROOT / "benchmarks" / "cpu_timed.py", folder)
        for pair in range(chosen.pairs):
            pairs.append((article_ms(chosen, folder), runner_ms(chosen, folder, f"pair-{pair}")))

    figures = list(pairs[0][0])
    ratios = {name: [ours[name] / plain[name] for plain, ours in pairs] for name in figures}
    rows = [
        [
            f"{pair + 1}",
            f"{plain['median']:.2f}",
            f"{ours['median']:.2f}",
            *(f"{ratios[name][pair]:.3f}" for name in figures),
        ]
        for pair, (plain, ours) in enumerate(pairs)
    ]
    medians = [f"{statistics.median(ratios[name]):.3f}" for name in figures]
    print_table(
        ["pair", "article ms", "runner ms", *(f"{name} ratio" for name in figures)],
        [*rows, ["median", "", "", *medians]],
    )
    print(
        f"\ngoal {1 - GOAL:.2f} to {1 + GOAL:.2f}; {chosen.model} {chosen.size}px {chosen.method}, "
        f"{chosen.iterations} iterations, {chosen.threads} threads, {chosen.device}; {machine()}"
    )


if __name__ == "__main__":
    main()
