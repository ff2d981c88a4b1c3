"""What one more trial costs in a sweep, beyond its own iterations.

    python benchmarks/per_trial.py --pairs 3 --trials 41

Times a network that does nothing: once alone and once in a sweep over seeds, in turn.
The difference, divided by the number of further trials, is the harness: a forked
process, the record, the MLflow run. Prints a Markdown table. Goal: 0.35 s each.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from processes import RUNNER, Cost, cost_of, machine, print_table

GOAL_S = 0.35
NOOP = """\
import torch

class Noop(torch.nn.Module):
    def forward(self, images):
        return images

def make():
    return Noop()
"""


def sweep_cost(folder: Path, sweep_id: str, trials: int) -> Cost:
    """Cost of a sweep of `trials` seeds, into a store that exists after the first one."""
    return cost_of(
        [
            *RUNNER,
            "model=custom",
            "model.target=noop.make",
            "input.size=32",
            "device=cpu",
            "timing.iterations=10",
            "timing.warmup=0",
            f"seed=range(0,{trials})",
            f"sweep.id={sweep_id}",
        ],
        folder,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--trials", type=int, default=41, help="of the longer sweep")
    arguments = parser.parse_args()
    further = arguments.trials - 1

    pairs: list[tuple[Cost, Cost]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "noop.py").write_text(NOOP)
        sweep_cost(folder, "first-use", trials=1)  # creates the MLflow database
        for pair in range(arguments.pairs):
            alone = sweep_cost(folder, f"alone-{pair}", trials=1)
            swept = sweep_cost(folder, f"swept-{pair}", trials=arguments.trials)
            pairs.append((alone, swept))

    def row(title: str, field: str, goal: str) -> list[str]:
        each_s = [(getattr(more, field) - getattr(one, field)) / further for one, more in pairs]
        alone_s = statistics.median(getattr(one, field) for one, _ in pairs)
        values = " ".join(f"{value:.3f}" for value in each_s)
        return [title, f"{alone_s:.2f}", f"{statistics.median(each_s):.3f}", values, goal]

    print_table(
        ["seconds", "one trial alone", "each further trial", "by pair", "goal"],
        [
            row("wall", "wall_s", f"{GOAL_S}"),
            row("CPU, all processes", "cpu_s", f"{GOAL_S}"),
            row("CPU, main process", "main_cpu_s", ""),
            row("CPU, forkserver and trials", "workers_cpu_s", ""),
        ],
    )
    print(f"\n{arguments.pairs} pairs of 1 and {arguments.trials} trials; {machine()}")


if __name__ == "__main__":
    main()
