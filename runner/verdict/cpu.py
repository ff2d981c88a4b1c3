"""Flags of the CPU: what others took of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runner.contract import CUT_OFF, Level, counted
from runner.verdict.flag import Case, Flag

SUSPECT_SHARE, INVALID_SHARE = 0.01, 0.05  # of the threads' time, taken by others
STEAL_TICK_MS = 10.0  # the kernel counts stolen time in these; fewer than two of them say nothing


def of_cpu(case: Case) -> Iterator[Flag]:
    """All of them for a trial; nobody can disturb a scripted clock."""
    if case.trial.device_kind == "simulated":
        return
    yield from contended(case.cpu)
    yield from oversubscribed(case)
    if case.trial.device_kind == "cpu":
        yield from virtual(case.cpu)


def contended(cpu: dict[str, Any]) -> Iterator[Flag]:
    """What others took of the CPUs, by the report of a CpuWatch."""
    causes = {
        "run_queue_wait": (
            "waiting for a CPU that others used",
            "stop what else runs on this machine (top shows it), or use fewer runtime.threads",
        ),
        "steal": (
            "stolen by the hypervisor",
            "other virtual machines on the same host take it, which nothing here can stop: time at "
            "another hour, or on CPUs of your own",
        ),
        "throttled": (
            "stopped by the cgroup's CPU quota",
            "raise the quota of this container, or use fewer runtime.threads",
        ),
    }
    shares = {name: cpu.get(f"{name}_share") for name in causes}
    if (cpu.get("steal_ms") or 0) < 2 * STEAL_TICK_MS and shares["steal"] is not None:
        shares["steal"] = 0.0
    if shares["run_queue_wait"] is None:
        reason = cpu.get("unknown", {}).get("run_queue_wait", "not read")
        found = f"whether others used the CPU can't be seen here ({reason})"
        remedy = "time on Linux, or make sure that nothing else runs"
        if reason.startswith(CUT_OFF):
            found = f"neither the CPU nor the GPU was looked at ({reason})"
            remedy = "look into worker.log, and time it again"
        yield Flag("NOT_CHECKED", Level.SUSPECT, None, "", found, remedy)
    worst = max(shares, key=lambda name: shares[name] or 0.0)
    share = shares[worst] or 0.0
    if share > SUSPECT_SHARE:
        yield Flag(
            "CPU_CONTENDED",
            Level.INVALID if share > INVALID_SHARE else Level.SUSPECT,
            share,
            "% of the threads' time",
            f"{share:.1%} of the threads' time was spent {causes[worst][0]}",
            causes[worst][1],
        )


def virtual(cpu: dict[str, Any]) -> Iterator[Flag]:
    """Whether neighbours may slow the CPU without a trace, by the report of a CpuWatch."""
    if cpu.get("virtual_machine"):
        yield Flag(
            "VIRTUAL_MACHINE",
            Level.NOTE,
            None,
            "",
            "this is a virtual machine, where neighbours on the same cores may slow everything "
            "for minutes without a trace",
            "compare several processes (sweep.repeats=5), at different hours",
        )


def oversubscribed(case: Case) -> Iterator[Flag]:
    """More threads than CPUs."""
    threads, usable = case.outcome.effective.get("threads"), case.cpu.get("usable_cpus")
    if threads and usable and threads > usable:
        yield Flag(
            "OVERSUBSCRIBED",
            Level.SUSPECT,
            threads,
            "threads",
            f"{threads} threads on {counted(usable, 'usable CPU')}: they wait for "
            "each other at every step",
            f"use runtime.threads={usable}",
        )
