"""One trial in one fresh process, at almost no cost.

A forkserver has torch and torchvision imported (imports only: no operation, no
CUDA call before the fork), and each trial is a fork of it. The parent waits by
blocking on a pipe, so that it takes no CPU time from the trial.
"""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from runner.contract import CUT_OFF, Status, WorkerDied
from runner.host import memory
from runner.host.secrets import know
from runner.measure.loop import Keep
from runner.records.record import Outcome
from runner.trial.description import Trial
from runner.worker import execution, tree
from runner.worker.execution import Inspection, PhaseCallbacks
from runner.worker.log import LOOK_S, bound, finish
from runner.worker.sample_buffer import SampleBuffer

PRELOAD = ["runner.worker.preload"]
ENDING_S = 5.0  # for a process to end once it has answered or been killed
PREEMPTION_S = 1.0  # within which a signal to all processes has reached this one, too
FORKSERVER_GONE = 255  # multiprocessing's exit code of a process whose forkserver was killed
PR_SET_PDEATHSIG = 1  # of Linux's prctl
MESSAGES = ("phase", "measured", "turn", "answer")
MESSAGE_S = 30.0  # within which a message that has begun must be complete
INSPECTION_S = 600.0  # within which a user's module must be imported


def start() -> None:
    """Start loading torch in the forkserver; returns at once.

    It inherits SIGINT and SIGTERM blocked: what the terminal or a scheduler sends to all
    processes is the parent's to handle.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    resource_tracker.ensure_running()  # first, as its start unblocks SIGINT
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def inspect(trials: Sequence[Trial], isolation: str) -> Inspection:
    """Usable devices, problems of models and engines, and the models' own sizes.

    Runs in a fresh process, so that nothing it imports or initialises stays.
    Raises WorkerDied if that process can't answer, or not in INSPECTION_S.
    """
    if isolation == "none":
        return execution.inspect(trials, PhaseCallbacks())
    ask = partial(in_fresh_process, execution.inspect, trials, None, PhaseCallbacks(), INSPECTION_S)
    answer: Inspection = _once_more_after((FORKSERVER_GONE, -signal.SIGKILL), ask)
    return answer


def costs(trials: Sequence[Trial]) -> dict[str, dict[str, float]]:
    """The cost of a pass of each trial, by folder, where known beforehand.

    Raises WorkerDied as `inspect` does.
    """
    found: dict[str, dict[str, float]] = in_fresh_process(
        execution.costs, trials, None, PhaseCallbacks(), INSPECTION_S
    )
    return found


def run(trial: Trial, isolation: str, log: Path, listener: PhaseCallbacks | None = None) -> Outcome:
    """Carry out a trial and return its outcome; never raises for what the trial does.

    Its output goes to `log`. However it ends, even by an interrupt, its samples so far are in
    the answer; after the last sample, it is the raw outcome that the `listener` received.
    """
    know(vars(trial.model))
    listener = listener or PhaseCallbacks()
    kept, raw = SampleBuffer(trial), list[Outcome]()

    def measured(outcome: Outcome) -> None:
        raw.append(outcome)
        listener.measured(outcome)

    hears = replace(listener, measured=measured, keep=kept)
    try:
        outcome = _carried_out(trial, isolation, log, hears, raw)
        return outcome if outcome.status == Status.COMPLETED else kept.into(outcome)
    except KeyboardInterrupt:
        status, kind, why = (
            Status.INTERRUPTED,
            "KeyboardInterrupt",
            "interrupted by the user or SIGTERM",
        )
    except WorkerDied as death:
        status, kind, why = death.status, "WorkerDied", str(death)
    if raw:
        return replace(raw[0], why_null={"contention": f"{CUT_OFF} {why}"})
    return kept.into(Outcome(status, error={"type": kind, "message": why, "trace": ""}))


def _carried_out(
    trial: Trial, isolation: str, log: Path, listener: PhaseCallbacks, raw: Sequence[Outcome]
) -> Outcome:
    """The worker's outcome; `raw` receives earlier messages. Raises WorkerDied."""
    if isolation == "none":
        return execution.run_trial(trial, listener)
    limit_s = trial.timing.timeout_s
    ask = partial(in_fresh_process, execution.run_trial, trial, log, listener, limit_s)
    outcome: Outcome = _once_more_after((FORKSERVER_GONE,), ask, raw)
    return outcome


def _once_more_after(
    exitcodes: tuple[int, ...], ask: Callable[[], Any], enough: Sequence[object] = ()
) -> Any:
    """The answer of `ask`; retries once if the worker died of an infrastructure failure.

    It does not retry if `enough` of an answer exists.
    """
    try:
        return ask()
    except WorkerDied as death:
        if death.exitcode not in exitcodes or enough:
            raise
    return ask()


def in_fresh_process(
    task: Callable[[Any, PhaseCallbacks], Any],
    argument: object,
    log: Path | None,
    listener: PhaseCallbacks,
    limit_s: float | None = None,
) -> Any:
    """The answer of `task` in a new process. Raises WorkerDied, also `limit_s` after its start."""
    start()  # unless it runs already
    oom_kills = memory.oom_kills()
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve,
        args=(task, argument, theirs, log, os.getcwd(), listener.keep, listener.turn is not None),
        daemon=False,
    )
    try:
        process.start()
    except (EOFError, ConnectionError) as error:
        raise WorkerDied("the forkserver was killed", exitcode=FORKSERVER_GONE) from error
    until = None if limit_s is None else time.monotonic() + limit_s  # torch is loaded by now
    theirs.close()
    server, started = _parent_of(process), list[psutil.Process]()
    try:
        while True:
            # blocks, so that the trial has the machine to itself; on the process, too, as another
            # one started by its network may hold the pipe open
            left_s = math.inf if until is None else max(0.0, until - time.monotonic())
            if not connection.wait([ours, process.sentinel], min(left_s, LOOK_S)):
                bound(log)
                if left_s > LOOK_S:
                    continue
                text = f"the worker process did not answer within {limit_s:g} s"
                raise WorkerDied(text, Status.TIMED_OUT)
            try:
                if not ours.poll():
                    raise EOFError
                kind, *content = _heard(ours, process)
                if kind == "answer":
                    started = tree.descendants(
                        process.pid or 0
                    )  # while they are still its descendants
                    ours.send("heard")
                    process.join(ENDING_S)
                    return content[0]
                getattr(listener, kind)(*content)
                ours.send("heard")  # it continues now, and nothing is shown while it is timed
            except (EOFError, ConnectionError):
                process.join(ENDING_S)
                raise _died(process.exitcode, oom_kills) from None
    finally:
        _end(process, [*started, *tree.descendants(process.pid or 0)])
        tree.end(tree.descendants(server))  # orphans of a dead worker
        finish(log)
        ours.close()
        if not process.is_alive():
            process.close()


def _heard(ours: connection.Connection, process: BaseProcess) -> tuple[Any, ...]:
    """A worker's message. Raises EOFError, ConnectionError, and WorkerDied for garbage."""
    # messages arrive whole; garbage may announce one that never comes
    limit = threading.Timer(MESSAGE_S, process.kill)
    limit.start()
    try:
        text: Any = ours.recv()
        if not (isinstance(text, tuple) and text and text[0] in MESSAGES):
            raise ValueError("no message of a worker")
    except (EOFError, ConnectionError):
        if limit.is_alive():
            raise
        raise _garbage(f"not whole after {MESSAGE_S:g} s") from None
    except Exception as error:  # unpickling garbage may raise anything
        raise _garbage(type(error).__name__) from error
    finally:
        limit.cancel()
    return text


def _garbage(why: str) -> WorkerDied:
    return WorkerDied(
        f"the worker process sent garbage ({why}): its network writes to file descriptors that it "
        "did not open"
    )


def _parent_of(process: BaseProcess) -> int:
    """The pid of the forkserver; 0 if it is gone."""
    try:
        return int(psutil.Process(process.pid).ppid())
    except psutil.Error:
        return 0


def _end(process: BaseProcess, started: Sequence[psutil.Process]) -> None:
    """End a worker that still runs, and every process that its network has `started`."""
    assert process.pid is not None  # it has been started
    with suppress(ProcessLookupError, PermissionError):  # gone, or not yet a process group
        os.killpg(process.pid, signal.SIGKILL)
    if process.is_alive():
        process.kill()
    tree.end(started)  # processes that left its group
    process.join(ENDING_S)  # a process in uninterruptible sleep can't even be killed


def _died(exitcode: int | None, oom_kills: int | None) -> WorkerDied:
    """Why a worker ended without an answer; `oom_kills` is the count at its start."""
    if exitcode == -signal.SIGTERM:
        time.sleep(PREEMPTION_S)  # if the whole job was signalled, this process is interrupted here
    if exitcode == -signal.SIGKILL and (memory.oom_kills() or 0) > (oom_kills or 0):
        text = "the kernel's OOM killer ended the worker process: memory ran out"
        return WorkerDied(text, Status.OUT_OF_MEMORY, exitcode)
    if exitcode is not None and exitcode < 0:
        text = f"the worker process was ended by {signal.Signals(-exitcode).name}"
    else:
        text = f"the worker process exited with code {exitcode} before it answered"
    return WorkerDied(text, exitcode=exitcode)


def _serve(
    task: Callable[[Any, PhaseCallbacks], Any],
    argument: object,
    sender: connection.Connection,
    log: Path | None,
    folder: str,
    keep: Keep,
    takes_turns: bool,
) -> None:
    """Runs in the child: carry out `task` and send its answer."""
    import faulthandler

    os.setpgid(0, 0)  # so that the parent can end it with whatever it starts
    tree.adopt_orphans()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _end_with_forkserver()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.chdir(folder)
    with Path(os.devnull if log is None else log).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable(file=2)  # a segmentation fault leaves its stack in the log

    def print_line(kind: str, *content: object) -> None:
        sender.send((kind, *content))
        sender.recv()  # "heard", or the end if the parent is gone

    listener = PhaseCallbacks(
        phase=lambda name, expected_s: print_line("phase", name, expected_s),
        measured=lambda outcome: print_line("measured", outcome),
        turn=(lambda: print_line("turn")) if takes_turns else None,
        keep=keep,
    )
    answer = task(argument, listener)
    sys.stdout.flush()
    with suppress(EOFError, ConnectionError):  # the parent is gone
        print_line("answer", answer)


def _end_with_parent() -> None:
    """Block until the parent is gone; then end everything in this process group."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    tree.end(tree.descendants(os.getpid()))
    os.killpg(0, signal.SIGKILL)


def _end_with_forkserver() -> None:
    """Have the kernel end this process with the forkserver, which ends with the parent.

    A thread can't do so while a call into C holds the interpreter.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
