"""The work of a worker process: inspect the devices, or carry out one trial.

torch is imported when used, so that the main process can name these functions without it.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from runner.contract import Phase, Problem, Status
from runner.host.devices import Devices
from runner.host.raised import is_interrupt, text_of
from runner.measure.loop import Keep
from runner.records.record import Outcome
from runner.trial.description import Runtime, Trial
from runner.worker.findings import OptionalReads
from runner.worker.observe import observe, with_launches
from runner.worker.prepared import Prepared, prepare

if TYPE_CHECKING:
    from runner.measure.loop import Measurement

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
    found = (*problems(trials), *_of_requests([trial for trial in trials if trial.is_e2e]))
    sizes = {} if found else own_sizes(trials)
    return Inspection(Devices(cuda, xpu, mps, uuids), found, sizes)


def _of_requests(trials: Sequence[Trial]) -> Iterator[Problem]:
    if trials:  # PIL and the transforms take their time to import
        from runner.pipelines.request import problems

        for trial in trials:
            yield from problems(trial)


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


def _timed(trial: Trial, listener: PhaseCallbacks) -> Outcome:
    import torch

    from runner.measure.torch_device import TorchDevice
    from runner.worker.torch_settings import in_force

    listener.phase(Phase.BUILD, None)
    started = time.perf_counter()
    eager = trial.engine.name == "eager" and trial.runtime.compile == "off"
    device = TorchDevice(torch.device(trial.device), eager)
    with in_force(_shared_out(trial)), torch.inference_mode(), device.selected():
        prepared = prepare(trial, device, started)
        raw, work = _measure(prepared, listener)
        listener.measured(raw)
        findings = OptionalReads()
        observed = findings.get("contention", lambda: observe(prepared, raw, work))
        return observed or replace(raw, why_null=findings.why_null)


def _measure(prepared: Prepared, listener: PhaseCallbacks) -> tuple[Outcome, Callable[[], object]]:
    """The raw outcome, and the timed work as one call."""
    from runner.measure.loop import Around, measure

    timing = prepared.trial.timing
    if prepared.trial.is_load:
        from runner.worker.service import serve

        if listener.turn is not None:
            prepared.wait(listener.turn)
        return serve(prepared, listener.phase, listener.keep), prepared.answer
    measurement = measure(
        prepared.answer,
        prepared.device,
        timing,
        Around(
            listener.phase,
            look=prepared.look,
            # workers that prepare the next batch do so during a look, too
            settle=prepared.gpu is not None or prepared.trial.pipeline.overlap,
            turn=None if listener.turn is None else partial(prepared.wait, listener.turn),
            enough=_reached(timing.target),
            keep=listener.keep,
        ),
    )
    return _raw(measurement, **prepared.setup_s), measurement.work


def _shared_out(trial: Trial) -> Runtime:
    """The runtime settings, with the CPUs shared out among several instances."""
    from runner.host.cpu import usable_cpus

    instances, runtime = trial.load.instances, trial.runtime
    if instances == 1 or runtime.threads is not None or trial.device_kind != "cpu":
        return runtime
    return replace(runtime, threads=max(1, usable_cpus() // instances))


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


def _simulated(trial: Trial, listener: PhaseCallbacks) -> Outcome:
    """Time the simulated device, whose clock nothing can disturb."""
    from runner.host.environment import device_environment
    from runner.measure.simulated import SimulatedDevice

    device: Any = SimulatedDevice(**trial.model.kwargs)
    if trial.is_load:
        from runner.worker.service import serve_simulated

        others = [SimulatedDevice(**trial.model.kwargs) for _ in range(1, trial.load.instances)]
        raw = serve_simulated(trial, [device, *others], listener.keep)
    else:
        raw = _simulated_passes(trial, device, listener)
    listener.measured(raw)
    findings = OptionalReads()
    return replace(
        with_launches(raw, device.forward, device, trial, findings),
        effective=raw.effective | {"device": "simulated", "simulated": trial.model.kwargs},
        environment=findings.get("environment", lambda: device_environment(trial.device)) or {},
        why_null=findings.why_null,
    )


def _simulated_passes(trial: Trial, device: Any, listener: PhaseCallbacks) -> Outcome:
    from runner.measure.loop import Around, measure

    around = Around(
        listener.phase,
        turn=listener.turn,
        enough=_reached(trial.timing.target),
        keep=listener.keep,
    )
    measurement = measure(device.forward, device, trial.timing, around)
    return _raw(measurement, true_ms=device.latency_ms)


def _reached(target: float | None) -> Callable[[Sequence[float]], bool]:
    """Whether an adaptive run knows the median well enough."""
    if target is None:
        return lambda samples: False
    from runner.statistics.adaptive import is_reached

    return partial(is_reached, target)
