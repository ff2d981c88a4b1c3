"""What a worker process does: look at the devices, or carry out one trial.

torch is imported when used, so that the main process can name these functions without it.
"""

from __future__ import annotations

import math
import resource
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from runner.devices import Devices
from runner.record import Outcome
from runner.trial import METHODS, Model, Trial

if TYPE_CHECKING:
    from runner.gpu import GpuWatch
    from runner.measure.device import Device
    from runner.measure.loop import Measurement

ROTATED_CACHES = 5  # times the last-level cache, that inputs in rotation exceed
LOAD_MS = 50.0  # of work queued while the clocks are read
Announce = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Inspection:
    """What only a process with torch can say before the first trial."""

    devices: Devices = field(default_factory=Devices)
    problems: tuple[str, ...] = ()


def inspect(models: Sequence[Model], _announce: Announce) -> Inspection:
    """Usable devices, and what is wrong with the models' targets and weights."""
    import torch

    from runner.models import problems

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    xpu = torch.xpu.device_count() if torch.xpu.is_available() else 0
    mps = int(torch.backends.mps.is_available())
    return Inspection(Devices(cuda=cuda, xpu=xpu, mps=mps), tuple(problems(models)))


def run_trial(trial: Trial, announce: Announce) -> Outcome:
    """Build, warm up, time: the whole of one trial, in this process.

    An exception becomes the outcome's status and error. Only torch's own
    out-of-memory error, or Python's, is called out_of_memory.
    """
    import torch

    from runner.environment import device_environment, redact

    try:
        return _timed(trial, announce)
    except Exception as error:
        raised = error
    trace = redact("".join(traceback.format_exception(raised)))
    print(trace, file=sys.stderr)
    ran_out = isinstance(raised, (torch.OutOfMemoryError, MemoryError))
    return Outcome(
        "out_of_memory" if ran_out else "failed",
        environment=device_environment(trial.device),
        error={
            "type": type(raised).__name__,
            "message": redact(str(raised)),
            "trace": trace,
        },
    )


def _timed(trial: Trial, announce: Announce) -> Outcome:
    if trial.device == "simulated":
        return _simulated(trial, announce)
    import torch

    from runner.contention import CpuWatch, usable_cpus
    from runner.environment import device_environment
    from runner.gpu import GpuWatch
    from runner.measure.device import TorchDevice, cache_bytes
    from runner.measure.loop import measure
    from runner.models import build, effective_settings, tensors_of

    announce("build", None)
    threads = trial.runtime.threads or min(torch.get_num_threads(), usable_cpus())
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = trial.runtime.cudnn_benchmark
    device = torch.device(trial.device)
    started = time.perf_counter()
    clock = TorchDevice(device)
    with torch.inference_mode(), clock.selected():
        workload = build(trial, device)
        if trial.timing.cache == "rotate":
            workload = workload.rotated(ROTATED_CACHES * cache_bytes(device))
        clock.synchronize()
        build_s = time.perf_counter() - started
        cpu = CpuWatch(threads if device.type == "cpu" else 1)  # one thread feeds a GPU
        gpu = GpuWatch(_uuid(device)) if device.type == "cuda" else None

        def look() -> None:
            cpu.look()
            if gpu is not None:
                gpu.look()

        measurement = measure(
            workload.forward,
            clock,
            trial.timing,
            announce,
            between_blocks=look,
            enough=_reached(trial.timing.target),
        )
        contention = {"cpu": cpu.report() | {"usable_cpus": usable_cpus()}, "gpu": None}
        if gpu is not None:
            _look_under_load(gpu, workload.forward, clock, measurement.latency_ms)
            contention["gpu"] = gpu.report()
            gpu.close()
        effective = effective_settings(workload, device, trial.input.size)
        peak_mib = _peak_mib(device)
        output = tensors_of(workload.forward())
        effective["finite"] = all(bool(torch.isfinite(tensor).all()) for tensor in output)
        launches = _launches(workload.forward, clock, trial)
    return _completed(
        measurement,
        series=launches | {"build_s": build_s, "peak_mib": peak_mib},
        effective=effective,
        environment=device_environment(trial.device),
        contention=contention,
    )


def _simulated(trial: Trial, announce: Announce) -> Outcome:
    """Time the simulated device, whose clock no one can disturb."""
    from runner.environment import device_environment
    from runner.measure.loop import measure
    from runner.measure.simulated import SimulatedDevice

    device: Any = SimulatedDevice(**trial.model.kwargs)
    true_ms: dict[str, float | None] = {"true_ms": device.latency_ms}
    enough = _reached(trial.timing.target)
    measurement = measure(device.forward, device, trial.timing, announce, enough=enough)
    return _completed(
        measurement,
        series=true_ms | _launches(device.forward, device, trial),
        effective={"device": "simulated", "simulated": trial.model.kwargs},
        environment=device_environment(trial.device),
        contention=None,
    )


def _completed(
    measurement: Measurement,
    *,
    series: dict[str, float | None],
    effective: dict[str, Any],
    **facts: Any,
) -> Outcome:
    taken = ("hidden_device_ms", "synced_ms", "discarded")
    settings = {"inner": measurement.inner, "converged": measurement.converged}
    return Outcome(
        "completed",
        warmup_ms=measurement.warmup_ms,
        latency_ms=measurement.latency_ms,
        series=series | {name: getattr(measurement, name) for name in taken},
        effective=effective | settings,
        **facts,
    )


def _reached(target: float | None) -> Callable[[Sequence[float]], bool]:
    """Whether the median is known as well as an adaptive run wants it."""
    if target is None:
        return lambda samples: False
    from runner.statistics.quantiles import half_width

    def reached(samples: Sequence[float]) -> bool:
        width = half_width(samples)
        return width is not None and width <= target

    return reached


def _launches(
    forward: Callable[[], object], clock: Device, trial: Trial
) -> dict[str, float | None]:
    """What launching costs, where a device can be kept busy; nulls elsewhere."""
    from runner.measure.device import MeasureError
    from runner.measure.loop import launch_cost

    nothing: dict[str, float | None] = dict.fromkeys(("enqueue_ms", "event_ms", "queued_ms"))
    if trial.device.partition(":")[0] not in METHODS["queued"]:
        return nothing
    try:
        return asdict(launch_cost(forward, clock))
    except MeasureError as error:
        print(f"launch cost: {error}", file=sys.stderr)  # into worker.log
        return nothing


def _uuid(device: Any) -> str | None:
    import torch

    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return None if uuid is None else str(uuid)


def _look_under_load(
    gpu: GpuWatch, forward: Callable[[], object], clock: Device, latency_ms: Sequence[float]
) -> None:
    """Read the clocks while the GPU works, after the timed part: idle ones say little."""
    pass_ms = max(sorted(latency_ms)[len(latency_ms) // 2], 0.001)
    for _ in range(min(1000, math.ceil(LOAD_MS / pass_ms))):
        forward()
    gpu.look()
    clock.synchronize()


def _peak_mib(device: Any) -> float:
    """Most memory in use so far: of the allocator on a GPU, of the process on a CPU."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
