"""Is the number good? Flags are values with a code, a figure, what was found and a remedy.

A trial is `valid` when everything that could make its number wrong was looked at and
none of it was found. The rules and how far to trust them: docs/verdict.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runner.record import Outcome
from runner.statistics.quantiles import half_width
from runner.statistics.shape import FEWEST_FOR_SHAPE, Modes, Shape, look
from runner.statistics.summary import Summary
from runner.trial import LEVELS, VERDICTS, Trial

NOISE_LIMIT = 0.02  # relative half-width of the median's interval, unless timing.target is set
MOST_MORE = 20  # times the iterations, that are worth advising
PROPORTIONS = {"invalid": 0.05, "suspect": 0.01, "note": 0.0}  # of the figure that is wrong
SUSPECT_SHARE, INVALID_SHARE = 0.01, 0.05  # of the threads' time, taken by others
STEAL_TICK_MS = 10.0  # the kernel counts stolen time in these; fewer than two of them say nothing
SLOW_CLOCK, CLOCK_RANGE = 0.75, 0.05
SUSPECT_HELD, INVALID_HELD = 0.01, 0.05  # of the timed part, in which a limit held the clock down
SLOWDOWNS = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
LIMITS = {0x04: "power cap", 0x10: "sync boost"}
HARD_VIOLATIONS, SOFT_VIOLATIONS = ("thermal",), ("power", "sync_boost", "board_limit")
HIDDEN_SHARE, HIDDEN_MS = 0.05, 0.05  # of a pass, and at least: below, it is the barrier itself
SHORTEST_SAMPLE_MS = 0.1
FEWEST_FOR_MEDIAN = 8  # samples, whose smallest and largest bound the median if independent
BY_EVENTS = ("event", "queued", "graph")  # waits for its own stream only
WIDENING = ("WARMUP_SHORT", "DRIFT", "BIMODAL")  # also the median's interval


@dataclass(frozen=True)
class Flag:
    """One thing to know about a number: `level` is invalid, suspect or note.

    `figure` in `unit`: "%" of a share (0.01 is 1 %), with "+" before it where the sign tells.
    `need` is the number that the remedy names: of several trials, the largest serves all.
    """

    code: str
    level: str
    figure: float | None
    unit: str
    found: str
    remedy: str
    need: float = 0.0

    @property
    def advice(self) -> str:
        """What was found and what to do, as one sentence."""
        return f"{self.found}; {self.remedy}" if self.remedy else self.found


def in_proportion(effect: float) -> str:
    """The level of what puts a figure wrong by this share of it."""
    return next(level for level, least in PROPORTIONS.items() if abs(effect) >= least)


def flags(trial: Trial, outcome: Outcome, summary: Summary) -> list[Flag]:
    """What is wrong with a completed trial's numbers or could not be looked at, the worst first."""
    found = list(_flags(trial, outcome, summary))
    # the cause is told, and its remedy is another
    if any(flag.code in WIDENING and flag.level != "note" for flag in found):
        found = [flag for flag in found if flag.code != "NOISY"]
    return sorted(found, key=lambda flag: LEVELS.index(flag.level))


def _flags(trial: Trial, outcome: Outcome, summary: Summary) -> Iterator[Flag]:
    yield from _unsynchronized(trial, outcome, summary)
    yield from _unfinished(outcome)
    yield from _unsteady(trial, outcome)
    yield from _noisy(trial, outcome)
    yield from _host_bound(trial, outcome)
    if trial.device == "simulated":
        return  # nothing can disturb a scripted clock
    cpu, gpu = (_looked_at(outcome, name) for name in ("cpu", "gpu"))
    yield from contended(cpu)
    yield from _oversubscribed(outcome, cpu)
    if trial.device == "cpu":
        yield from virtual(cpu)
    if trial.device.startswith("cuda"):
        yield from throttled(gpu)
        yield from shared(gpu)


def _looked_at(outcome: Outcome, name: str) -> dict[str, Any]:
    """What was seen of others on the CPU or the GPU, or why nothing was."""
    reason = outcome.why_null.get(f"contention.{name}") or outcome.why_null.get("contention")
    seen: dict[str, Any] | None = (outcome.contention or {}).get(name)
    return seen or {"unknown": {"run_queue_wait": reason, "foreign_pids": reason} if reason else {}}


def verdict_of(found: list[Flag]) -> str:
    """The worst level of the flags; valid when there is none but notes."""
    levels = {flag.level for flag in found} | {"valid"}
    return next(level for level in VERDICTS if level in levels)


def _unsynchronized(trial: Trial, outcome: Outcome, summary: Summary) -> Iterator[Flag]:
    hidden_ms = outcome.series.get("hidden_device_ms") or 0.0
    if trial.timing.method in BY_EVENTS:
        pass_ms = float(np.median(outcome.latency_ms)) * outcome.effective.get("inner", 1)
        if hidden_ms > max(HIDDEN_MS, HIDDEN_SHARE * pass_ms):
            yield Flag(
                "NO_SYNC",
                "invalid",
                hidden_ms,
                "ms hidden",
                f"{hidden_ms:.2f} ms of device work still ran when the last event had passed: the "
                "network uses another stream, which events do not see",
                "use timing.method=wall",
            )
    if trial.timing.method != "naive" or trial.device.partition(":")[0] == "cpu":
        return
    bias = ""
    # the clock around the whole timed part contains the cold start, if there was no warm-up
    true_ms = outcome.series.get("synced_ms" if trial.timing.warmup else "event_ms")
    if true_ms and summary.mean_ms is not None:
        bias = (
            f", a warm pass takes {true_ms:.2f} ms, "
            f"which makes this mean {summary.mean_ms / true_ms - 1:+.0%} wrong"
        )
    yield Flag(
        "NO_SYNC",
        "invalid",
        hidden_ms,
        "ms hidden",
        f"not synchronized: {hidden_ms:.2f} ms of device work still ran when the last "
        f"call returned{bias}",
        "use timing.method=event",
    )


def _unfinished(outcome: Outcome) -> Iterator[Flag]:
    if outcome.effective.get("finite") is False:
        yield Flag(
            "NOT_FINITE",
            "suspect",
            None,
            "",
            "the output holds NaN or infinity, on which a device may be faster or slower than on "
            "real data",
            "look at the network, its weights and input.fill",
        )
    if outcome.effective.get("eval") is False:
        yield Flag(
            "TRAINING_MODE",
            "invalid",
            None,
            "",
            "a part of the network was in training mode after the timing, where dropout and batch "
            "norm work otherwise",
            "its forward must not call train()",
        )
    if outcome.effective.get("converged") is False:
        n = len(outcome.latency_ms)
        yield Flag(
            "NOT_CONVERGED",
            "suspect",
            n,
            "samples",
            f"the cap came before timing.target, after {n} samples",
            "raise timing.iterations or timing.max_seconds, or make the machine quieter",
        )


def _unsteady(trial: Trial, outcome: Outcome) -> Iterator[Flag]:
    inner, warmup = outcome.effective.get("inner", 1), trial.timing.warmup
    samples = list(outcome.latency_ms)
    if inner == 1:  # otherwise the warm-up's single passes are another kind of sample
        samples = [*outcome.warmup_ms, *samples]
    skipped = len(samples) - len(outcome.latency_ms)
    if warmup == 0:
        yield _cold(outcome)
    if trial.timing.method == "naive" and trial.device.partition(":")[0] != "cpu":
        return  # its samples change when the launch queue is full, whatever the device does
    shape = look(samples, skipped)
    if shape.slow_start is not None:
        yield _warmup_short(shape, warmup - skipped, inner)
    if shape.drift is not None:
        yield Flag(
            "DRIFT",
            "suspect",
            shape.drift,
            "+% from the first sample to the last",
            f"the time drifts by {shape.drift:+.1%} from the first sample to the last",
            "let the device reach its steady temperature and clocks, or lock the clocks",
        )
    if shape.modes is not None:
        settled = shape.slow_start.enough - skipped if shape.slow_start else 0
        yield _two_times(shape.modes, settled, outcome.latency_ms)
    if outcome.latency_ms and inner == 1 and np.median(outcome.latency_ms) < SHORTEST_SAMPLE_MS:
        yield Flag(
            "TOO_SHORT",
            "suspect",
            float(np.median(outcome.latency_ms)),
            "ms a sample",
            "a sample is shorter than 0.1 ms, of which the clock itself is a good part",
            "use timing.inner=100",
        )


def _two_times(modes: Modes, settled: int, latency_ms: Sequence[float]) -> Flag:
    """What two clusters mean, by their order in time after so many timed samples."""
    low_ms, high_ms, share = modes.low_ms, modes.high_ms, modes.minority
    slow_share = float(np.mean(np.asarray(latency_ms) > (low_ms + high_ms) / 2))
    usual_ms = high_ms if slow_share > 0.5 else low_ms
    found = (
        f"two clusters of times, {low_ms:.4g} and {high_ms:.4g} ms ({share:.0%} in the smaller "
        "one): no single figure stands for both"
    )
    if modes.changed_at is None:
        remedy = "look for changing clocks, another process or inputs of two kinds"
    else:
        found += f"; from timed sample {settled + modes.changed_at + 1} on it was the "
        if modes.slower_later:
            found += "slower one: the clocks fell or another process came"
            remedy = "look at temperature and clocks, and measure again"
        else:
            found += "faster one"
            remedy = "warm up beyond it, unless that is when another process ended"
    level = in_proportion(_effect(latency_ms, usual_ms))
    return Flag("BIMODAL", level, share, "% in the smaller cluster", found, remedy)


def _effect(latency_ms: Sequence[float], true_ms: float) -> float:
    """By which share mean and median, whichever is worse, are off what they should be."""
    figures = float(np.mean(latency_ms)), float(np.median(latency_ms))
    return max((figure / true_ms - 1 for figure in figures), key=abs) if true_ms else 0.0


def _cold(outcome: Outcome) -> Flag:
    first_ms, *others = outcome.latency_ms
    median = float(np.median(outcome.latency_ms))
    # of the first pass alone: what follows it slowly is WARMUP_SHORT's
    bias = float(np.mean(outcome.latency_ms) / np.mean(others) - 1) if others else 0.0
    return Flag(
        "NO_WARMUP",
        in_proportion(bias),
        bias,
        "+% on the mean",
        f"no warm-up: the first iteration took {first_ms:.2f} ms against a median of "
        f"{median:.2f}, which puts {bias:+.1%} on the mean",
        "raise timing.warmup",
    )


def _warmup_short(shape: Shape, passes_before: int, inner: int) -> Flag:
    assert shape.slow_start is not None
    enough = passes_before + shape.slow_start.enough * inner
    bias = shape.slow_start.bias
    return Flag(
        "WARMUP_SHORT",
        in_proportion(max(bias, shape.slow_start.median_bias, key=abs)),
        bias,
        "+% on the mean",
        f"the times had not settled when the warm-up ended, which puts {bias:+.1%} on the mean",
        f"timing.warmup={enough} would have sufficed",
        enough,
    )


def _noisy(trial: Trial, outcome: Outcome) -> Iterator[Flag]:
    n = len(outcome.latency_ms)
    if n < FEWEST_FOR_SHAPE:
        yield Flag(
            "FEW_SAMPLES",
            "suspect",
            n,
            "samples",
            f"{n} sample{'s' if n > 1 else ''} can't show a drift or two modes",
            f"take timing.iterations={FEWEST_FOR_SHAPE} or more",
        )
    limit = trial.timing.target or NOISE_LIMIT
    width = half_width(outcome.latency_ms)
    if width is None:
        yield Flag(
            "NOISY",
            "suspect",
            None,
            "",
            f"{n} samples are too few to bound their median"
            if n < FEWEST_FOR_MEDIAN
            else "the samples depend on each other too strongly to bound their median",
            "raise timing.iterations, or make the machine quieter",
        )
    elif width is not None and width > limit:
        needed = max(math.ceil(n * (width / limit) ** 2), FEWEST_FOR_SHAPE)
        feasible = needed < MOST_MORE * n
        more = f"about timing.iterations={needed} would do, or " if feasible else ""
        yield Flag(
            "NOISY",
            "suspect",
            width,
            f"% around the median (limit {limit:.1%})",
            f"the median is known to +-{width:.1%} only (limit {limit:.1%})",
            f"{more}make the machine quieter",
            needed,
        )


def _host_bound(trial: Trial, outcome: Outcome) -> Iterator[Flag]:
    names = ("enqueue_ms", "event_ms", "queued_ms")
    enqueue_ms, event_ms, queued_ms = (outcome.series.get(name) for name in names)
    if not queued_ms or enqueue_ms is None or event_ms is None:
        return
    launch, gaps = enqueue_ms / queued_ms, event_ms / queued_ms
    if launch > 0.8 or gaps > 1.05:
        seen = (
            f"is launched in {enqueue_ms:.3g} ms and runs for {queued_ms:.3g}"
            if launch > 0.8
            else f"takes {event_ms:.3g} ms alone and {queued_ms:.3g} behind other work"
        )
        yield Flag(
            "HOST_BOUND",
            # the gaps are in the number of one isolated request, and belong there
            "suspect" if trial.timing.method in ("event", "wall") else "note",
            launch,
            "% of the pass to launch it",
            f"the device waits for the host: a pass {seen}; "
            "the number says as much of the CPU as of the GPU",
            "timing.method=queued gives the device's share, a larger batch or "
            "timing.method=graph removes the gaps",
        )


def contended(cpu: dict[str, Any]) -> Iterator[Flag]:
    """What others took of the CPUs, by the report of a CpuWatch."""
    causes = {
        "run_queue_wait": "waiting for a CPU that others used",
        "steal": "stolen by the hypervisor",
        "throttled": "stopped by the cgroup's CPU quota",
    }
    shares = {name: cpu.get(f"{name}_share") for name in causes}
    if (cpu.get("steal_ms") or 0) < 2 * STEAL_TICK_MS and shares["steal"] is not None:
        shares["steal"] = 0.0
    if shares["run_queue_wait"] is None:
        reason = cpu.get("unknown", {}).get("run_queue_wait", "not read")
        yield Flag(
            "NOT_CHECKED",
            "suspect",
            None,
            "",
            f"whether others used the CPU can't be seen here ({reason})",
            "time on Linux, or make sure that nothing else runs",
        )
    worst = max(shares, key=lambda name: shares[name] or 0.0)
    share = shares[worst] or 0.0
    if share > SUSPECT_SHARE:
        yield Flag(
            "CPU_CONTENDED",
            "invalid" if share > INVALID_SHARE else "suspect",
            share,
            "% of the threads' time",
            f"{share:.1%} of the threads' time was spent {causes[worst]}",
            "stop what else runs on this machine (top shows it), or use fewer runtime.threads",
        )


def virtual(cpu: dict[str, Any]) -> Iterator[Flag]:
    """Whether neighbours may slow the CPU without a trace, by the report of a CpuWatch."""
    if cpu.get("virtual_machine"):
        yield Flag(
            "VIRTUAL_MACHINE",
            "note",
            None,
            "",
            "this is a virtual machine, where neighbours on the same cores may slow everything "
            "for minutes without a trace",
            "repeat it at another hour",
        )


def _oversubscribed(outcome: Outcome, cpu: dict[str, Any]) -> Iterator[Flag]:
    threads, usable = outcome.effective.get("threads"), cpu.get("usable_cpus")
    if threads and usable and threads > usable:
        yield Flag(
            "OVERSUBSCRIBED",
            "suspect",
            threads,
            "threads",
            f"{threads} threads on {usable} usable CPU{'s' if usable > 1 else ''}: they wait for "
            "each other at every step",
            f"use runtime.threads={usable}",
        )


def throttled(gpu: dict[str, Any]) -> Iterator[Flag]:
    """What held a GPU back, by the report of a GpuWatch."""
    clocks, fastest = gpu.get("sm_clock_mhz"), gpu.get("max_sm_clock_mhz")
    if gpu.get("event_reasons") is None or not clocks or not fastest:
        told = gpu.get("unknown") or {}
        why = "; ".join(f"{name}: {reason}" for name, reason in told.items()) or "NVML not read"
        yield Flag(
            "NOT_CHECKED",
            "suspect",
            None,
            "",
            f"whether the GPU was throttled can't be seen here ({why})",
            "time where NVML works to make sure",
        )
    reasons = (gpu.get("event_reasons") or 0) | (gpu.get("event_reasons_between") or 0)
    hard = [name for bit, name in SLOWDOWNS.items() if reasons & bit]
    soft = [name for bit, name in LIMITS.items() if reasons & bit]
    for name, held_ns in (gpu.get("violation_ns") or {}).items():
        share = (held_ns or 0) / max(gpu.get("watched_ns") or 0, held_ns or 0, 1)
        if share > SUSPECT_HELD:
            held = f"{name} limit for {share:.0%} of the timed part"
            if name in HARD_VIOLATIONS and share > INVALID_HELD:
                hard.append(held)
            elif name in (*HARD_VIOLATIONS, *SOFT_VIOLATIONS):
                soft.append(held)
    speed = min(clocks) / fastest if clocks and fastest else None
    if clocks and (max(clocks) - min(clocks)) / max(clocks) > CLOCK_RANGE:
        soft.append(f"SM clock between {min(clocks)} and {max(clocks)} MHz under load")
    if hard or soft:
        yield Flag(
            "THROTTLED",
            "invalid" if hard else "suspect",
            speed,
            "% of the fastest clock",
            f"the GPU ran below its speed ({', '.join(hard + soft)})",
            "cool it, raise its power limit or lock its clocks, and warm up longer",
        )
    elif clocks and speed is not None and speed < SLOW_CLOCK:
        yield Flag(
            "LOW_CLOCK",
            "note",
            speed,
            "% of the fastest clock",
            f"the SM clock was {min(clocks)} of {fastest} MHz under load, and nothing throttled "
            "it: locked, or not needed",
            "the number holds for this clock",
        )


def shared(gpu: dict[str, Any]) -> Iterator[Flag]:
    """Who else computes on a GPU, by the report of a GpuWatch."""
    pids = gpu.get("foreign_pids")
    if pids is None:
        reason = (gpu.get("unknown") or {}).get("foreign_pids", "not read")
        yield Flag(
            "FOREIGN_PROCESS",
            "note",
            None,
            "",
            f"unknown whether other processes use the GPU ({reason})",
            "nvidia-smi on the host shows",
        )
    elif pids:
        yield Flag(
            "FOREIGN_PROCESS",
            "suspect",
            len(pids),
            "processes",
            f"other processes compute on this GPU ({', '.join(map(str, pids[:5]))})",
            "stop them",
        )
