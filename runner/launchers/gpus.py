"""Trials on all GPUs of this host, one at a time on each."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from typing import Any

import psutil

from runner.launchers.point import run_point
from runner.trial.rules import Problem, UsageError

ENDED = 130  # the exit code of a process of the pool that was told to end


@dataclass(frozen=True)
class Place:
    """A GPU as CUDA_VISIBLE_DEVICES names it, and the CPU cores that go with it."""

    gpu: str
    cores: tuple[int, ...]


def pool_of(count: int) -> ProcessPoolExecutor:
    """A process for each of `count` GPUs, bound to it and to its share of the CPU cores."""
    context = get_context("spawn")
    places = context.Queue()
    for place in _places(count):
        places.put(place)
    return ProcessPoolExecutor(
        count, mp_context=context, initializer=take_place, initargs=(places,)
    )


def count_of(asked: int | None, seen: int) -> int:
    """How many GPUs to use of those that torch has `seen`; without any, as many as `asked` for.

    Raises UsageError for none, or more than there are.
    """
    if not (asked or seen):
        found = "hydra/launcher=gpus, but torch sees no CUDA device here"
        remedy = "leave it out, or give hydra.launcher.gpus"
        raise UsageError(Problem("hydra/launcher", found, remedy))
    if asked and 0 < seen < asked:
        found = f"hydra.launcher.gpus is {asked}, but torch sees {seen} here"
        raise UsageError(Problem("hydra.launcher.gpus", found, "leave it out: all are used"))
    return asked or seen


def run(points: Sequence[bytes], count: int) -> Iterator[tuple[int, Any]]:
    """The place of each point and its record, or in words why there is none, as they end.

    `count` GPUs are used, which the caller holds. A process of the pool that is killed takes the
    pool with it: the points without a record are run once more, in a new one.
    """
    left = list(range(len(points)))
    for again in (True, False):
        lost = []
        for at, record in _in_pool(points, left, count):
            if again and record is None:
                lost.append(at)
            else:
                yield at, record or "a process of the pool was killed, twice"
        if not (left := lost):
            return


def _in_pool(points: Sequence[bytes], left: Sequence[int], count: int) -> Iterator[tuple[int, Any]]:
    """As `run`, for the points that are `left`; no record where a process was killed."""
    with pool_of(count) as pool:
        try:
            running = {pool.submit(run_in_place, points[at]): at for at in left}
            for one in as_completed(running):
                error = one.exception()
                if isinstance(error, BrokenProcessPool):
                    yield running[one], None
                else:
                    why = error and f"{type(error).__name__}: {error}"
                    yield running[one], why or one.result()
        except BaseException:
            _interrupt_children()
            raise


def _places(count: int) -> Iterator[Place]:
    """A place for each GPU: which, and the CPU cores beside it."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    bound = hasattr(os, "sched_setaffinity")  # not so on macOS
    cores = sorted(os.sched_getaffinity(0)) if bound else []
    share = max(1, len(cores) // count)
    for number in range(count):
        known = visible[number] if number < len(visible) and visible[number] else str(number)
        first = number * share % max(1, len(cores))
        yield Place(known, tuple(cores[first : first + share]))


def take_place(places: Any) -> None:
    """Bind this process, and all that it starts, to a place of its own until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the sweep's, which ends us by SIGTERM
    signal.signal(signal.SIGTERM, _ending)
    threading.Thread(target=_end_with_sweep, daemon=True).start()
    place = places.get()
    os.environ["CUDA_VISIBLE_DEVICES"] = place.gpu
    if place.cores:
        os.sched_setaffinity(0, place.cores)


def _end_with_sweep() -> None:
    """End this process, and with it the trial that waits for it, once the sweep's own is gone."""
    sweep = parent_process()
    assert sweep is not None
    sweep.join()
    os.kill(os.getpid(), signal.SIGKILL)


class _Ending:
    """SIGTERM to a process of the pool ends it, once the point it runs has been written down."""

    seen = running = False

    def __call__(self, number: int, frame: object) -> None:
        first, self.seen = not self.seen, True
        if not self.running:
            os._exit(ENDED)
        if first:  # a scheduler's may be followed by the sweep's own
            raise KeyboardInterrupt


_ending = _Ending()


def run_in_place(point: bytes) -> Any:
    """Run a point in this process, which ends with it if it has been told to.

    It must not go on: the pool has sent it the next point beforehand, and a trial that had all
    its samples when it was interrupted has completed.
    """
    _ending.running = True
    try:
        return run_point(point)
    finally:
        _ending.running = False
        if _ending.seen:
            os._exit(ENDED)


def _interrupt_children() -> None:
    """Have the trials of the pool write down what they have."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            child.terminate()
