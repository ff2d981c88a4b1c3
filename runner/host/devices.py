"""Which devices exist, and what `device=auto` means on this machine.

Can rule devices out without torch; only a worker process, where torch is
loaded, knows which are really usable.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from runner.contract import Problem, counted
from runner.trial.near import near

DEVICES = "auto, cpu, cuda, cuda:N, mps, xpu, xpu:N or simulated"
NUMBERED_DEVICES = ("cuda", "xpu")


@dataclass(frozen=True)
class Devices:
    """Number of accelerators of each kind that torch can use; `uuids` of CUDA ones, if known."""

    cuda: int = 0
    xpu: int = 0
    mps: int = 0
    uuids: tuple[str | None, ...] = ()

    def count(self, kind: str) -> int:
        """Number of usable devices of a kind; there is always one CPU."""
        return 1 if kind in ("cpu", "simulated") else int(getattr(self, kind))

    def identity(self, device: str) -> str:
        """A name of a device that is the same in all processes of this machine."""
        kind, _, index = device.partition(":")
        known = self.uuids[int(index or 0)] if kind == "cuda" and self.uuids else None
        return known or f"{kind}{index if kind in NUMBERED_DEVICES and index != '0' else ''}"


def possible_devices() -> Devices:
    """Devices that may exist, judged without torch by the device files of drivers.

    Only an answer of none is certain; otherwise torch must be asked. Covers
    NVIDIA, Jetson, AMD, WSL, Intel and Apple.
    """
    patterns = ("nvidia*", "nvhost-gpu", "nvgpu", "kfd", "dxg", "dri/renderD*")
    if sys.platform == "darwin" or any(any(Path("/dev").glob(pattern)) for pattern in patterns):
        return Devices(cuda=64, xpu=64, mps=1)
    return Devices()


def resolve_device(device: str, devices: Devices) -> str | Problem:
    """The device a trial runs on: `auto` takes the first of cuda, xpu, mps, else cpu.

    Returns a Problem for a device that does not exist.
    """
    if device == "auto":
        return next((kind for kind in ("cuda", "xpu", "mps") if devices.count(kind)), "cpu")
    match = re.fullmatch(r"(cpu|simulated|mps|cuda|xpu)(?::(\d+))?", device)
    if match is None or (match[2] and match[1] not in NUMBERED_DEVICES):
        hint = near(device, ("auto", "cpu", "cuda", "mps", "xpu", "simulated"))
        return Problem("device", f"device is {device}", f"{hint}expected {DEVICES}")
    kind, index = match[1], int(match[2] or 0)
    if index >= devices.count(kind):
        found = devices.count(kind)
        there = counted(found, f"{kind} device") if found else f"no {kind} device"
        sees = f"torch sees {there} here"
        remedy = f"use {kind}:0 to {kind}:{found - 1}" if found else "use device=cpu or device=auto"
        return Problem("device", f"device={device} was requested, but {sees}", remedy)
    return device
