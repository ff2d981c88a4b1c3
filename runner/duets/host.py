"""The process of one side: runs in its interpreter and folder, one fresh worker for each round.

Started by runner.duets.link, to which it talks by JSON over a socket. It loads torch in a
forkserver only, and waits without using the CPU while the other side is timed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import distributions
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from runner import __version__
from runner.contract import WorkerDied
from runner.host.environment import host_environment
from runner.records.reading import checked
from runner.records.writable import writable
from runner.trial.description import Trial
from runner.worker import process
from runner.worker.execution import PhaseCallbacks
from runner.worker.process import INSPECTION_S
from runner.worker.profiling import profile_trial

PROTOCOL = 1  # version of the messages between both ends


class Host:
    """One end of the socket, and the work that the other end asks for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tasks: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "inspect": _inspect,
            "time": self._time,
            "profile": _profile,
        }

    def serve(self) -> None:
        """Introduce this process, then carry out tasks until the other end is gone."""
        self._send(
            "hello",
            protocol=PROTOCOL,
            runner=__version__,
            python=sys.version.split()[0],
            environment=host_environment(Path.cwd()),
            packages={one.name.lower(): one.version for one in distributions() if one.name},
        )
        process.start()
        try:
            while True:
                order = self._receive()
                self._send("done", **self._tasks[order["task"]](order))
        except EOFError:
            return  # the other end is closed

    def _time(self, order: dict[str, Any]) -> dict[str, Any]:
        """Time a trial in turns with the other side; its outcome."""
        trial = checked(order["trial"], Trial, "the trial")
        listener = PhaseCallbacks(
            measured=lambda outcome: self._pause("measured"), turn=lambda: self._pause("turn")
        )
        outcome = process.run(trial, "process", Path(order["log"]), listener)
        return {"outcome": asdict(writable(outcome))}

    def _pause(self, event: str) -> None:
        """Wait for permission to continue. Raises KeyboardInterrupt where the round is over."""
        self._send(event)
        if not self._receive()["go"]:
            raise KeyboardInterrupt

    def _send(self, event: str, **content: object) -> None:
        try:
            self._connection.send_bytes(json.dumps({"event": event, **content}).encode())
        except OSError as error:
            raise EOFError from error

    def _receive(self) -> dict[str, Any]:
        try:
            order: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except OSError as error:
            raise EOFError from error
        return order


def _inspect(order: dict[str, Any]) -> dict[str, Any]:
    """What only a process with torch can find out about trials."""
    trials = checked(order["trials"], list[Trial], "the trials")
    return {"inspection": asdict(process.inspect(trials, "process"))}


def _profile(order: dict[str, Any]) -> dict[str, Any]:
    """The profile of a trial, in a fresh process, or why there is none."""
    trial = checked(order["trial"], Trial, "the trial")
    try:
        found = process.in_fresh_process(
            profile_trial, trial, Path(order["log"]), PhaseCallbacks(), INSPECTION_S
        )
    except WorkerDied as death:
        found = str(death)
    return {"why": found} if isinstance(found, str) else {"profile": asdict(found)}


def main() -> None:
    """Serve on the socket whose number is the first argument."""
    number = int(sys.argv[1])
    os.set_inheritable(number, False)
    Host(Connection(number)).serve()


if __name__ == "__main__":
    main()
