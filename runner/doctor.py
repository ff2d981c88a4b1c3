"""What this machine can measure, and what would disturb it: `python -m runner.doctor`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from runner.contract import Level, TrackingUnavailable, counted
from runner.host import cpu
from runner.host.addresses import store_address
from runner.host.busy import others
from runner.host.devices import Devices, possible_devices
from runner.host.environment import cpu_model
from runner.host.gpu import GpuWatch, torch_uuid
from runner.host.patience import answer_of
from runner.host.secrets import redact
from runner.records.locks import LOCK_DIR, shared_folder
from runner.tracking import store
from runner.trial.methods import METHODS
from runner.verdict.cpu import contended, virtual
from runner.verdict.flag import Flag
from runner.verdict.gpu import shared, throttled

LEVELS = {Level.NOTE: "ok", Level.SUSPECT: "warning", Level.INVALID: "problem"}
STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}
PROBE_SECONDS = 2.0
GPU_PROBE_SECONDS = 1.0  # power capping shows only after a while
MIN_ROOM, LITTLE_ROOM = 100 * 2**20, 2**30  # bytes
BUSY = 0.25  # of the CPUs, by the load average
SLOW_CLOCK_US = 1.0
ANSWER_S = 30.0  # a working GPU answers within this; creating its context may take ten
BROKEN_GPU = "nvidia-smi and the kernel log (Xid errors) show what is wrong with it"
T = TypeVar("T")


@dataclass(frozen=True)
class Check:
    """One line: `level` is ok, warning or problem; `remedy` is empty when ok."""

    name: str
    level: str
    found: str
    remedy: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all checks; 0 when nothing makes measuring impossible or wrong, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m runner.doctor",
        description="Reports what this machine can measure and what would disturb it. Exit code "
        "1 when "
        "there is a problem, 0 otherwise.",
    )
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")
    parser.add_argument(
        "--output-dir", type=Path, default=Path("outputs"), help="as output_dir (outputs)"
    )
    parser.add_argument(
        "--tracking-uri",
        type=store_address,
        help="as tracking.uri (the SQLite file in output_dir)",
    )
    parser.add_argument(
        "--interference", action="store_true",
        help="only measure whether trials running on all GPUs at once (without a GPU: on shares "
             "of the "
        "CPU) slow each other; takes about a minute",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    checks = []
    looked = (
        [_interference()]
        if options.interference
        else checks_of(options.output_dir, options.tracking_uri)
    )
    for check in looked:
        checks.append(check)
        if not options.json:
            remedy = f"; {check.remedy}" if check.remedy else ""
            console.print(f"{check.level:8}", style=STYLES[check.level], end="")
            console.print(f"{check.name:10} {check.found}{remedy}", markup=False, soft_wrap=True)
    if options.json:
        worst = max((check.level for check in checks), key=list(STYLES).index)
        print(json.dumps({"worst": worst, "checks": [asdict(check) for check in checks]}, indent=1))
    return int(any(check.level == "problem" for check in checks))


def _interference() -> Check:
    """Whether parallel timing is reliable on this host."""
    from runner.contract import NotTimed
    from runner.launchers.interference import devices_here, measure

    devices = devices_here()
    kind = "cuda" if devices.cuda else "cpu"
    count = devices.cuda or min(2, cpu.usable_cpus())
    if count < 2:
        found = f"there is only one {'GPU' if devices.cuda else 'CPU'}: nothing can run in parallel"
        return Check("parallel", "ok", found)
    try:
        found_ = measure(count, kind, devices, partial(print, file=sys.stderr))
    except NotTimed as error:
        return Check(
            "parallel", "problem", f"the reference trial failed: {error}", "see the error above"
        )
    ratio, ci = found_.ratio.value, found_.ratio.ci
    bounds = f" ({ci[0]:.3f} to {ci[1]:.3f})" if ci else ""
    times = f"resnet18 takes {ratio:.3f} times as long{bounds} on {count} {kind} places in parallel"
    if found_.trusted:
        return Check("parallel", "ok", f"{times} as alone: parallel timing is reliable here")
    if found_.trusted is None:
        remedy = "time one trial at a time, or measure again on a quieter machine"
        return Check("parallel", "warning", f"{times} as alone: undecided", remedy)
    remedy = "time one trial at a time here: no hydra/launcher=gpus"
    return Check("parallel", "problem", f"{times} as alone", remedy)


def checks_of(output_dir: Path, uri: str | None) -> Iterator[Check]:
    """All checks, the quick ones first; takes some seconds, two of them at full load."""
    yield load_check()  # before this program causes load itself
    yield from cpu_checks()
    yield from _virtual()
    yield frequency_check()
    yield _clock()
    yield room_check(output_dir)
    yield _locks()
    try:
        import torch
        import torchvision
    except ImportError as error:
        yield Check("torch", "problem", f"can't be imported: {error}", "pip install it")
        return
    yield Check(
        "torch",
        "ok",
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"Python {sys.version.split()[0]}",
    )
    yield _devices()
    gpus = _answered(torch.cuda.device_count) if torch.cuda.is_available() else 0
    if gpus is None:
        yield Check("cuda", "problem", f"no answer within {ANSWER_S:.0f} s", BROKEN_GPU)
    for index in range(gpus or 0):
        found = _answered(partial(_gpu_checks, index))
        silent = Check(f"cuda:{index}", "problem", f"no answer within {ANSWER_S:.0f} s", BROKEN_GPU)
        yield from [silent] if found is None else found
    yield _threads()
    yield from contention_checks()
    yield _store(output_dir, uri)


def load_check() -> Check:
    """Whether others use the machine now."""
    load, cpus = os.getloadavg()[0], cpu.usable_cpus()
    found = f"load average {load:.2f} on {counted(cpus, 'usable CPU')}"
    seen = others()
    if load > BUSY * cpus or seen.busy:
        text = f"{found}; {seen}" if seen.busy else found
        return Check("load", "warning", text, "stop them, or use when_busy=wait")
    return Check("load", "ok", found)


def cpu_checks() -> Iterator[Check]:
    """The CPUs that may be used, and their quota."""
    allowed, there = cpu.affinity(), os.cpu_count() or 1
    yield Check(
        "CPU", "ok", f"{cpu_model() or 'unknown'}, {len(allowed)} of {there} CPUs by affinity"
    )
    quota = cpu.cgroup_cpus()
    if quota is not None and quota < len(allowed):
        yield Check(
            "quota",
            "warning",
            f"the cgroup allows {quota:g} CPUs' worth of time",
            "threads are stopped once it is used up; pin whole CPUs instead (a cpuset)",
        )
    else:
        yield Check("quota", "ok", "no CPU quota")


def _virtual() -> Iterator[Check]:
    for flag in virtual({"virtual_machine": cpu.virtual_machine()}):
        yield Check("machine", "warning", flag.found, flag.remedy)


def frequency_check() -> Check:
    """Governor and turbo of the CPUs."""
    governor, turbo = cpu.governor(), cpu.turbo()
    if governor is None and turbo is None:
        return Check(
            "frequency",
            "warning",
            "governor and turbo unknown (no cpufreq in /sys, as in a virtual machine)",
            "check on the host",
        )
    words = {True: "on", False: "off", None: "unknown"}[turbo]
    found = f"governor {governor or 'unknown'}, turbo {words}"
    if governor != "performance":
        return Check("frequency", "warning", found, "sudo cpupower frequency-set -g performance")
    if turbo is not False:
        return Check(
            "frequency", "warning", found, "clocks fall as the CPU heats up; disable turbo (BIOS)"
        )
    return Check("frequency", "ok", found)


def _clock() -> Check:
    calls = 10_000
    began = time.perf_counter_ns()
    for _ in range(calls):
        time.perf_counter_ns()
    cost_us = (time.perf_counter_ns() - began) / calls / 1000
    found = f"reading the host clock takes {cost_us:.2f} us"
    if cost_us > SLOW_CLOCK_US:
        return Check("clock", "warning", found, "switch the kernel to the tsc clock source")
    return Check("clock", "ok", found)


def room_check(output_dir: Path) -> Check:
    """Whether there is room for records."""
    if output_dir.exists() and not output_dir.is_dir():
        return Check("disk", "problem", f"{output_dir} is not a folder", "give another output_dir")
    folder = _existing(output_dir)
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free for {output_dir}"
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        found = f"{folder} can't be written ({error.strerror})"
        return Check("disk", "problem", found, "give another output_dir")
    if free < LITTLE_ROOM:
        level = "problem" if free < MIN_ROOM else "warning"
        return Check("disk", level, found, "free some space, or give another output_dir")
    return Check("disk", "ok", found)


def _locks() -> Check:
    folder = shared_folder()
    if not os.access(folder, os.W_OK):
        return Check("locks", "problem", f"{folder} can't be written", f"set {LOCK_DIR}")
    return Check("locks", "ok", f"device locks of all users are in {folder}")


def _existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    absolute = path.absolute()
    return next(folder for folder in (absolute, *absolute.parents) if folder.is_dir())


def _devices() -> Check:
    import torch

    kinds = [
        kind
        for kind, usable in (
            ("cuda", torch.cuda.is_available()),
            ("xpu", torch.xpu.is_available()),
            ("mps", torch.backends.mps.is_available()),
        )
        if usable
    ]
    default = kinds[0] if kinds else "cpu"
    methods = ", ".join(name for name, able in METHODS.items() if default in able.devices)
    if kinds:
        return Check("device", "ok", f"{', '.join(kinds)}; timing methods there: {methods}")
    if possible_devices() != Devices() and sys.platform != "darwin":
        return Check(
            "device",
            "problem",
            "a GPU driver is installed, but torch can't use a GPU",
            "run nvidia-smi, and check that torch was built for this driver",
        )
    return Check("device", "ok", f"no GPU found; cpu is available ({methods})")


def _answered(ask: Callable[[], T]) -> T | None:
    """What `ask` returns; None if the GPU hangs, as a broken one does in any call."""
    try:
        return answer_of(ask, ANSWER_S)
    except TimeoutError:
        return None


def _gpu_checks(index: int) -> list[Check]:
    """Checks of a GPU that answers; one problem if its memory is full or a launch fails."""
    import torch

    try:
        return list(_gpu(index))
    except Exception as error:
        first_line = redact(str(error)).partition("\n")[0]
        found = f"unusable ({type(error).__name__}: {first_line})"
        full = isinstance(error, torch.OutOfMemoryError)
        remedy = "nvidia-smi shows who uses it" if full else BROKEN_GPU
        return [Check(f"cuda:{index}", "problem", found, remedy)]


def _gpu(index: int) -> Iterator[Check]:
    """Clocks and other processes, read while the GPU works."""
    import torch

    device = torch.device("cuda", index)
    properties = torch.cuda.get_device_properties(device)
    name = f"cuda:{index}"
    with closing(GpuWatch(torch_uuid(properties))) as watch, torch.cuda.device(device):
        square = torch.randn(4096, 4096, device=device)
        watch.look()
        until = time.perf_counter() + GPU_PROBE_SECONDS
        with watch.looking():
            while time.perf_counter() < until:
                for _ in range(50):
                    square @ square
                torch.cuda.synchronize()
        watch.look()
        report = watch.report()
    clocks = report["sm_clock_mhz"]
    speed = f", {max(clocks)} of {report['max_sm_clock_mhz']} MHz" if clocks else ""
    yield Check(name, "ok", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB{speed}")
    yield from (_of_flag(name, flag) for flag in (*throttled(report), *shared(report)))


def _of_flag(name: str, flag: Flag) -> Check:
    return Check(name, LEVELS[flag.level], f"{flag.code}: {flag.found}", flag.remedy)


def _threads() -> Check:
    import torch

    threads, cpus = torch.get_num_threads(), cpu.usable_cpus()
    found = f"torch would use {threads} threads on {cpus} usable CPUs"
    if threads > cpus:
        return Check(
            "threads", "warning", found, f"trials use {cpus} unless runtime.threads is set"
        )
    return Check("threads", "ok", found)


def contention_checks() -> Iterator[Check]:
    """Compute on all usable CPUs for two seconds, and measure what others take."""
    import torch

    threads = cpu.usable_cpus()
    torch.set_num_threads(threads)
    square = torch.randn(512, 512)
    square @ square  # starts the threads
    watch = cpu.CpuWatch(threads)
    until = time.perf_counter() + PROBE_SECONDS
    watch.look()
    while time.perf_counter() < until:
        square @ square
    watch.look()
    report = watch.report()
    flags = list(contended(report))
    yield from (_of_flag("contention", flag) for flag in flags)
    if not flags:
        shares = {n: report[f"{n}_share"] for n in ("run_queue_wait", "steal", "pressure")}
        text = ", ".join(f"{n.replace('_', ' ')} {_percent(v)}" for n, v in shares.items())
        yield Check("contention", "ok", f"{PROBE_SECONDS:.0f} s on {threads} threads: {text}")


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"


def _store(output_dir: Path, uri: str | None) -> Check:
    where = redact(uri) if uri else f"{output_dir / 'mlflow.db'}"
    if uri is None and not (output_dir / "mlflow.db").exists():
        return Check("MLflow", "ok", f"{where} will be created by the first run")
    try:
        store.check_writable(store.open_store(uri, "runner", output_dir))
    except TrackingUnavailable as reason:
        return Check(
            "MLflow",
            "problem",
            f"{where}: {reason}",
            "start the server or repair the store; tracking=off measures without it",
        )
    return Check("MLflow", "ok", f"{where} is writable")


if __name__ == "__main__":
    sys.exit(main())
