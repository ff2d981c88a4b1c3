"""How often the nightly gate finds what was planted, and calls what was not.

    python benchmarks/gate.py

Nights of 16 or 200 trials in 5 rounds on three kinds of machine are simulated: what the machine
does to a whole night, its drift through the night, how much processes and nights of a trial differ,
spikes, processes in a second mode, throttled nights, neighbours that slow everything for minutes.
Seeded.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

from runner.statistics.gate import judge_logs

TRIALS, ROUNDS, SECONDS_APART = 200, 5, 20.0


@dataclass(frozen=True)
class Machine:
    """Standard deviations and sizes as shares, chances as shares of nights or processes."""

    process: float  # between processes of a trial, in the middle; others from half to twice
    night: float  # of a trial from night to night
    whole: float  # of all trials from night to night
    drift: float  # from the beginning to the end of a night
    spike: float  # chance of a process that is 5 to 30 % slow
    mode: float  # share of trials with a second mode, 3 % slower, in a third of processes
    throttled: float  # chance of a night that is 10 % slow
    neighbour: float  # neighbours a night, each of whom slows 5 minutes by 5 to 20 %


TYPICAL = Machine(0.006, 0.004, 0.005, 0.01, 0.01, 0.05, 0.03, 0.5)
BUSY = Machine(0.006, 0.005, 0.005, 0.01, 0.01, 0.05, 0.03, 0.5)
VM = Machine(0.015, 0.010, 0.015, 0.03, 0.03, 0.10, 0.05, 2.0)
MACHINES = {"typical": TYPICAL, "busy": BUSY, "VM": VM}


class Suite:
    """Trials on a machine, timed night after night."""

    def __init__(self, machine: Machine, random: np.random.Generator, trials: int = TRIALS) -> None:
        self._machine, self._random, self._trials = machine, random, trials
        self._level = random.uniform(math.log(1.0), math.log(500.0), trials)
        self._process = machine.process * np.exp(random.normal(0, 0.4, trials))
        self._night = machine.night * np.exp(random.normal(0, 0.4, trials))
        self._modes = random.random(trials) < machine.mode

    def night(self, slower: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Log medians and start times of one night, trials x rounds."""
        machine, random, shape = self._machine, self._random, (self._trials, ROUNDS)
        order = np.array([random.permutation(self._trials) for _ in range(ROUNDS)]).T
        began_s = (order + np.arange(ROUNDS) * self._trials) * SECONDS_APART
        total_s = began_s.max()
        values = self._level[:, None] + random.normal(0, self._process[:, None], shape)
        values += random.normal(0, self._night)[:, None] + random.normal(0, machine.whole)
        values += machine.drift * random.uniform(-1, 1) * began_s / total_s
        if random.random() < machine.throttled:
            values += 0.1
        values += np.where(
            random.random(shape) < machine.spike, random.uniform(0.05, 0.3, shape), 0
        )
        values += np.where(self._modes[:, None] & (random.random(shape) < 1 / 3), 0.03, 0)
        for _ in range(random.poisson(machine.neighbour)):
            at_s, slow = random.uniform(0, total_s), random.uniform(0.05, 0.2)
            values += np.where(abs(began_s - at_s) < 150, slow, 0)
        return values + (0 if slower is None else np.log1p(slower)[:, None]), began_s


def judged(suite: Suite, nights: int, slower: np.ndarray | None = None):
    """A night judged by so many before it."""
    past = [suite.night() for _ in range(nights)]
    values, began_s = suite.night(slower)
    names = [str(number) for number in range(len(values))]
    history = {name: [night[0][at] for night in past] for at, name in enumerate(names)}
    times = [{name: night[1][at] for at, name in enumerate(names)} for night in past]
    return judge_logs(
        history,
        dict(zip(names, values, strict=True)),
        began_s=times,
        tonight_began_s=dict(zip(names, began_s, strict=True)),
    )


def null_nights(
    machine: Machine, nights: int, count: int, seed: int, trials: int = TRIALS
) -> dict[str, float]:
    """What is said of nights on which nothing has changed."""
    random = np.random.default_rng(seed)
    alarms, asked, suspects, covered, passes = 0, 0, [], [], []
    for _ in range(count):
        night = judged(Suite(machine, random, trials), nights)
        found = list(night.trials.values())
        asked += night.question
        verdicts = Counter(one.verdict for one in found)
        alarms += verdicts["regression"] > 0
        suspects.append(verdicts["suspect"])
        passes.append(verdicts["pass"] / len(found))
        covered += [one.ci[0] <= 1 <= one.ci[1] for one in found]
    return {
        "nights with an alarm": alarms / count,
        "nights with a question": asked / count,
        "suspects a night, mean": float(np.mean(suspects)),
        "suspects a night, most": float(np.max(suspects)),
        "passes": float(np.mean(passes)),
        "intervals that contain the truth": float(np.mean(covered)),
    }


def slow_nights(
    machine: Machine,
    nights: int,
    count: int,
    seed: int,
    slower: float | None,
    planted: int = 2,
    trials: int = TRIALS,
) -> dict[str, float]:
    """What is said of trials that have become slower by a share, two of them a night.

    None: by as much as the night itself says that it finds in 4 of 5 cases.
    """
    random = np.random.default_rng(seed)
    said: Counter[str] = Counter()
    for _ in range(count):
        by = np.zeros(trials)
        at = random.choice(trials, planted, replace=False)
        suite = Suite(machine, random, trials)
        if slower is None:
            before = random.bit_generator.state
            shown = judged(suite, nights).trials  # the same night, before anything is planted
            by[at] = [shown[str(number)].detectable or 0.0 for number in at]
            random.bit_generator.state = before
        else:
            by[at] = slower
        found = judged(suite, nights, by).trials
        said.update(found[str(number)].verdict for number in at)
    total = sum(said.values())
    return {
        "called a regression": said["regression"] / total,
        "regression or suspect": (said["regression"] + said["suspect"]) / total,
        "passed": said["pass"] / total,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="nights of each kind (200)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("| machine | trials | nights before | planted | figure | value |")
    print("|---|---:|---:|---|---|---:|")
    for name, machine in MACHINES.items():
        for trials in (16, 200):
            count = options.count * (5 if trials == 16 else 1)
            kept = (options.seed, trials)
            for nights in (14, 4, 1):
                figures = null_nights(machine, nights, count, *kept)
                print_rows(name, trials, nights, "none", figures)
                for slower in (0.03, 0.05, 0.10):
                    figures = slow_nights(
                        machine, nights, count // 2, options.seed, slower, trials=trials
                    )
                    print_rows(name, trials, nights, f"{slower:.0%}", figures)
            figures = slow_nights(machine, 14, count // 2, options.seed, None, trials=trials)
            print_rows(name, trials, 14, "detectable", figures)
            for share in (0.3, 0.4):
                at_once = round(share * trials)
                figures = slow_nights(
                    machine, 14, count // 10, options.seed, 0.1, at_once, trials=trials
                )
                print_rows(name, trials, 14, f"10% in {share:.0%} of the trials", figures)
    began_s = time.perf_counter()
    judged(Suite(TYPICAL, np.random.default_rng(1)), 14)
    print(f"| typical | 200 | 14 | none | seconds to judge | {time.perf_counter() - began_s:.2f} |")


def print_rows(
    name: str, trials: int, nights: int, planted: str, figures: dict[str, float]
) -> None:
    for figure, value in figures.items():
        print(f"| {name} | {trials} | {nights} | {planted} | {figure} | {value:.3f} |", flush=True)


if __name__ == "__main__":
    main()
