"""One trial in one fresh process, nearly free.

A forkserver has torch and torchvision imported (imports only: no operation, no
CUDA call before the fork), and each trial is a fork of it. The parent waits by
blocking on a pipe, so that it takes no CPU time from the trial.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from runner.records.record import Outcome
from runner.trial.description import Model, Trial
from runner.worker import execution
from runner.worker.execution import Inspection, Listener

PRELOAD = ["runner.worker.preload"]
ENDING_S = 5.0  # that a process may take to end by itself once it has answered, or been killed
INSPECTION_S = 600.0  # in which a user's module must have been imported


def start() -> None:
    """Start loading torch in the forkserver; returns at once.

    It inherits SIGINT blocked: a Ctrl-C, which the terminal sends to it too, is the parent's.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    resource_tracker.ensure_running()  # first, as its start unblocks SIGINT
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def inspect(models: Sequence[Model], isolation: str) -> Inspection:
    """Usable devices, and what is wrong with the models' targets and weights.

    Asked in a fresh process, so that nothing it imports or initialises stays.
    Raises WorkerDied if that process can't answer, or not in INSPECTION_S.
    """
    if isolation == "none":
        return execution.inspect(models, Listener())
    answer: Inspection = _in_fresh_process(
        execution.inspect, models, None, Listener(), INSPECTION_S
    )
    return answer


def run(trial: Trial, isolation: str, log: Path, listener: Listener | None = None) -> Outcome:
    """Carry out a trial and say how it ended; never raises for what the trial does.

    Its output goes to `log`. If the process dies after the last sample, the raw outcome that
    the `listener` has heard is the answer.
    """
    listener = listener or Listener()
    if isolation == "none":
        return execution.run_trial(trial, listener)
    kept: list[Outcome] = []

    def measured(outcome: Outcome) -> None:
        kept.append(outcome)
        listener.measured(outcome)

    try:
        outcome: Outcome = _in_fresh_process(
            execution.run_trial, trial, log, replace(listener, measured=measured)
        )
    except WorkerDied as death:
        if kept:
            return replace(kept[0], why_null={"contention": f"all samples taken, but then {death}"})
        return Outcome("failed", error={"type": "WorkerDied", "message": str(death), "trace": ""})
    return outcome


class WorkerDied(Exception):
    """A worker process ended without an answer; the message says how."""


def _in_fresh_process(
    task: Callable[[Any, Listener], Any],
    argument: object,
    log: Path | None,
    listener: Listener,
    limit_s: float | None = None,
) -> Any:
    """What `task` answers in a new process. Raises WorkerDied, also `limit_s` after its start."""
    start()  # unless it runs already
    until = None if limit_s is None else time.monotonic() + limit_s
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve, args=(task, argument, theirs, log, os.getcwd()), daemon=False
    )
    process.start()
    theirs.close()
    try:
        while True:
            # blocks, so that the trial has the machine to itself; on the process too, as another
            # that its network has started may hold the pipe open
            left_s = None if until is None else max(0.0, until - time.monotonic())
            if not connection.wait([ours, process.sentinel], left_s):
                raise WorkerDied(f"it did not answer within {limit_s:.0f} s")
            try:
                if not ours.poll():
                    raise EOFError
                kind, *content = ours.recv()
            except (EOFError, ConnectionResetError):
                process.join(ENDING_S)
                raise WorkerDied(_how_it_died(process.exitcode, log)) from None
            if kind == "answer":
                process.join(ENDING_S)
                return content[0]
            getattr(listener, kind)(*content)
            ours.send("heard")  # it goes on now, and nothing is shown while it is timed
    finally:
        _end(process)
        ours.close()
        if not process.is_alive():
            process.close()


def _end(process: BaseProcess) -> None:
    """End a worker that still runs, and every process that its network has started."""
    assert process.pid is not None  # it has been started
    with suppress(ProcessLookupError, PermissionError):  # gone, or not yet a group of its own
        os.killpg(process.pid, signal.SIGKILL)
    if process.is_alive():
        process.kill()
    process.join(ENDING_S)  # one that waits for a device or a disk can't even be killed


def _how_it_died(exitcode: int | None, log: Path | None) -> str:
    where = f"; see {log}" if log is not None else ""
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = " (often the kernel, short of memory)" if name == "SIGKILL" else ""
        return f"the worker process was ended by {name}{hint}{where}"
    return f"the worker process exited with code {exitcode} before it answered{where}"


def _serve(
    task: Callable[[Any, Listener], Any],
    argument: object,
    sender: connection.Connection,
    log: Path | None,
    folder: str,
) -> None:
    """Runs in the child: carry out `task` and send its answer."""
    import faulthandler

    os.setpgid(0, 0)  # so that the parent can end it with whatever it starts
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.chdir(folder)
    with Path(os.devnull if log is None else log).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable(file=2)  # a segmentation fault leaves its stack in the log

    def tell(kind: str, *content: object) -> None:
        sender.send((kind, *content))
        sender.recv()  # heard; or the end, if nobody listens any more

    listener = Listener(
        phase=lambda name, expected_s: tell("phase", name, expected_s),
        measured=lambda outcome: tell("measured", outcome),
    )
    answer = task(argument, listener)
    sys.stdout.flush()
    sender.send(("answer", answer))


def _end_with_parent() -> None:
    """Wait, without taking any time, until the parent is gone; then end all that runs here."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)
