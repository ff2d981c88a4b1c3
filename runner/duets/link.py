"""The main process's end of a side: starts its host, asks it for work, and ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from runner.contract import SideFailed, Unreadable
from runner.duets.host import PROTOCOL
from runner.duets.sides import Side
from runner.host.own_code import OTHER_TREE, THIS_TREE
from runner.records.printable import in_short, printable
from runner.records.reading import checked, parsed
from runner.trial.description import Trial
from runner.worker.execution import Inspection

PACKAGE = Path(__file__).parents[1]
LIMIT_S = 600.0  # within which a side must answer: build, compile, warm up, or time a block
START_S = 120.0  # within which an interpreter must have imported runner
ENDING_S = 10.0  # for a host to end its worker
SYS_PATH = "import json, sys; print(json.dumps(sys.path))"


@dataclass(frozen=True)
class Hello:
    """How a host introduces itself: versions, facts of its host and software, and packages."""

    protocol: int
    runner: str
    python: str
    environment: dict[str, Any]
    packages: dict[str, str]


class Link:
    """A running host; `log` receives what it prints. Raises SideFailed if it can't start."""

    def __init__(self, side: Side, log: Path) -> None:
        self.side, self._log, self._idle = side, log, False
        paths = side.mapped(_sys_path(side.python))
        self._shim = tempfile.TemporaryDirectory(prefix="runner-side-")
        # a folder with nothing but this program, which measures both sides
        (Path(self._shim.name) / "runner").symlink_to(PACKAGE)
        self._ours, theirs = Pipe()
        try:
            with log.open("ab") as file:
                self._process = subprocess.Popen(
                    [side.python, "-P", "-m", "runner.duets.host", str(theirs.fileno())],
                    cwd=side.folder,
                    env=self._environment(paths),
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C is for this process to handle
                )
        except OSError as error:
            self._ours.close()
            self._shim.cleanup()
            raise SideFailed(f"{side.name}: {side.python} can't be started: {error}") from error
        finally:
            theirs.close()

    def _environment(self, paths: Sequence[str]) -> dict[str, str]:
        """The variables of the host: its modules are found in its own `paths` first."""
        path = [self._shim.name, *paths, os.environ.get("PYTHONPATH", "")]
        found = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
        if self.side.worktree is not None:
            found[OTHER_TREE] = str(self.side.worktree.repository)
            found[THIS_TREE] = str(self.side.worktree.path)
        return found

    def hello(self) -> Hello:
        """Wait until the host has introduced itself. Raises SideFailed."""
        try:
            values = self.wait(START_S)
            hello = checked({k: v for k, v in values.items() if k != "event"}, Hello, "its hello")
        except (Unreadable, TimeoutError) as error:
            raise self._failed(str(error)) from error
        if hello.protocol != PROTOCOL:
            raise self._failed(
                f"its runner {hello.runner} speaks version {hello.protocol} of the protocol; "
                f"expected {PROTOCOL}"
            )
        return hello

    def inspect(self, trials: Sequence[Trial], isolation: str) -> Inspection:
        """See runner.worker.process.inspect. Raises SideFailed."""
        self._send(task="inspect", trials=[asdict(trial) for trial in trials])
        try:
            return checked(self.wait(LIMIT_S)["inspection"], Inspection, self.side.name)
        except (TimeoutError, Unreadable) as error:
            self.close()
            raise self._failed(str(error)) from error

    def begin(self, task: str, trial: Trial, log: Path) -> None:
        """Let a fresh worker begin a task; `wait` returns its events."""
        self._send(task=task, trial=asdict(trial), log=str(log.resolve()))

    def resume(self, *, go: bool = True) -> None:
        """Let a waiting worker continue, or end."""
        self._send(go=go)

    def wait(self, limit_s: float) -> dict[str, Any]:
        """The next event.

        Raises SideFailed if the host ended or sends something else, TimeoutError if it is silent.
        """
        try:
            if not self._ours.poll(limit_s):
                raise TimeoutError(f"it did not answer within {limit_s:g} s")
            values: dict[str, Any] = parsed(self._ours.recv_bytes(), self.side.name)
            self._idle = True
        except (EOFError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise self._failed(self._cause()) from error
        except Unreadable as error:
            raise self._failed(str(error)) from error
        return values

    @property
    def is_open(self) -> bool:
        """Whether its host can be asked for work."""
        return not self._ours.closed and self._process.poll() is None

    def close(self) -> None:
        """End the host and its worker."""
        self._ours.close()  # which a host that waits for an answer notices at once
        try:
            self._process.wait(ENDING_S if self._idle else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its worker ends with it
            self._process.wait()
        self._shim.cleanup()

    def _send(self, **content: object) -> None:
        self._idle = False
        with suppress(BrokenPipeError, ConnectionError):  # `wait` reports that it is gone
            self._ours.send_bytes(json.dumps(content).encode())

    def _failed(self, why: str) -> SideFailed:
        return SideFailed(f"{self.side.name} ({self.side.python}): {why}; see {self._log}")

    def _cause(self) -> str:
        """Why the host ended: the last line that it printed."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDING_S)
        lines = [*filter(None, self._log.read_text(errors="replace").splitlines())]
        last = in_short(printable(lines[-1])) if lines else "it printed nothing"
        missing = last.startswith("ModuleNotFoundError")
        install = f"{self.side.python} -m pip install torch torchvision runner"
        hint = f"; it needs torch and what runner needs: {install}" if missing else ""
        return f"its process exited with code {self._process.returncode} ({last}){hint}"


def _sys_path(python: str) -> list[str]:
    """Where an interpreter looks for modules. Raises SideFailed."""
    if python == sys.executable:
        return [path for path in sys.path if path]
    try:
        done = subprocess.run(
            [python, "-c", SYS_PATH], capture_output=True, text=True, timeout=START_S, check=True
        )
        paths: list[str] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        why = str(error) if isinstance(error, OSError) else "it does not run Python code"
        raise SideFailed(f"{python} is no usable Python interpreter: {why}") from error
    return [path for path in paths if path]
