"""Programs forked from one process that has all libraries imported, to spare each test seconds.

    python zygote.py SOCKET

Each connection brings one command line; a fork of this process runs it as `python -m` would, in a
process, folder and environment of its own, and the connection gets its pid and how it ended. Its
forkserver is a fork, too, instead of another interpreter that imports torch. Nothing of a program
runs in this process, so that no test sees what another one has left.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from multiprocessing import process, util
from typing import Any

spawned = util.spawnv_passfds


def load() -> None:
    """Import what programs and their workers import, and call nothing of it."""
    import onnx  # noqa: F401
    import pandas  # noqa: F401
    import plotly  # noqa: F401
    import scipy.stats  # noqa: F401
    import torchvision  # noqa: F401

    import runner.models.custom
    import runner.models.sources
    import runner.models.torchvision
    import runner.pages.report
    import runner.sweep.command
    import runner.sweep.session  # noqa: F401
    from runner.tracking import store

    store.load()
    gc.collect()
    gc.freeze()  # what is here is never looked at again in the forks


def serve(address: str) -> dict[str, Any] | None:
    """Fork a program for each connection, until stdin ends; in the fork, what to run."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that watch programs
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            readable, _, _ = select.select([listener, 0], [], [])
            if 0 in readable:
                return None
            connection, _ = listener.accept()
            if not os.fork():
                break
            connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return watch(connection)


def watch(connection: socket.socket) -> dict[str, Any] | None:
    """Fork the program and report how it ended; in the program's own process, what to run."""
    with connection, connection.makefile("rw") as lines:
        wanted: dict[str, Any] = json.loads(lines.readline())
        if pid := os.fork():
            print(pid, file=lines, flush=True)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=lines, flush=True)
            os._exit(0)
        return wanted


def run(wanted: dict[str, Any]) -> None:
    """Become the program: its folder, environment, output and arguments."""
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    for number, path in ((0, os.devnull), (1, wanted["out"]), (2, wanted["err"])):
        os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_APPEND), number)
    # what Python has taken from its surroundings when it began
    sys.path[0] = process.ORIGINAL_DIR = os.getcwd()
    tempfile.tempdir = None
    util.spawnv_passfds = forked
    sys.argv = [wanted["door"], *wanted["arguments"]]
    code = 1
    try:
        runpy.run_module(wanted["door"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    # as Python ends, but without taking all libraries apart, which would take a second
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def forked(path: bytes, arguments: Sequence[str], keep: Sequence[int]) -> int:
    """As multiprocessing.util.spawnv_passfds, but a fork for the processes of multiprocessing.

    A process of the method "spawn", as one of a pool, is a new interpreter here, too.
    """
    if arguments[-2] != "-c":
        return spawned(path, arguments, keep)
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    try:
        begin = 3
        for number in [*sorted(keep), os.sysconf("SC_OPEN_MAX")]:
            os.closerange(begin, number)
            begin = number + 1
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        exec(arguments[-1], {"__name__": "__main__"})
        os._exit(0)
    except SystemExit as end:
        os._exit(int(end.code or 0))
    except BaseException:
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    load()
    todo = serve(sys.argv[1])
    if todo is not None:
        run(todo)
