"""The real program, in a process and a folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.records.record import Record
from runner.records.store import load

ROOT = Path(__file__).parents[2]
# runs in MLflow's database, but for lines along a size: whether they are there depends on verdicts
NO_LINES = "FROM runs WHERE name NOT LIKE '% over input.size'"


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


def with_words(usual: Sequence[str], *words: str) -> list[str]:
    """Usual words and others; where both give a key, that of the others."""
    own = {word.partition("=")[0] for word in words}
    return [*(word for word in usual if word.partition("=")[0] not in own), *words]


def run_in(folder: Path, *arguments: str, door: str = "runner", **variables: str) -> Ran:
    """Run `python -m runner` or another door in `folder`."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    # with what these tests run with, if they run on fake GPUs
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", door, *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": path} | variables,
        capture_output=True,
        text=True,
        timeout=280,
    )
    return Ran(done.returncode, done.stdout, done.stderr, folder)


def run_doctor(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m runner.doctor` in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "runner.doctor", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def until(reached: Callable[[], object], within_s: float = 90.0) -> None:
    """Wait for something; fails where it takes too long."""
    end_s = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def start_in(
    folder: Path, *arguments: str, door: str = "runner", **variables: str
) -> subprocess.Popen[str]:
    """Start `python -m runner` in `folder`, as a terminal does: Ctrl-C reaches its group."""
    return subprocess.Popen(
        [sys.executable, "-m", door, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a background job of a shell inherits SIGINT ignored; a user's terminal does not
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
