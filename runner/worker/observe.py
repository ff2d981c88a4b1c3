"""What is read after the timed part, when the samples are safe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from runner.measure.device import Device
from runner.records.record import Outcome
from runner.trial.description import Trial
from runner.trial.methods import METHODS
from runner.worker.findings import OptionalReads
from runner.worker.prepared import Prepared

if TYPE_CHECKING:
    from runner.host.gpu import GpuWatch

LOAD_S = 0.5  # of load while clocks are read: power capping shows only after a while
LOAD_CHUNK_MS = 20.0  # of load launched at a time


def observe(prepared: Prepared, raw: Outcome, work: Callable[[], object]) -> Outcome:
    """The outcome with everything that is read after the timed part."""
    from runner.host.cpu import usable_cpus
    from runner.host.environment import device_environment

    findings, workload, device = OptionalReads(), prepared.workload, prepared.device
    contention: dict[str, Any] = {
        "cpu": findings.get(
            "contention.cpu", lambda: prepared.cpu.report() | {"usable_cpus": usable_cpus()}
        ),
        "gpu": None,
    }
    if (gpu := prepared.gpu) is not None:
        findings.get("contention.gpu.load", lambda: keep_loaded(gpu, work, device))
        contention["gpu"] = findings.get("contention.gpu", gpu.report)
        gpu.close()
    facts = {**device.settings(), **workload.describe}
    effective = {name: findings.get(f"effective.{name}", read) for name, read in facts.items()}
    peak_mib = findings.get(
        "figures.peak_mib", lambda: device.peak_mib() - workload.own_bytes / 2**20
    )
    if seen := prepared.compilations:
        effective["recompilations"] = seen[-1] - seen[0]
    raw = with_launches(raw, workload.forward, device, prepared.trial, findings, peak_mib=peak_mib)
    if prepared.requests is not None:
        raw = _with_phases(raw, prepared, findings)
        facts = prepared.requests.facts
        effective |= {name: findings.get(f"effective.{name}", read) for name, read in facts.items()}
        prepared.requests.close()
    found, agreed = _output(prepared, findings)
    effective |= found
    cost = workload.cost and findings.get("figures.gflop", workload.cost)
    counted: dict[str, float | None] = {}
    if workload.cost is not None:
        counted = asdict(cost) if cost else {"gflop": None}
    return replace(
        raw,
        figures=raw.figures | agreed | counted,
        effective=raw.effective | effective,
        environment=findings.get("environment", lambda: device_environment(prepared.trial.device))
        or {},
        contention=contention,
        why_null=findings.why_null,
    )


def _output(
    prepared: Prepared, findings: OptionalReads
) -> tuple[dict[str, Any], dict[str, float | None]]:
    """Properties of the output: finite, dtype, and error against fp32."""
    from runner.models.guard import agreement, denormal_share, finite
    from runner.models.workload import dtypes_of

    workload = prepared.workload
    returned = findings.get("effective.finite", lambda: (workload.forward(),))
    if returned is None:
        why_not = findings.why_null["effective.finite"]
        untold = ("effective.output_dtype", "effective.denormal_output", "figures.rel_error")
        findings.why_null |= dict.fromkeys(untold, why_not)
        nothing = dict.fromkeys(("finite", "output_dtype", "denormal_output"))
        return nothing, {"rel_error": None}
    (output,) = returned
    effective = {
        "finite": findings.get("effective.finite", lambda: finite(output)),
        "output_dtype": findings.get("effective.output_dtype", lambda: dtypes_of(output)),
        "denormal_output": findings.get(
            "effective.denormal_output", lambda: denormal_share(output)
        ),
    }
    if (reference := workload.reference) is None:  # it is itself the reference
        return effective, {}
    classes = prepared.trial.model.task == "classification"
    found = findings.get("figures.rel_error", lambda: agreement(output, reference(), classes))
    return effective, {"rel_error": None} if found is None else asdict(found)


def with_launches(
    raw: Outcome,
    forward: Callable[[], object],
    device: Device,
    trial: Trial,
    findings: OptionalReads,
    **figures: float | None,
) -> Outcome:
    """The outcome with the launch probe's figures; null on devices that can't be kept busy."""
    from runner.measure.launch import launch_cost

    series: dict[str, list[float]] = {}
    names, cost = ("enqueue_ms", "event_ms", "queued_ms"), None
    # events do not cover the work of other engines
    alone = not (trial.is_e2e or trial.is_load)
    if alone and trial.device_kind in METHODS["queued"].devices and trial.engine.name == "eager":
        cost = findings.get("figures.enqueue_ms", lambda: launch_cost(forward, device))
        if cost is not None:
            series = cost.series
            if cost.why_not_queued is not None:
                findings.why_null["figures.queued_ms"] = cost.why_not_queued
    medians_ms = {name: getattr(cost, name, None) for name in names} if alone else {}
    return replace(raw, figures=raw.figures | medians_ms | figures, series=raw.series | series)


def _with_phases(raw: Outcome, prepared: Prepared, findings: OptionalReads) -> Outcome:
    """The outcome with the phases of a request."""
    from runner.pipelines.request import medians_of, phases_of

    requests = prepared.requests
    assert requests is not None
    budget_s = sum(raw.latency_ms) / 1000
    series = findings.get(
        "figures.phases_sum_ms", lambda: phases_of(requests, prepared.device, budget_s)
    )
    if series is None:
        return raw
    return replace(raw, figures={**raw.figures, **medians_of(series)}, series=raw.series | series)


def keep_loaded(gpu: GpuWatch, work: Callable[[], object], device: Device) -> None:
    """Keep the GPU under the timed load while its clocks are read."""
    began = time.perf_counter()
    work()
    device.synchronize()
    pass_ms = (time.perf_counter() - began) * 1000  # including work that the samples may not cover
    passes = max(1, math.ceil(LOAD_CHUNK_MS / max(pass_ms, 0.001)))
    until = time.perf_counter() + LOAD_S
    with gpu.looking():
        while time.perf_counter() < until:
            for _ in range(passes):
                work()
            device.synchronize()
