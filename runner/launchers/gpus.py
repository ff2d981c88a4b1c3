"""Trials on all GPUs of this host, one at a time on each."""

from __future__ import annotations

import atexit
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

from runner.launchers.point import run_point
from runner.records.locks import locked
from runner.sweep.interrupt import Interrupt
from runner.trial.rules import Problem, UsageError


@dataclass(frozen=True)
class Place:
    """A GPU as CUDA_VISIBLE_DEVICES names it, the CPU cores that go with it, its lock's name."""

    gpu: str
    cores: tuple[int, ...]
    identity: str


def pool_of(count: int, identity: Callable[[str], str]) -> ProcessPoolExecutor:
    """A process for each of `count` GPUs, bound to it and to its share of the CPU cores."""
    context = get_context("spawn")
    places = context.Queue()
    for place in _places(count, identity):
        places.put(place)
    return ProcessPoolExecutor(
        count, mp_context=context, initializer=take_place, initargs=(places,)
    )


def run(
    points: Sequence[bytes], count: int, identity: Callable[[str], str]
) -> Iterator[tuple[int, Any]]:
    """The place of each point and its record, or in words why there is none, as they end.

    `count` GPUs are used; `identity` names a device as all processes of this machine do.
    Raises UsageError for none.
    """
    if not count:
        found = "hydra/launcher=gpus, but torch sees no CUDA device here"
        remedy = "leave it out, or give hydra.launcher.gpus"
        raise UsageError(Problem("hydra/launcher", found, remedy))
    with pool_of(count, identity) as pool:
        running = {pool.submit(run_point, point): at for at, point in enumerate(points)}
        try:
            for one in as_completed(running):
                error = one.exception()
                if isinstance(error, KeyboardInterrupt):
                    raise error
                why = error and f"{type(error).__name__}: {error}"
                yield running[one], why or one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            _interrupt_children()
            raise


def _places(count: int, identity: Callable[[str], str]) -> Iterator[Place]:
    """A place for each GPU: which, the CPU cores beside it, and the lock of it."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    bound = hasattr(os, "sched_setaffinity")  # not so on macOS
    cores = sorted(os.sched_getaffinity(0)) if bound else []
    share = max(1, len(cores) // count)
    for number in range(count):
        known = visible[number] if number < len(visible) and visible[number] else str(number)
        first = number * share % max(1, len(cores))
        yield Place(known, tuple(cores[first : first + share]), identity(f"cuda:{number}"))


def take_place(places: Any) -> None:
    """Bind this process, and all that it starts, to a place of its own until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the sweep's, which ends us by SIGTERM
    place = places.get()
    os.environ["CUDA_VISIBLE_DEVICES"] = place.gpu
    if place.cores:
        os.sched_setaffinity(0, place.cores)
    held = ExitStack()
    path = Path(tempfile.gettempdir()) / f"runner-device-{place.identity}.lock"
    held.enter_context(locked(path, f"GPU {place.gpu}", waits=str))
    atexit.register(held.close)
    Interrupt().listen()


def _interrupt_children() -> None:
    """Have the trials of the pool write down what they have."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            child.terminate()
