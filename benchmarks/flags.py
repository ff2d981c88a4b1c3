"""How often each flag finds what was planted, and how often it is a false alarm.

    python benchmarks/flags.py             2000 series for each cell, about a minute
    python benchmarks/flags.py --series 100

Seeded: the same figures on every machine. n = 220 samples, the first 20 the warm-up.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from runner.statistics.quantiles import half_width, interval
from runner.statistics.shape import shape_of

N, WARMUP, MEDIAN_MS = 220, 20, 10.0
Generator = np.random.Generator


def autoregressive(random: Generator, n: int, phi: float) -> np.ndarray:
    """Normal noise of variance 1 whose neighbours correlate by `phi`."""
    noise = random.standard_normal(n + 50)
    for index in range(1, len(noise)):
        noise[index] = phi * noise[index - 1] + np.sqrt(1 - phi**2) * noise[index]
    return noise[50:]


def spiked(random: Generator, values: np.ndarray, share: float, height: float) -> np.ndarray:
    """Some samples longer by an exponential of mean `height`."""
    hit = random.random(len(values)) < share
    return values * (1 + hit * random.exponential(height, len(values)))


MACHINES: dict[str, Callable[[Generator, int], np.ndarray]] = {
    "quiet": lambda r, n: MEDIAN_MS * np.exp(0.003 * r.standard_normal(n)),
    "typical": lambda r, n: spiked(r, MEDIAN_MS * np.exp(0.01 * r.standard_normal(n)), 0.02, 0.3),
    "VM": lambda r, n: spiked(r, MEDIAN_MS * np.exp(0.02 * autoregressive(r, n, 0.4)), 0.05, 0.3),
    "jittery": lambda r, n: spiked(r, MEDIAN_MS * np.exp(0.003 * r.standard_normal(n)), 0.25, 0.1),
    "hostile": lambda r, n: spiked(
        r, MEDIAN_MS * np.exp(0.05 * autoregressive(r, n, 0.6)), 0.10, 1.0
    ),
}


def slow_by_half(random: Generator, samples: np.ndarray) -> np.ndarray:
    return samples * np.where(np.arange(len(samples)) < 40, 1.5, 1.0)


def drifting(random: Generator, samples: np.ndarray) -> np.ndarray:
    return samples * np.linspace(1, 1.05, len(samples))


def two_modes(random: Generator, samples: np.ndarray) -> np.ndarray:
    return samples * np.where(random.random(len(samples)) < 0.3, 1.1, 1.0)


PLANTED: dict[str, Callable[[Generator, np.ndarray], np.ndarray]] = {
    "nothing": lambda random, samples: samples,
    "first 40 slower by half": slow_by_half,
    "5 % drift": drifting,
    "30 % of samples 10 % longer": two_modes,
}
FLAGS = ("WARMUP_SHORT", "DRIFT", "BIMODAL", "NOISY")


def flags(samples: np.ndarray) -> tuple[bool, ...]:
    """Which of FLAGS the program would raise."""
    shape = shape_of(samples, WARMUP)
    found = (shape.slow_start, shape.drift, shape.modes)
    return (*(part is not None for part in found), (half_width(samples[WARMUP:]) or 1) > 0.02)


def rates(series: int, seed: int = 0) -> dict[tuple[str, str], dict[str, float]]:
    """(planted, machine) -> share of series in which each flag is raised."""
    random = np.random.default_rng(seed)
    found = {}
    for planted, plant in PLANTED.items():
        for machine, noise in MACHINES.items():
            raised = dict.fromkeys(FLAGS, 0)
            for _ in range(series):
                samples = plant(random, noise(random, N))
                for name, flag in zip(FLAGS, flags(samples), strict=True):
                    raised[name] += flag
            found[planted, machine] = {name: count / series for name, count in raised.items()}
    return found


def hopping(random: Generator, n: int, noise: float) -> np.ndarray:
    """Two levels 0.4 apart, each kept for 20 samples on average, and normal noise; median 0."""
    hops = random.random(n) < 1 / 20
    level = (np.cumsum(hops) + random.integers(2)) % 2
    return 0.4 * (level - 0.5) + noise * random.standard_normal(n)


DEPENDENT: dict[str, Callable[[Generator, int], np.ndarray]] = {
    "independent": lambda r, n: autoregressive(r, n, 0.0),
    "AR(0.3)": lambda r, n: autoregressive(r, n, 0.3),
    "AR(0.6)": lambda r, n: autoregressive(r, n, 0.6),
    "AR(0.9)": lambda r, n: autoregressive(r, n, 0.9),
    "levels 0.4 apart, noise 0.8": lambda r, n: hopping(r, n, 0.8),
    "levels 0.4 apart, noise 0.5": lambda r, n: hopping(r, n, 0.5),
    "levels 0.4 apart, noise 0.2": lambda r, n: hopping(r, n, 0.2),
}


def coverage(series: int, kind: str, n: int = 100, seed: int = 0) -> tuple[float, float, float]:
    """How often the median's 95 % interval holds the median, is missing, and its median width."""
    random = np.random.default_rng(seed)
    found = [interval(DEPENDENT[kind](random, n), 0.5) for _ in range(series)]
    known = [bounds for bounds in found if bounds is not None]
    held = sum(low <= 0 <= high for low, high in known) / max(len(known), 1)
    return held, 1 - len(known) / series, float(np.median([high - low for low, high in known]))


def by_chance(series: int, seed: int = 0) -> dict[str, float]:
    """What samples show that only depend on each other, or were read from a coarse clock."""
    random = np.random.default_rng(seed)
    tails = [interval(random.standard_normal(100), 0.95) for _ in range(series)]
    known = [bounds for bounds in tails if bounds is not None]
    ticks = [np.floor(random.uniform(5, 20) + random.normal(0, 0.3, 100)) for _ in range(series)]
    spikes = MEDIAN_MS * np.exp(0.003 * random.standard_normal((series, 40)))
    for row in spikes:
        row[random.integers(17) :: 17] *= 1.3
    found = {
        "p95 of 100 independent samples is null": 1 - len(known) / series,
        "and holds where it is not": float(np.mean([low <= 1.645 <= high for low, high in known])),
        "BIMODAL by a clock of 1 ms": float(np.mean([bool(shape_of(t, 0).modes) for t in ticks])),
        "BIMODAL by spikes every 17th of 40": float(
            np.mean([bool(shape_of(row, 0).modes) for row in spikes])
        ),
    }
    for phi in (0.0, 0.9):
        for planted in (0.0, 0.05):
            sure = 0
            for _ in range(series):
                noise = 0.01 * autoregressive(random, 200, phi)
                samples = MEDIAN_MS * np.exp(noise) * np.linspace(1, 1 + planted, 200)
                shape = shape_of(samples, 0)
                sure += shape.drift is not None and shape.sure_drift
            found[f"suspect DRIFT, AR({phi}), {planted:.0%} planted"] = sure / series
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--series", type=int, default=2000, help="for each cell")
    series = parser.parse_args().series
    print("| planted | machine | " + " | ".join(FLAGS) + " |")
    print("|---" * (2 + len(FLAGS)) + "|")
    for (planted, machine), shares in rates(series).items():
        cells = " | ".join(f"{100 * share:.1f} %" for share in shares.values())
        print(f"| {planted} | {machine} | {cells} |")
    print("\n| samples | n | interval holds the median | no interval | width |")
    print("|---|---|---|---|---|")
    for n in (40, 100, 200):
        for kind in DEPENDENT:
            held, missing, width = coverage(series, kind, n)
            print(f"| {kind} | {n} | {100 * held:.1f} % | {100 * missing:.1f} % | {width:.2f} |")
    print("\n| figure | share of the series |\n|---|---|")
    for figure, share in by_chance(series).items():
        print(f"| {figure} | {100 * share:.1f} % |")


if __name__ == "__main__":
    main()
