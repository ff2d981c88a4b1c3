"""The environment of a trial: an allow-list of facts, so that no secret enters a record."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from runner import __version__
from runner.host.cpu import usable_cpus
from runner.host.gpu import identity, torch_uuid
from runner.host.own_code import own_code
from runner.host.secrets import redact

MAX_COMMITS = 10


@cache
def host_environment(folder: Path) -> dict[str, Any]:
    """Facts of the host and the software, without torch; `folder` is the user's checkout."""
    return {
        "host": socket.gethostname(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        **{name: _version(name) for name in ("torchvision", "timm", "onnxruntime", "openvino")},
        "mlflow": _version("mlflow"),
        "runner": __version__,
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "visible_gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "usable_cpus": usable_cpus(),
        "git_commit": _git(folder, "rev-parse", "HEAD"),
        "git_dirty": _dirty(folder),
    }


def device_environment(device: str) -> dict[str, Any]:
    """Facts of the process and device of a trial; null with a reason if unknown.

    Called in the worker, after the timing.
    """
    import torch

    facts: dict[str, Any] = {
        "pid": os.getpid(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "gpu": None,
        "gpu_uuid": None,
        "gpu_driver": None,
        **own_code(Path.cwd()),
    }
    if not device.startswith("cuda"):
        return facts | {"gpu_reason": f"the trial ran on {device}"}
    try:
        properties = torch.cuda.get_device_properties(torch.device(device))
    except Exception as error:  # CUDA itself may have failed in the trial
        return facts | {"gpu_reason": redact(f"{type(error).__name__}: {error}")}
    return facts | {"gpu": properties.name, **identity(torch_uuid(properties))}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None  # not installed


def cpu_model() -> str | None:
    """The name of the CPU; None if unknown."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or None
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else platform.processor() or None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None  # no git, or no checkout
    return done.stdout.strip()


def commits_between(folder: Path, old: str, new: str) -> list[str]:
    """The last commits between two, one line each; empty if git does not have both."""
    log = _git(folder, "log", "--oneline", f"--max-count={MAX_COMMITS}", f"{old}..{new}")
    return log.splitlines() if log else []


def _dirty(folder: Path) -> bool | None:
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if status is None else bool(status)
