"""How a night ends when its suspects are confirmed by duets, and what commits a search needs.

    python benchmarks/duets.py

The nights are those of gate.py. A round of a duet keeps what differs between processes of a trial:
their noise, the second mode, and spikes on either side; what the machine does to both sides at once
(drift, neighbours, throttling, the level of the night) cancels. Seeded.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator

import gate
import numpy as np

from runner.contract import DuetVerdict
from runner.statistics.bisection import SURE, Bisection, Step
from runner.statistics.gate import to_confirm
from runner.statistics.sequential import ALPHA, LOOKS, decide

NIGHTS = 14


class Suite(gate.Suite):
    """Trials whose duets can be played, too."""

    def duet(self, trial: int, slower: float, alpha: float) -> tuple[DuetVerdict, int]:
        """The verdict and the rounds of a duet of a trial that is slower by a share."""
        values: list[float] = []
        while True:
            values.append(math.log1p(slower) + self._process_of(trial) - self._process_of(trial))
            if len(values) in LOOKS:
                found = decide(values, alpha=alpha)
                if found.verdict is not None:
                    return found.verdict, len(values)

    def _process_of(self, trial: int) -> float:
        machine, random = self._machine, self._random
        value = random.normal(0, self._process[trial])
        if random.random() < machine.spike:
            value += random.uniform(0.05, 0.3)
        if self._modes[trial] and random.random() < 1 / 3:
            value += 0.03
        return value


def night(suite: Suite, slower: np.ndarray) -> tuple[list[int], int, int]:
    """The trials that are confirmed slower, the number of duets, and their rounds."""
    found = gate.judged(suite, NIGHTS, slower).trials
    asked = list(map(int, to_confirm(found)))
    confirmed, rounds = [], 0
    for number in asked:
        verdict, count = suite.duet(number, slower[number], ALPHA / len(asked))
        rounds += count
        if verdict == DuetVerdict.SLOWER:
            confirmed.append(number)
    return confirmed, len(asked), rounds


def null_nights(machine: gate.Machine, trials: int, count: int, seed: int) -> dict[str, float]:
    """Nights on which nothing has changed."""
    random = np.random.default_rng(seed)
    nights = [night(Suite(machine, random, trials), np.zeros(trials)) for _ in range(count)]
    return {
        "false nights": float(np.mean([bool(confirmed) for confirmed, _, _ in nights])),
        "duets a night": float(np.mean([duets for _, duets, _ in nights])),
        "rounds a night": float(np.mean([rounds for _, _, rounds in nights])),
    }


def slow_nights(
    machine: gate.Machine, trials: int, count: int, seed: int, slower: float, planted: int = 2
) -> dict[str, float]:
    """Nights on which some trials are slower."""
    random = np.random.default_rng(seed)
    hits, others = 0, 0
    for _ in range(count):
        by = np.zeros(trials)
        at = random.choice(trials, planted, replace=False)
        by[at] = slower
        confirmed, _, _ = night(Suite(machine, random, trials), by)
        hits += len(set(confirmed) & set(map(int, at)))
        others += len(set(confirmed) - set(map(int, at)))
    return {"confirmed": hits / planted / count, "others confirmed": others / count}


def searches(size: float, spread: float, count: int, seed: int) -> dict[str, float]:
    """Searches of a commit among 64, after a duet of both ends of 24 rounds."""
    random, rounds, right = np.random.default_rng(seed), list[int](), Counter[bool]()
    change = math.log1p(size)
    for _ in range(count):
        culprit = int(random.integers(64))
        known = Step(change + random.normal(0, spread / math.sqrt(24)), spread, 24)
        bisection = Bisection(64, known)
        played = 0
        while bisection.suspicion().probability < SURE and (at := bisection.next()) is not None:
            bisection.observe(at, random.normal(change if at >= culprit else 0.0, spread))
            played += 1
        rounds.append(played)
        right[bisection.suspicion().commits == (culprit,)] += 1
    return {"rounds, mean": float(np.mean(rounds)), "right": right[True] / count}


def rows(count: int, seed: int) -> Iterator[tuple[str, str, str, float]]:
    """All figures: machine, what was planted, what is counted, its value."""
    for name, machine in gate.MACHINES.items():
        for trials in (16, 200):
            several = count * (5 if trials == 16 else 1)
            for figure, value in null_nights(machine, trials, several, seed).items():
                yield f"{name}, {trials} trials", "none", figure, value
            for slower in (0.03, 0.05):
                found = slow_nights(machine, trials, several // 2, seed, slower)
                for figure, value in found.items():
                    yield f"{name}, {trials} trials", f"{slower:.0%}", figure, value
    for size, spread in ((0.05, 0.03), (0.03, 0.03), (0.05, 0.01)):
        for figure, value in searches(size, spread, count, seed).items():
            yield f"64 commits, {spread:.0%} noise a round", f"{size:.0%}", figure, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="nights of each kind (200)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("| simulated | planted | figure | value |")
    print("|---|---|---|---:|")
    for where, planted, figure, value in rows(options.count, options.seed):
        print(f"| {where} | {planted} | {figure} | {value:.4f} |", flush=True)


if __name__ == "__main__":
    main()
