"""Requests and services: against the same thing written by hand, and against theory.

    python benchmarks/load.py                # all parts
    python benchmarks/load.py --only rule    # one: hand, late, rule, capacity

`hand`: a request (decode, transform, network, top 5) and a queue of queries, in runner's own code
and as anyone would write them, in turns; ratios of medians. `late`: how late an idle instance
begins, at 1,000 queries a second of 0.3 ms each. `rule`: how often services that lie exactly at
their limit pass, by LoadGen's rule, with the correlation time of the over-limit indicator, and with
that of the longest fifth too; and how often the intervals of a p99 cover it. `capacity`: whole
searches on M/D/1 queues against the exact rate. `rule` and `capacity` are seeded simulations.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
from processes import machine, print_table
from scipy import special

from runner.serving.arrivals import schedule_ns
from runner.serving.clock import HostClock, sleep_precisely
from runner.serving.play import Rules, from_queue, play
from runner.serving.queue import Queue
from runner.serving.result import answered
from runner.statistics.capacity import Point, capacity, next_rates, scan_rates, spread_of
from runner.statistics.quantiles import clustering, correlation_time, ranks
from runner.statistics.summary import summarize
from runner.statistics.tail_target import judge_target, looks_at, queries_needed
from runner.trial.description import Input, Load, Model, Pipeline, Runtime, Timing, Trial

Q, SERVICE_MS = 0.99, 10.0


class Spinning(HostClock):
    """An instance whose answer takes `service_ms` of a spinning CPU."""

    def __init__(self, service_ms: float) -> None:
        super().__init__(shared=False)
        self._service_ns = round(service_ms * 1e6)

    def working(self) -> nullcontext[None]:
        return nullcontext()

    def warm_up(self) -> None:
        sleep_precisely()

    def answer(self, queries: int) -> None:
        until_ns = time.perf_counter_ns() + self._service_ns
        while time.perf_counter_ns() < until_ns:
            pass


def late() -> list[list[str]]:
    """Rows of the lateness in microseconds, three runs."""
    rows = []
    for seed in range(3):
        load = Load("server", rate=1000.0, queries=5000)
        arrivals_ns = schedule_ns(load, (seed,)).tolist()
        instance = Spinning(0.3)
        served = play(from_queue(Queue(arrivals_ns), None), [instance], Rules())
        us = 1000 * answered(served, arrivals_ns).late_ms
        share = float(np.mean(us < 50))
        rows.append([str(seed), *(f"{np.quantile(us, q):.1f}" for q in (0.5, 0.9, 0.99, 0.999, 1))])
        rows[-1].append(f"{share:.2%}")
    return rows


def by_hand(images: list[bytes], network: Callable, size: int) -> Callable[[], object]:
    """A request as anyone would write it."""
    import io

    import torch
    from PIL import Image
    from torchvision.models import ResNet18_Weights

    transform = ResNet18_Weights.DEFAULT.transforms(
        crop_size=size, resize_size=round(size * 256 / 224)
    )
    turn = iter(range(10**9))

    def request() -> object:
        image = Image.open(io.BytesIO(images[next(turn) % len(images)])).convert("RGB")
        output = network(transform(image).unsqueeze(0))
        return torch.topk(torch.softmax(output, -1), 5)

    return request


def hand(rounds: int) -> list[list[str]]:
    """Rows of ratios: runner's code to that by hand, in turns."""
    import torch

    from runner.models.sources import build
    from runner.pipelines.images import jpegs_of
    from runner.pipelines.request import Requests

    rows = []
    with torch.inference_mode():
        trial = Trial(
            Model("resnet18"), Input((224, 224), 1, 16, "randn"),
            Timing("wall", 5, 100, None, None, None, "warm"), Runtime(None, False), "cpu", 0, 0,
            pipeline=Pipeline("e2e"),
        )  # fmt: skip
        workload = build(trial, torch.device("cpu"))
        ours = Requests(trial, workload, torch.device("cpu")).answer
        theirs = by_hand([one.data for one in jpegs_of(trial)], workload.call, 224)
        rows.append(["request, resnet18 at 224 px", *_ratio(ours, theirs, rounds)])
    rows.append(["mean wait, 70 % busy", *_ratio_of_queues(rounds)])
    return rows


def _ratio(ours: Callable, theirs: Callable, rounds: int) -> list[str]:
    ours(), theirs()
    times: dict[int, list[float]] = {0: [], 1: []}
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            began = time.perf_counter()
            (ours, theirs)[which]()
            times[which].append(1000 * (time.perf_counter() - began))
    first, second = statistics.median(times[0]), statistics.median(times[1])
    return [f"{first:.3f} ms", f"{second:.3f} ms", f"{first / second:.3f}"]


def _ratio_of_queues(rounds: int) -> list[str]:
    """The mean wait of runner's queue, and of one by sleep() and perf_counter()."""
    load = Load("server", rate=70.0, queries=300)
    found: dict[int, list[float]] = {0: [], 1: []}
    for number in range(max(2, rounds // 50)):
        arrivals_ns = schedule_ns(load, (number,)).tolist()
        served = play(from_queue(Queue(arrivals_ns), None), [Spinning(SERVICE_MS)], Rules())
        found[0].append(float(answered(served, arrivals_ns).wait_ms.mean()))
        start, waits, instance = time.perf_counter(), [], Spinning(SERVICE_MS)
        for arrival_ns in arrivals_ns:
            while (left := arrival_ns / 1e9 - (time.perf_counter() - start)) > 0:
                time.sleep(left)
            waits.append(time.perf_counter() - start - arrival_ns / 1e9)
            instance.answer(1)
        found[1].append(1000 * statistics.fmean(waits))
    first, second = map(statistics.fmean, (found[0], found[1]))
    return [f"{first:.3f} ms", f"{second:.3f} ms", f"{first / second:.3f}"]


def m_d_1(utilisation: float, count: int, random: np.random.Generator) -> np.ndarray:
    """Latencies in ms of an M/D/1 queue that begins empty, by Lindley's recursion."""
    gaps = random.exponential(1 / utilisation, count)
    steps = np.concatenate([[0.0], np.cumsum(1 - gaps[1:])])
    return SERVICE_MS * (1 + steps - np.minimum.accumulate(steps))


def rule(runs: int) -> list[list[str]]:
    """Rows of false passes and of coverage, in percent."""
    rows = []
    for utilisation in (0.5, 0.8, 0.9):
        random = np.random.default_rng(1)
        limit_ms = float(np.quantile(m_d_1(utilisation, 4_000_000, random)[10_000:], Q))
        for count in (1000, 4000, 16_000):
            passed, known, covered = [0, 0, 0], 0, 0
            for _ in range(runs):
                latency_ms = m_d_1(utilisation, count, random)
                over = (latency_ms > limit_ms).astype(float)
                taus = (1.0, correlation_time(over), clustering(latency_ms, over))
                for which, tau in enumerate(taus):
                    h, t = (count - over.sum()) / tau, over.sum() / tau
                    passed[which] += special.betainc(h, t + 1, Q) <= 0.01
                own = latency_ms > np.quantile(latency_ms, Q)
                low, high = ranks(count, Q, clustering(latency_ms, own))
                if low >= 1 and high <= count:
                    ordered = np.sort(latency_ms)
                    known += 1
                    covered += ordered[low - 1] <= limit_ms <= ordered[high - 1]
            cover = f"{100 * covered / known:.0f}" if known else "-"
            shares = [f"{100 * one / runs:.0f}" for one in passed]
            rows.append([f"{utilisation}", f"{count}", *shares, f"{100 * known / runs:.0f}", cover])
    return rows


def searches(runs: int) -> list[list[str]]:
    """Rows of whole searches: error of the rate, coverage of its interval, what they cost."""
    rows = []
    for limit_ms in (15.0, 25.0, 40.0, 100.0):
        exact = _exact_rate(limit_ms)
        for queries in (1000, 3000):
            found = [_search(limit_ms, queries, seed) for seed in range(runs)]
            rates = [one.rate / exact - 1 for one, _, _ in found if one.rate is not None]
            covered = [bool(one.ci and one.ci[0] <= exact <= one.ci[1]) for one, _, _ in found]
            rows.append(
                [
                    f"{limit_ms:g}", f"{exact:.1f}", f"{queries}",
                    f"{100 * statistics.fmean(rates):+.1f}", f"{100 * statistics.stdev(rates):.1f}",
                    f"{100 * statistics.fmean(covered):.0f}",
                    f"{statistics.fmean(trials for _, trials, _ in found):.1f}",
                    f"{statistics.fmean(sent for _, _, sent in found):.0f}",
                ]
            )  # fmt: skip
    return rows


def _exact_rate(limit_ms: float) -> float:
    low, high = 1.0, 99.0
    for _ in range(14):
        middle = (low + high) / 2
        random = np.random.default_rng(9)
        tail = np.quantile(m_d_1(middle * SERVICE_MS / 1000, 1_000_000, random)[5000:], Q)
        low, high = (middle, high) if tail < limit_ms else (low, middle)
    return low


def _search(limit_ms: float, queries: int, seed: int) -> tuple:
    random, found, sent = np.random.default_rng(seed), list[Point](), 0
    looks, rates = looks_at(queries), scan_rates(1000 / SERVICE_MS)
    while rates:
        for rate in rates:
            everything = m_d_1(rate * SERVICE_MS / 1000, queries, random)
            for look in looks:
                taken = everything[:look]
                verdict = judge_target(taken, limit_ms, Q, looks).verdict
                if verdict != "undecided":
                    break
            sent += len(taken)
            summary = summarize(taken, 1, queued=True)
            spread = spread_of(taken, summary.ci_ms.get("p99"), Q, summary.tau)
            side = {"met": -1, "missed": 1}.get(str(verdict), 0)
            found.append(Point(rate, float(np.quantile(taken, Q)), spread, side))
        rates = next_rates(found, limit_ms)
    return capacity(found, limit_ms), len(found), sent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=("hand", "late", "rule", "capacity"))
    parser.add_argument("--runs", type=int, default=300, help="of the simulations")
    parser.add_argument("--rounds", type=int, default=200, help="of the ratios")
    given = parser.parse_args()
    parts = [given.only] if given.only else ["hand", "late", "rule", "capacity"]
    print(machine())
    if "hand" in parts:
        print_table(["what", "runner", "by hand", "ratio"], hand(given.rounds))
    if "late" in parts:
        heads = ["seed", "p50 us", "p90", "p99", "p99.9", "max", "below 50 us"]
        print_table(heads, late())
    if "rule" in parts:
        print(
            f"p99 needs {queries_needed(Q)} queries with none over, {queries_needed(Q, 1)} with 1"
        )
        heads = ["utilisation", "queries", "LoadGen passes %", "indicator %", "runner %"]
        print_table([*heads, "p99 has interval %", "covers %"], rule(given.runs))
    if "capacity" in parts:
        heads = ["limit ms", "exact /s", "queries", "error %", "sd %", "covers %", "trials", "sent"]
        print_table(heads, searches(max(20, given.runs // 10)))


if __name__ == "__main__":
    main()
