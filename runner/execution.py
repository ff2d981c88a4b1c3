"""What a worker process does: look at the devices, or carry out one trial.

torch is imported when used, so that the main process can name these functions without it.
"""

from __future__ import annotations

import math
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

from runner.devices import Devices
from runner.record import Listener, Outcome
from runner.trial import METHODS, Model, Trial

if TYPE_CHECKING:
    import torch

    from runner.contention import CpuWatch
    from runner.gpu import GpuWatch
    from runner.measure.device import Device
    from runner.measure.loop import Measurement
    from runner.measure.torch_device import TorchDevice
    from runner.models import Workload

ROTATED_CACHES = 5  # times the last-level cache, that inputs in rotation exceed
LOAD_S = 0.5  # of work while the clocks are read: power capping shows only after a while
LOAD_CHUNK_MS = 20.0  # of it launched at a time
# torch has no error of its own for memory that the host's allocator refuses
CPU_RAN_OUT = ("DefaultCPUAllocator: can't allocate memory", "Storage size calculation overflowed")
T = TypeVar("T")


@dataclass(frozen=True)
class Inspection:
    """What only a process with torch can say before the first trial."""

    devices: Devices = field(default_factory=Devices)
    problems: tuple[str, ...] = ()


def inspect(models: Sequence[Model], _listener: Listener) -> Inspection:
    """Usable devices, and what is wrong with the models' targets and weights."""
    import torch

    from runner.models import problems

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    xpu = torch.xpu.device_count() if torch.xpu.is_available() else 0
    mps = int(torch.backends.mps.is_available())
    return Inspection(Devices(cuda=cuda, xpu=xpu, mps=mps), tuple(problems(models)))


class Findings:
    """What is looked at once the samples are safe: any of it may fail, and costs only itself."""

    def __init__(self) -> None:
        self.why_null: dict[str, str] = {}

    def get(self, name: str, look: Callable[[], T]) -> T | None:
        """What `look` gives; None, with the reason kept under `name`, if it raises."""
        from runner.environment import redact

        try:
            return look()
        except Exception as error:
            print(redact(traceback.format_exc()), file=sys.stderr)  # into worker.log
            self.why_null[name] = redact(f"{type(error).__name__}: {error}").partition("\n")[0]
            return None


def run_trial(trial: Trial, listener: Listener) -> Outcome:
    """Build, warm up, time: the whole of one trial, in this process.

    An exception becomes the outcome's status and error. After the last sample the
    listener gets the raw outcome, and nothing that fails from there on loses it.
    """
    import torch

    from runner.environment import device_environment, redact

    try:
        with _settings_restored():
            return _timed(trial, listener)
    except Exception as error:
        raised = error
    trace = redact("".join(traceback.format_exception(raised)))
    print(trace, file=sys.stderr)
    ran_out = isinstance(raised, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(raised, RuntimeError) and any(sign in str(raised) for sign in CPU_RAN_OUT)
    )
    findings = Findings()
    environment = findings.get("environment", lambda: device_environment(trial.device))
    return Outcome(
        "out_of_memory" if ran_out else "failed",
        environment=environment or {},
        error={
            "type": type(raised).__name__,
            "message": redact(str(raised).partition("\nException raised from")[0]),  # less C++
            "trace": trace,
        },
        why_null=findings.why_null,
    )


@contextmanager
def _settings_restored() -> Iterator[None]:
    """Leave torch's settings as they were: with isolation=none the next trial runs here, too."""
    import torch

    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = benchmark


def _timed(trial: Trial, listener: Listener) -> Outcome:
    if trial.device == "simulated":
        return _simulated(trial, listener)
    import torch

    from runner.contention import CpuWatch, usable_cpus
    from runner.environment import torch_uuid
    from runner.gpu import GpuWatch
    from runner.measure.loop import measure
    from runner.measure.torch_device import TorchDevice, cache_bytes
    from runner.models import build

    listener.phase("build", None)
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
        gpu = None
        if device.type == "cuda":
            gpu = GpuWatch(torch_uuid(torch.cuda.get_device_properties(device)))
        clock.reset_peak_memory()

        def look() -> None:
            cpu.look()
            if gpu is not None:
                gpu.look()

        measurement = measure(
            workload.forward,
            clock,
            trial.timing,
            listener.phase,
            look=look,
            settle=gpu is not None,
            enough=_reached(trial.timing.target),
        )
        raw = _raw(measurement, build_s=build_s)
        listener.measured(raw)
        findings = Findings()
        observed = findings.get(
            "contention",
            lambda: _observed(raw, trial, clock, workload, measurement.work, cpu, gpu),
        )
        return observed or replace(raw, why_null=findings.why_null)


def _simulated(trial: Trial, listener: Listener) -> Outcome:
    """Time the simulated device, whose clock no one can disturb."""
    from runner.environment import device_environment
    from runner.measure.loop import measure
    from runner.measure.simulated import SimulatedDevice

    device: Any = SimulatedDevice(**trial.model.kwargs)
    enough = _reached(trial.timing.target)
    measurement = measure(device.forward, device, trial.timing, listener.phase, enough=enough)
    raw = _raw(measurement, true_ms=device.latency_ms)
    listener.measured(raw)
    findings = Findings()
    return replace(
        raw,
        series=raw.series | _launches(device.forward, device, trial, findings),
        effective=raw.effective | {"device": "simulated", "simulated": trial.model.kwargs},
        environment=findings.get("environment", lambda: device_environment(trial.device)) or {},
        why_null=findings.why_null,
    )


def _raw(measurement: Measurement, **series: float) -> Outcome:
    """What was measured, before anything else is known."""
    taken = ("hidden_device_ms", "synced_ms", "discarded")
    return Outcome(
        "completed",
        warmup_ms=measurement.warmup_ms,
        latency_ms=measurement.latency_ms,
        series=series | {name: getattr(measurement, name) for name in taken},
        effective={"inner": measurement.inner, "converged": measurement.converged},
        why_null={"contention": "not looked at yet"},
    )


def _observed(
    raw: Outcome,
    trial: Trial,
    clock: TorchDevice,
    workload: Workload,
    work: Callable[[], object],
    cpu: CpuWatch,
    gpu: GpuWatch | None,
) -> Outcome:
    """The outcome with all that can be looked at after the timed part."""
    import torch

    from runner.contention import usable_cpus
    from runner.environment import device_environment
    from runner.models import effective_settings, tensors_of

    findings, device = Findings(), torch.device(trial.device)
    contention: dict[str, Any] = {
        "cpu": findings.get(
            "contention.cpu", lambda: cpu.report() | {"usable_cpus": usable_cpus()}
        ),
        "gpu": None,
    }
    if gpu is not None:
        # of naive only the clock around all passes knows how long the device works
        pass_ms = (raw.series["synced_ms"] or median(raw.latency_ms)) * raw.effective["inner"]
        findings.get("contention.gpu.load", lambda: _load(gpu, work, clock, pass_ms))
        contention["gpu"] = findings.get("contention.gpu", gpu.report)
        gpu.close()
    settings = effective_settings(workload, device, trial.input.size)
    effective = {name: findings.get(f"effective.{name}", read) for name, read in settings.items()}
    peak_mib = findings.get(
        "series.peak_mib", lambda: _peak_mib(device, clock.own_bytes + workload.own_bytes)
    )

    def finite() -> bool:
        output = tensors_of(workload.forward())
        return all(bool(torch.isfinite(tensor).all()) for tensor in output)

    effective["finite"] = findings.get("effective.finite", finite)
    launches = _launches(workload.forward, clock, trial, findings)
    return replace(
        raw,
        series=raw.series | launches | {"peak_mib": peak_mib},
        effective=raw.effective | effective,
        environment=findings.get("environment", lambda: device_environment(trial.device)) or {},
        contention=contention,
        why_null=findings.why_null,
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
    forward: Callable[[], object], clock: Device, trial: Trial, findings: Findings
) -> dict[str, float | None]:
    """What launching costs, where a device can be kept busy; nulls elsewhere."""
    from runner.measure.launch import launch_cost

    names = ("enqueue_ms", "event_ms", "queued_ms")
    if trial.device.partition(":")[0] not in METHODS["queued"]:
        return dict.fromkeys(names)
    cost = findings.get("series.enqueue_ms", lambda: launch_cost(forward, clock))
    if cost is not None and cost.why_not_queued is not None:
        findings.why_null["series.queued_ms"] = cost.why_not_queued
    return {name: getattr(cost, name, None) for name in names}


def _load(gpu: GpuWatch, work: Callable[[], object], clock: Device, pass_ms: float) -> None:
    """Go on with what was timed while the clocks are read: those of an idle GPU say little."""
    passes = max(1, math.ceil(LOAD_CHUNK_MS / max(pass_ms, 0.001)))
    until = time.perf_counter() + LOAD_S
    with gpu.looking():
        while time.perf_counter() < until:
            for _ in range(passes):
                work()
            clock.synchronize()


def _peak_mib(device: torch.device, own_bytes: int) -> float:
    """Most memory in use since the warm-up began, less what measuring itself took.

    Of the device's allocator; on a CPU of the whole process. Raises MeasureError for a device
    whose peak torch does not count.
    """
    import torch

    from runner.measure.device import MeasureError

    if device.type == "cpu":
        unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, else KiB
        peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    elif device.type in ("cuda", "xpu"):
        peak_bytes = torch.get_device_module(device).max_memory_allocated(device)
    else:
        raise MeasureError(f"torch counts no peak of the memory of {device.type}")
    return (peak_bytes - own_bytes) / 2**20
