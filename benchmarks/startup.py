"""CPU seconds until `python -m runner` has answered without running a trial.

    python benchmarks/startup.py --runs 5

Prints a Markdown table: the median over interleaved runs of --help, --cfg job and
configuration errors, and how many times as long as `import hydra` they take. Goal: 1 s each, and
2 times for --help and a wrong model name.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from processes import RUNNER, cost_of, machine, print_table

GOAL_S = 1.0
IMPORT = [sys.executable, "-c", "import hydra"]
OK, USAGE = 0, 2  # exit codes of runner
COMMANDS = {
    "--help": OK,
    "--version": OK,
    "--cfg job": OK,
    "model=resnet51": USAGE,
    "timing.iterations=0 input.size=224,640": USAGE,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="of each command")
    runs = parser.parse_args().runs

    cpu_s: dict[str, list[float]] = {words: [] for words in COMMANDS}
    wall_s: dict[str, list[float]] = {words: [] for words in COMMANDS}
    imported_s: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs):
            imported_s.append(cost_of(IMPORT, Path(folder)).cpu_s)
            for words, exit_code in COMMANDS.items():
                cost = cost_of([*RUNNER, *words.split()], Path(folder), exit_code)
                cpu_s[words].append(cost.cpu_s)
                wall_s[words].append(cost.wall_s)

    print_table(
        ["python -m runner", "CPU s", "wall s", "goal, CPU s", "x import hydra"],
        [
            [
                f"`{words}`",
                f"{statistics.median(cpu_s[words]):.2f}",
                f"{statistics.median(wall_s[words]):.2f}",
                f"{GOAL_S:.2f}",
                f"{statistics.median(cpu_s[words]) / statistics.median(imported_s):.2f}",
            ]
            for words in COMMANDS
        ],
    )
    print(f"\nmedian of {runs} interleaved runs; {machine()}")


if __name__ == "__main__":
    main()
