"""How much longer a whole command takes than the article's script for the same timing.

    python benchmarks/single_run.py --size 640 --iterations 100 --pairs 3

Runs article.py and `python -m runner` in turn, from the start of the process to its
end, with an MLflow database that exists already. Prints both wall times by pair, and
the median ratio. Goal: at most 1.25 at the article's own size and iterations.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from processes import ARTICLE, RUNNER, Cost, cost_of, machine, print_table

GOAL_RATIO = 1.25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--method", choices=("naive", "wall", "event"), default="wall")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, help="CPU threads of torch; its own choice if none")
    parser.add_argument("--pairs", type=int, default=3)
    chosen = parser.parse_args()

    article = [
        *ARTICLE,
        f"--model={chosen.model}",
        f"--size={chosen.size}",
        f"--iterations={chosen.iterations}",
        f"--method={chosen.method}",
        f"--device={chosen.device}",
    ]
    runner = [
        *RUNNER,
        f"model={chosen.model}",
        f"input.size={chosen.size}",
        f"timing.iterations={chosen.iterations}",
        f"timing.method={chosen.method}",
        f"device={chosen.device}",
    ]
    if chosen.threads:
        article.append(f"--threads={chosen.threads}")
        runner.append(f"runtime.threads={chosen.threads}")
    rows, ratios = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first_use = [*RUNNER, "model=resnet18", "input.size=64", "timing=quick", "sweep.id=first"]
        cost_of(first_use, folder)  # creates the database
        for pair in range(chosen.pairs):
            plain = cost_of(article, folder)
            whole = cost_of([*runner, f"sweep.id=pair-{pair}"], folder)
            ratios.append(whole.wall_s / plain.wall_s)
            rows.append([str(pair + 1), *_in_seconds(plain), *_in_seconds(whole), _two(ratios[-1])])

    print_table(
        ["pair", "article wall s", "CPU s", "runner wall s", "CPU s", "wall ratio"],
        rows,
    )
    print(
        f"\nmedian ratio {statistics.median(ratios):.2f}, goal at most {GOAL_RATIO}; "
        f"{chosen.model} {chosen.size}px {chosen.method}, {chosen.iterations} iterations on "
        f"{chosen.device}, {chosen.threads or 'all'} threads; {machine()}"
    )


def _in_seconds(cost: Cost) -> tuple[str, str]:
    return _two(cost.wall_s), _two(cost.cpu_s)


def _two(value: float) -> str:
    return f"{value:.2f}"


if __name__ == "__main__":
    main()
