"""The real program, in a process and a folder of its own."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from runner.records.record import Record
from runner.records.store import load

ROOT = Path(__file__).parents[2]
LIMIT_S = 280  # for one program
OF_INTERPRETERS = (
    "LD_",
    "PYTHON",
    "OMP_",
    "MKL_",
    "CUDA_",
)  # variables read before any module runs
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
    """Run `python -m runner` or another door in `folder`.

    As a fork of a process that has its libraries loaded, where no variable needs a new interpreter.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    # with what these tests run with, if they run on fake GPUs
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment |= {"PYTHONPATH": path} | variables
    preload = environment.get("LD_PRELOAD", "")
    others = {name for name in variables if name.startswith(OF_INTERPRETERS)} - {"LD_PRELOAD"}
    if (others == {"PYTHONPATH"} and preload) or (not others and path == str(ROOT)):
        zygote = _zygote(preload, environment["PYTHONPATH"])
        return zygote.run(folder, door, arguments, environment)
    done = subprocess.run(
        [sys.executable, "-m", door, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    return Ran(done.returncode, done.stdout, done.stderr, folder)


class Zygote:
    """The process of zygote.py, which ends with this one."""

    def __init__(self, preload: str, path: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="zygote"))
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py")), self._address],
            env=os.environ | {"LD_PRELOAD": preload, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        atexit.register(self._end)

    @property
    def _address(self) -> str:
        return str(self._folder / "socket")

    def run(
        self, folder: Path, door: str, arguments: Sequence[str], environment: dict[str, str]
    ) -> Ran:
        """Run a program in a fork of the process."""
        with (
            socket.socket(socket.AF_UNIX) as connection,
            tempfile.NamedTemporaryFile("r", dir=self._folder) as out,
            tempfile.NamedTemporaryFile("r", dir=self._folder) as err,
        ):
            connection.settimeout(LIMIT_S)
            connection.connect(self._address)
            wanted = {
                "folder": str(folder), "door": door, "arguments": arguments,
                "environment": environment, "out": out.name, "err": err.name,
            }  # fmt: skip
            with connection.makefile("rw") as lines:
                print(json.dumps(wanted), file=lines, flush=True)
                pid = int(lines.readline())
                try:
                    code = int(lines.readline())
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
                    raise
            return Ran(code, out.read(), err.read(), folder)

    def _end(self) -> None:
        self._process.communicate()  # the end of its input is its own
        shutil.rmtree(self._folder, ignore_errors=True)


@cache
def _zygote(preload: str, path: str) -> Zygote:
    """One for all tests of this process that load the same libraries."""
    return Zygote(preload, path)


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
