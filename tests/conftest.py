"""What all tests share: the real program in a subprocess, trials, and the fakes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from runner.program import judged, raw_record
from runner.record import Outcome, Record, load
from runner.trial import Input, Model, Runtime, Timing, Trial

ROOT = Path(__file__).parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Hide the GPUs from all tests but those that are about them: `pytest -m gpu`.

    The others say what a machine without one does, and must say it on every machine.
    """
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


NETWORKS = '''
"""A user's own networks."""
import ctypes, os, time, torch

print("hello from the user's module")

class Sleep(torch.nn.Module):
    """Takes 50 ms, whatever the machine does."""
    def forward(self, x):
        time.sleep(0.05)
        return x

class SlowStart(torch.nn.Module):
    """Its first 30 calls take six times as long as the others."""
    def __init__(self):
        super().__init__()
        self.calls = 0
    def forward(self, x):
        time.sleep(0.06 if self.calls < 30 else 0.01)
        self.calls += 1
        return x

class Multiplies(torch.nn.Module):
    """Computes without a pause."""
    def forward(self, x):
        for _ in range(20):
            x = x @ x
        return x.clamp(-1, 1)

class Checks(torch.nn.Module):
    """Fails unless it is in eval mode, in inference mode, in a process without MLflow or Hydra."""
    def forward(self, x):
        import sys
        assert not self.training and torch.is_inference_mode_enabled()
        assert "mlflow" not in sys.modules
        return x

class Raises(torch.nn.Module):
    def forward(self, x):
        raise RuntimeError("the network is on fire, password=hunter2")

class RunsOut(torch.nn.Module):
    def forward(self, x):
        raise torch.OutOfMemoryError("tried to allocate 99 GiB")

class Vandal(torch.nn.Module):
    """Removes the folder its record should go to."""
    def forward(self, x):
        import shutil
        shutil.rmtree("outputs", ignore_errors=True)
        return x

class Dies(torch.nn.Module):
    def forward(self, x):
        ctypes.string_at(0)

class After(torch.nn.Module):
    """Does something bad once its timed calls are over."""
    def __init__(self, calls, then):
        super().__init__()
        self.left, self.then = calls, then
    def forward(self, x):
        self.left -= 1
        if self.left < 0:
            {"raise": self.fail, "die": lambda: ctypes.string_at(0), "exit": lambda: os._exit(3),
             "train": self.train}[self.then]()
        return x
    def fail(self):
        raise RuntimeError("on fire, password=hunter2")

class Clock(torch.nn.Module):
    """Writes down when it was called first."""
    def forward(self, x):
        if not os.path.exists("first.txt"):
            with open("first.txt", "w") as file:
                file.write(str(time.time_ns()))
        return x

class Forks(torch.nn.Module):
    """Starts a process of its own, and may die beside it."""
    def __init__(self, die=False):
        super().__init__()
        import multiprocessing
        self.helper = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        self.helper.start()
        with open("helper.pid", "w") as file:
            file.write(str(self.helper.pid))
        self.die = die
    def forward(self, x):
        if self.die:
            os._exit(3)
        return x

class Identity(torch.nn.Module):
    def forward(self, x):
        return x

class Stubborn(torch.nn.Module):
    """Stays in training mode."""
    def train(self, mode=True):
        return super().train(True)
    def forward(self, x):
        return x

def identity(width=1, depth=1):
    return Identity()

def not_a_module():
    return 3
'''


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it left in its folder."""

    code: int
    out: str
    err: str
    folder: Path

    def records(self) -> list[Record]:
        """The records it wrote, in the order the trials ran."""
        found = [load(path) for path in self.folder.glob("outputs/*/*/record.json")]
        return sorted(found, key=lambda record: record.started_at)


def run_in(folder: Path, *arguments: str, **variables: str) -> Ran:
    """Run `python -m runner` in `folder`."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    done = subprocess.run(
        [sys.executable, "-m", "runner", *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        timeout=280,
    )
    return Ran(done.returncode, done.stdout, done.stderr, folder)


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Ran]:
    """The real program in a folder of its own, with the user's networks.py in it."""
    (tmp_path / "networks.py").write_text(NETWORKS)
    return lambda *arguments, **variables: run_in(tmp_path, *arguments, **variables)


def make_trial(**changes: Any) -> Trial:
    """A small trial; `timing={...}` and the like change single fields of a group."""
    trial = Trial(
        model=Model("resnet18"),
        input=Input((64, 64), batch_size=1, frames=16, fill="randn"),
        timing=Timing(
            "wall", warmup=2, iterations=4, max_seconds=None, inner=None, target=None, cache="warm"
        ),
        runtime=Runtime(threads=1, cudnn_benchmark=False),
        device="cpu",
        repeat=0,
        seed=0,
    )
    for name, value in changes.items():
        new = replace(getattr(trial, name), **value) if isinstance(value, dict) else value
        trial = replace(trial, **{name: new})
    return trial


def record_of(trial: Trial, outcome: Outcome, host: dict[str, Any] | None = None) -> Record:
    """The judged record of an outcome."""
    raw = raw_record(trial, trial.title, "night", outcome, host or {}, "2026-01-01")
    return judged(raw, trial, outcome)
