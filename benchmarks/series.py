"""What the nightly gate says night after night, each judged by those before it.

    python benchmarks/series.py

Suites of 16 or 60 trials on the simulated machines of gate.py: a regression that nobody accepts, an
improvement that is lost again, all trials creeping together. Seeded.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
from gate import BUSY, TYPICAL, VM, Machine, Suite

from runner.contract import GateVerdict, Status
from runner.history.decisions import Decisions
from runner.history.nightly import JudgedNight, judge_night
from runner.records.nights import Night
from runner.records.process_summary import ProcessSummary

FIRST, DAY_S = date(2026, 1, 1), 86400.0
FACTS = {"host": "here", "cpu": "a CPU"}
Slower = Callable[[int], np.ndarray]  # by night, the change of each trial as a share


def night_of(number: int, values: np.ndarray, began_s: np.ndarray) -> Night:
    """A night as it is read: log medians, trials x rounds."""
    processes = [
        ProcessSummary(
            identity=str(at), repeat=repeat, title=str(at), status=Status.COMPLETED, unfit=None,
            typical_ms=float(np.exp(values[at, repeat])),
            began_s=number * DAY_S + float(began_s[at, repeat]), took_s=10.0, facts=FACTS,
            folder=f"{at}-r{repeat}",
        )
        for at in range(values.shape[0])
        for repeat in range(values.shape[1])
    ]  # fmt: skip
    name = f"nightly-{FIRST + timedelta(days=number)}"
    return Night(name, {str(at): str(at) for at in range(len(values))}, tuple(processes))


def series(suite: Suite, nights: int, slower: Slower, first: int = 8) -> list[JudgedNight]:
    """The report of each night from `first` on, by the nights before it and their verdicts."""
    past: list[Night] = []
    found = []
    for number in range(nights):
        night = night_of(number, *suite.night(slower(number)))
        if number >= first:
            judged = judge_night(night, past, Decisions())
            said = {one.identity: one.verdict for one in judged.findings}
            night = replace(night, said=said, question=judged.health.question)
            found.append(judged)
        past.append(night)
    return found


def verdicts(judged: Sequence[JudgedNight], trial: int) -> list[str]:
    return [
        next(one.verdict for one in night.findings if one.identity == str(trial))
        for night in judged
    ]


def stays_red(machine: Machine, trials: int, by: float, count: int, seed: int) -> dict[str, float]:
    """A slowdown from night 14 on that nobody accepts."""
    random, kept, cleared = np.random.default_rng(seed), 0, 0
    said: Counter[str] = Counter()
    for _ in range(count):
        change = np.where(np.arange(trials) == 3, by, 0.0)
        found = series(
            Suite(machine, random, trials), 30, lambda n, c=change: c * (n >= 14), first=14
        )
        mine = verdicts(found, 3)
        said.update(mine)
        once = GateVerdict.REGRESSION in mine
        after = mine[mine.index(GateVerdict.REGRESSION) :] if once else []
        cleared += GateVerdict.PASS in after or GateVerdict.IMPROVEMENT in after
        kept += once and GateVerdict.PASS not in after
    total = sum(said.values())
    return {
        "nights it is called": said["regression"] / total,
        "nights it is called or suspect": (said["regression"] + said["suspect"]) / total,
        "runs in which it stays red": kept / count,
        "runs in which a pass clears it": cleared / count,
    }


def lost_again(machine: Machine, trials: int, count: int, seed: int) -> dict[str, float]:
    """10 % faster from night 14 on, and three nights later 8 % slower than that."""
    random = np.random.default_rng(seed)
    said: Counter[str] = Counter()
    for _ in range(count):
        one = np.arange(trials) == 3

        def change(night: int, one: np.ndarray = one) -> np.ndarray:
            return one * (0.0 if night < 14 else -0.1 if night < 17 else 0.9 * 1.08 - 1)

        said[verdicts(series(Suite(machine, random, trials), 18, change, first=14), 3)[-1]] += 1
    return {
        "called": said["regression"] / count,
        "called or suspect": (said["regression"] + said["suspect"]) / count,
        "passed": (said["pass"] + said["improvement"]) / count,
    }


def creeps(machine: Machine, trials: int, by: float, count: int, seed: int) -> dict[str, float]:
    """All trials together, a little more each night for 30 nights after the first 14."""
    random, asked, alone, shown = np.random.default_rng(seed), 0, 0, []
    for _ in range(count):
        found = series(
            Suite(machine, random, trials),
            44,
            lambda n: np.full(trials, (1 + by) ** max(0, n - 13) - 1),
            first=14,
        )
        asked += found[-1].creep is not None or found[-1].health.question
        alone += any(one.asks for one in found[:5])
        shown.append(found[-1].creep or 0.0)
    return {
        "asked on the last night": asked / count,
        "asked in the first five": alone / count,
        "creep that is shown": float(np.median(shown)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="series of each kind (20)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("| machine | trials | planted | figure | value |\n|---|---:|---|---|---:|")
    for name, machine in {"typical": TYPICAL, "busy": BUSY, "VM": VM}.items():
        for trials in (16, 60):
            for what, figures in (
                ("+8 %", stays_red(machine, trials, 0.08, options.count, options.seed)),
                ("-10 %, then +8 %", lost_again(machine, trials, options.count, options.seed)),
                ("all +0.2 % a night", creeps(machine, trials, 0.002, options.count, options.seed)),
                ("none", creeps(machine, trials, 0.0, options.count, options.seed)),
            ):
                for figure, value in figures.items():
                    print(f"| {name} | {trials} | {what} | {figure} | {value:.3f} |", flush=True)


if __name__ == "__main__":
    main()
