"""Flags of the CPU: contention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runner.contract import CUT_OFF, Level, counted
from runner.verdict.flag import Case, Flag

SUSPECT_SHARE, INVALID_SHARE = 0.01, 0.05  # of the threads' time, lost to others
STEAL_TICK_MS = 10.0  # the kernel counts stolen time in these; fewer than two of them say nothing


def of_cpu(case: Case) -> Iterator[Flag]:
    """All CPU flags of a trial; none for a scripted clock."""
    if case.trial.device_kind == "simulated":
        return
    yield from contended(case.cpu)
    yield from oversubscribed(case)
    if case.trial.device_kind == "cpu":
        yield from virtual(case.cpu)


def contended(cpu: dict[str, Any]) -> Iterator[Flag]:
    """Time lost to others, from the report of a CpuWatch."""
    causes = {
        "run_queue_wait": (
            "waiting for a CPU that others used",
            "stop other programs on this machine (see top), or use fewer runtime.threads",
        ),
        "steal": (
            "stolen by the hypervisor",
            "other virtual machines on the same host take it, and nothing here can stop them: "
            "measure at another hour, or on dedicated CPUs",
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
        found = f"CPU contention can't be measured here ({reason})"
        remedy = "measure on Linux, or make sure that nothing else runs"
        if reason.startswith(CUT_OFF):
            found = f"neither the CPU nor the GPU was checked ({reason})"
            remedy = "see worker.log, and run it again"
        yield Flag("NOT_CHECKED", Level.SUSPECT, None, "", found, remedy)
    worst = max(shares, key=lambda name: shares[name] or 0.0)
    share = shares[worst] or 0.0
    if share > SUSPECT_SHARE:
        yield Flag(
            "CPU_CONTENDED",
            Level.INVALID if share > INVALID_SHARE else Level.SUSPECT,
            share,
            f"% of the threads' time spent {causes[worst][0]}",
            f"{share:.1%} of the threads' time was spent {causes[worst][0]}",
            causes[worst][1],
        )


def virtual(cpu: dict[str, Any]) -> Iterator[Flag]:
    """Whether neighbours can slow the CPU unnoticed, from the report of a CpuWatch."""
    if cpu.get("virtual_machine"):
        yield Flag(
            "VIRTUAL_MACHINE",
            Level.NOTE,
            None,
            "",
            "this is a virtual machine, where neighbours on the same cores can slow everything "
            "for minutes unnoticed",
            "compare several processes (sweep.repeats=5) at different hours",
        )


def oversubscribed(case: Case) -> Iterator[Flag]:
    """More threads than CPUs."""
    threads, usable = case.outcome.effective.get("threads"), case.cpu.get("usable_cpus")
    instances = case.trial.load.instances if case.trial.device_kind == "cpu" else 1
    if not threads or not usable:
        return
    remedy = f"use runtime.threads={max(1, usable // instances)}"
    if instances > usable:
        remedy = f"use load.instances={usable}"
    threads *= instances
    if threads > usable:
        yield Flag(
            "OVERSUBSCRIBED",
            Level.SUSPECT,
            threads,
            "threads",
            f"{threads} threads on {counted(usable, 'usable CPU')}: they wait for "
            "each other at every step",
            remedy,
        )
