"""The work of a worker process: inspect the devices, or carry out one trial.

torch is imported when used, so that the main process can name these functions without it.
"""

from __future__ import annotations

import math
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from runner.contract import Phase, Problem, Status
from runner.host.devices import Devices
from runner.host.raised import is_interrupt, text_of
from runner.measure.loop import Keep
from runner.records.record import Outcome
from runner.trial.description import Trial
from runner.trial.methods import METHODS
from runner.worker.findings import OptionalReads

if TYPE_CHECKING:
    from runner.host.cpu import CpuWatch
    from runner.host.gpu import GpuWatch
    from runner.measure.device import Device
    from runner.measure.loop import Measurement
    from runner.measure.torch_device import TorchDevice
    from runner.models.workload import Workload

ROTATED_CACHES = 5  # inputs in rotation exceed the last-level cache so many times
LOAD_S = 0.5  # of load while clocks are read: power capping shows only after a while
COMPILING_CALLS = 3  # modes with CUDA graphs warm up and record in the later ones
LOAD_CHUNK_MS = 20.0  # of load launched at a time
# torch has no error class for failed allocations on the host
CPU_RAN_OUT = ("DefaultCPUAllocator: can't allocate memory", "Storage size calculation overflowed")


@dataclass(frozen=True)
class PhaseCallbacks:
    """Receives the progress of a trial.

    Each phase before it begins, with its expected seconds (None: unknown), the raw outcome
    as soon as the last sample is taken, and `keep` the samples before that. `turn`, if two
    processes use a device in turns, returns when this one may time its next block.
    """

    phase: Callable[[Phase, float | None], None] = lambda name, expected_s: None
    measured: Callable[[Outcome], None] = lambda outcome: None
    turn: Callable[[], None] | None = None
    keep: Keep = field(default_factory=Keep)


@dataclass(frozen=True)
class Inspection:
    """What only a process with torch can find out before the first trial."""

    devices: Devices = field(default_factory=Devices)
    problems: tuple[Problem, ...] = ()
    own_sizes: dict[str, tuple[int, int]] = field(default_factory=dict)  # by the model's label


def inspect(trials: Sequence[Trial], _listener: PhaseCallbacks) -> Inspection:
    """Usable devices, problems of models and engines, and the models' own sizes."""
    import torch

    from runner.host.gpu import torch_uuid
    from runner.models.sources import own_sizes, problems

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    xpu = torch.xpu.device_count() if torch.xpu.is_available() else 0
    mps = int(torch.backends.mps.is_available())
    uuids = tuple(torch_uuid(torch.cuda.get_device_properties(index)) for index in range(cuda))
    found = tuple(problems(trials))
    sizes = {} if found else own_sizes(trials)
    return Inspection(Devices(cuda, xpu, mps, uuids), found, sizes)


def costs(trials: Sequence[Trial], _listener: PhaseCallbacks) -> dict[str, dict[str, float]]:
    """The cost of a pass of each trial, by folder, where known."""
    from runner.models.sources import cost_before

    found = {trial.folder: cost_before(trial) for trial in trials}
    return {folder: asdict(cost) for folder, cost in found.items() if cost is not None}


def run_trial(trial: Trial, listener: PhaseCallbacks) -> Outcome:
    """Prepare, measure, observe: the whole of one trial, in this process.

    Any exception but an interrupt, including `sys.exit`, becomes the outcome's status and
    error. After the last sample the listener gets the raw outcome, and no later failure
    loses it.
    """
    from runner.host.secrets import know

    know(vars(trial.model))
    try:
        return _simulated(trial, listener) if _is_simulated(trial) else _timed(trial, listener)
    except BaseException as error:
        if is_interrupt(error):
            raise
        return _failed(trial, error)


def _is_simulated(trial: Trial) -> bool:
    return trial.device_kind == "simulated"


def _failed(trial: Trial, raised: BaseException) -> Outcome:
    import torch

    from runner.host.environment import device_environment
    from runner.host.secrets import redact
    from runner.models.custom import place_of

    trace = redact("".join(traceback.format_exception(raised)))
    print(trace, file=sys.stderr)
    ran_out = isinstance(raised, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(raised, RuntimeError) and any(sign in text_of(raised) for sign in CPU_RAN_OUT)
    )
    findings = OptionalReads()
    environment = findings.get("environment", lambda: device_environment(trial.device))
    return Outcome(
        Status.OUT_OF_MEMORY if ran_out else Status.FAILED,
        environment=environment or {},
        error={
            "where": place_of(raised) or "",
            "type": type(raised).__name__,
            "message": redact(_without_stack(text_of(raised))),
            "trace": trace,
        },
        why_null=findings.why_null,
    )


def _without_stack(message: str) -> str:
    """The message of torch without its C++ stack and its general advice on CUDA errors."""
    for sign in ("\nException raised from", "\nSearch for `cuda", "\nCUDA kernel errors might"):
        message = message.partition(sign)[0]
    return message


@dataclass(frozen=True)
class Prepared:
    """Everything needed to time a trial: workload, device, watchers."""

    trial: Trial
    workload: Workload
    device: TorchDevice
    setup_s: dict[str, float]
    cpu: CpuWatch
    gpu: GpuWatch | None
    compilations: list[int] = field(default_factory=list)

    def look(self) -> None:
        """Read all counters, between two blocks of the timed part."""
        self.cpu.look()
        if self.gpu is not None:
            self.gpu.look()
        if self.trial.runtime.compile != "off":
            from runner.models.compiled import compilations

            self.compilations.append(compilations())

    def wait(self, turn: Callable[[], None]) -> None:
        """Wait for a turn, which is no part of any block."""
        turn()
        self.cpu.look(after_pause=True)


def _timed(trial: Trial, listener: PhaseCallbacks) -> Outcome:
    import torch

    from runner.measure.torch_device import TorchDevice
    from runner.worker.torch_settings import in_force

    listener.phase(Phase.BUILD, None)
    started = time.perf_counter()
    eager = trial.engine.name == "eager" and trial.runtime.compile == "off"
    device = TorchDevice(torch.device(trial.device), eager)
    with in_force(trial.runtime), torch.inference_mode(), device.selected():
        prepared = _prepare(trial, device, started)
        raw, work = _measure(prepared, listener)
        listener.measured(raw)
        findings = OptionalReads()
        observed = findings.get("contention", lambda: _observe(prepared, raw, work))
        return observed or replace(raw, why_null=findings.why_null)


def _prepare(trial: Trial, device: TorchDevice, started: float) -> Prepared:
    """Build the network and its inputs, and start the watchers."""
    import torch

    from runner.host.cpu import CpuWatch
    from runner.host.gpu import GpuWatch, torch_uuid
    from runner.measure.torch_device import cache_bytes
    from runner.models.sources import build

    at = torch.device(trial.device)
    workload = build(trial, at)
    if trial.timing.cache == "rotate":
        workload = workload.rotated(ROTATED_CACHES * cache_bytes(at))
    device.synchronize()
    setup_s = dict(workload.setup_s)
    setup_s["build_s"] = time.perf_counter() - started - sum(setup_s.values())
    if trial.runtime.compile != "off":
        started = time.perf_counter()
        for _ in range(COMPILING_CALLS):
            workload.forward()
        device.synchronize()
        setup_s["compile_s"] = time.perf_counter() - started
    # one thread launches work on a GPU
    cpu = CpuWatch(torch.get_num_threads() if at.type == "cpu" else 1)
    gpu = None
    if at.type == "cuda":
        gpu = GpuWatch(torch_uuid(torch.cuda.get_device_properties(at)))
    device.reset_peak_memory()
    return Prepared(trial, workload, device, setup_s, cpu, gpu)


def _measure(prepared: Prepared, listener: PhaseCallbacks) -> tuple[Outcome, Callable[[], object]]:
    """The raw outcome, and the timed work as one call."""
    from runner.measure.loop import Around, measure

    timing = prepared.trial.timing
    measurement = measure(
        prepared.workload.forward,
        prepared.device,
        timing,
        Around(
            listener.phase,
            look=prepared.look,
            settle=prepared.gpu is not None,
            turn=None if listener.turn is None else partial(prepared.wait, listener.turn),
            enough=_reached(timing.target),
            keep=listener.keep,
        ),
    )
    return _raw(measurement, **prepared.setup_s), measurement.work


def _raw(measurement: Measurement, **figures: float) -> Outcome:
    taken = ("hidden_device_ms", "synced_ms", "discarded")
    return Outcome(
        Status.COMPLETED,
        warmup_ms=measurement.warmup_ms,
        latency_ms=measurement.latency_ms,
        figures=figures | {name: getattr(measurement, name) for name in taken},
        effective={"inner": measurement.inner, "converged": measurement.converged},
        why_null={"contention": "not read yet"},
    )


def _observe(prepared: Prepared, raw: Outcome, work: Callable[[], object]) -> Outcome:
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
    raw = _with_launches(raw, workload.forward, device, prepared.trial, findings, peak_mib=peak_mib)
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


def _simulated(trial: Trial, listener: PhaseCallbacks) -> Outcome:
    """Time the simulated device, whose clock nothing can disturb."""
    from runner.host.environment import device_environment
    from runner.measure.loop import Around, measure
    from runner.measure.simulated import SimulatedDevice

    device: Any = SimulatedDevice(**trial.model.kwargs)
    around = Around(
        listener.phase,
        turn=listener.turn,
        enough=_reached(trial.timing.target),
        keep=listener.keep,
    )
    measurement = measure(device.forward, device, trial.timing, around)
    raw = _raw(measurement, true_ms=device.latency_ms)
    listener.measured(raw)
    findings = OptionalReads()
    return replace(
        _with_launches(raw, device.forward, device, trial, findings),
        effective=raw.effective | {"device": "simulated", "simulated": trial.model.kwargs},
        environment=findings.get("environment", lambda: device_environment(trial.device)) or {},
        why_null=findings.why_null,
    )


def _reached(target: float | None) -> Callable[[Sequence[float]], bool]:
    """Whether an adaptive run knows the median well enough."""
    if target is None:
        return lambda samples: False
    from runner.statistics.adaptive import is_reached

    return partial(is_reached, target)


def _with_launches(
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
    if trial.device_kind in METHODS["queued"].devices and trial.engine.name == "eager":
        cost = findings.get("figures.enqueue_ms", lambda: launch_cost(forward, device))
        if cost is not None:
            series = cost.series
            if cost.why_not_queued is not None:
                findings.why_null["figures.queued_ms"] = cost.why_not_queued
    medians_ms = {name: getattr(cost, name, None) for name in names}
    return replace(raw, figures=raw.figures | medians_ms | figures, series=series)


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
