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

from runner.contract import ExitCode, Problem, Status, UsageError
from runner.host.cpu import affinity, shared_out, whole_cores
from runner.host.devices import Devices
from runner.host.gpu import near_cpus
from runner.host.raised import words_of
from runner.launchers.job import Job, Lost, Result, run_point, with_cut_ones
from runner.launchers.launcher import Launcher
from runner.records.record import Record
from runner.trial.description import Trial


class GpuPool(Launcher):
    """A process for each of `gpus` (None: all that torch sees), which runs one trial at a time."""

    def __init__(self, gpus: int | None = None) -> None:
        self._asked, self._count = gpus, 0
        self._uuids: Sequence[str | None] = ()

    def check(self, devices: Devices) -> None:
        """See Launcher."""
        self._count, self._uuids = count_of(self._asked, devices.cuda), devices.uuids

    def claims(self, trials: Sequence[Trial], devices: Devices) -> set[str]:
        """All GPUs of the pool."""
        return {devices.identity(f"cuda:{number}") for number in range(self._count)}

    def run(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """See Launcher."""
        return with_cut_ones(jobs, self._results(jobs))

    def _results(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Run the jobs; a killed process of the pool ends the whole pool.

        Jobs without a record then run once more in a new pool.
        """
        left = list(jobs)
        for again in (True, False):
            killed = []
            for job, result in _in_pool(left, pool_of(self._count, self._uuids)):
                if result is not None:
                    yield job.trial, result
                elif again:
                    killed.append(job)
                else:
                    why = "a process of the pool was killed twice"
                    yield job.trial, Lost(Status.FAILED, why)
            if not (left := killed):
                return


@dataclass(frozen=True)
class Place:
    """A GPU by its name in CUDA_VISIBLE_DEVICES, and its share of the CPU cores."""

    gpu: str
    cores: tuple[int, ...]


def pool_of(count: int, uuids: Sequence[str | None] = ()) -> ProcessPoolExecutor:
    """A process for each of `count` GPUs, bound to it and to its share of the CPU cores.

    Their `uuids` tell the cores near each GPU.
    """
    context = get_context("spawn")
    places = context.Queue()
    for place in _places(count, uuids):
        places.put(place)
    return ProcessPoolExecutor(
        count, mp_context=context, initializer=take_place, initargs=(places,)
    )


def count_of(asked: int | None, seen: int) -> int:
    """The number of GPUs to use; without any that torch has `seen`, as many as `asked` for.

    Raises UsageError for none, or more than there are.
    """
    if not (asked or seen):
        found = "hydra/launcher=gpus, but torch sees no CUDA device here"
        remedy = "omit it, or give hydra.launcher.gpus"
        raise UsageError(Problem("hydra/launcher", found, remedy))
    if asked and 0 < seen < asked:
        found = f"hydra.launcher.gpus is {asked}, but torch sees {seen} here"
        raise UsageError(Problem("hydra.launcher.gpus", found, "omit it to use all"))
    return asked or seen


def _in_pool(
    jobs: Sequence[Job], pool: ProcessPoolExecutor
) -> Iterator[tuple[Job, Record | Lost | None]]:
    """The result of each job as it ends; None where a process of the pool was killed."""
    with pool:
        try:
            running = {pool.submit(run_in_place, job): job for job in jobs}
            for one in as_completed(running):
                error = one.exception()
                if isinstance(error, BrokenProcessPool):
                    yield running[one], None
                elif error is not None:
                    yield running[one], Lost(Status.FAILED, words_of(error))
                else:
                    yield running[one], one.result()
        except BaseException:
            _interrupt_children()
            raise


def _places(count: int, uuids: Sequence[str | None]) -> Iterator[Place]:
    """A place for each GPU, with whole CPU cores, those near it if known."""
    visible = [one.strip() for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    names = [visible[n] if n < len(visible) and visible[n] else str(n) for n in range(count)]
    shares: Sequence[tuple[int, ...]] = [()] * count
    if hasattr(os, "sched_setaffinity"):  # not so on macOS
        near = [near_cpus(uuids[n]) if n < len(uuids) else None for n in range(count)]
        shares = shared_out(whole_cores(affinity()), near)
    yield from map(Place, names, shares)


def take_place(places: Any) -> None:
    """Bind this process, and all that it starts, to a place of its own until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep handles Ctrl-C and sends SIGTERM
    signal.signal(signal.SIGTERM, _ending)
    threading.Thread(target=_end_with_sweep, daemon=True).start()
    place = places.get()
    os.environ["CUDA_VISIBLE_DEVICES"] = place.gpu
    if place.cores:
        os.sched_setaffinity(0, place.cores)


def _end_with_sweep() -> None:
    """End this process and its trial once the sweep's process is gone."""
    sweep = parent_process()
    assert sweep is not None
    sweep.join()
    os.kill(os.getpid(), signal.SIGKILL)


class _Ending:
    """SIGTERM ends a process of the pool once its running trial has been written."""

    seen = running = False

    def __call__(self, number: int, frame: object) -> None:
        first, self.seen = not self.seen, True
        if not self.running:
            os._exit(ExitCode.INTERRUPTED)
        if first:  # the scheduler and the sweep may both send one
            raise KeyboardInterrupt


_ending = _Ending()


def run_in_place(job: Job) -> Record:
    """Run a trial in this process, which exits afterwards if SIGTERM arrived meanwhile.

    It must not continue: the pool has already sent the next job, and a trial that had all
    its samples when it was interrupted has completed.
    """
    _ending.running = True
    try:
        return run_point(job)
    finally:
        _ending.running = False
        if _ending.seen:
            os._exit(ExitCode.INTERRUPTED)


def _interrupt_children() -> None:
    """Let the trials of the pool write what they have measured."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            child.terminate()
