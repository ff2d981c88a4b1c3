"""Trials as jobs of a Slurm cluster, handed to it by submitit."""

from __future__ import annotations

import itertools
import math
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.launchers.point import run_point
from runner.sweep.interrupt import Interrupt
from runner.trial.rules import Problem, UsageError

LARGEST_ARRAY = 1000  # jobs; Slurm's own limit is MaxArraySize, 1001 by default
TIMEOUT_MARGIN_S = 300  # to start a process, load torch and build the network
GRACE_S = 60.0  # in which cancelled jobs write down what they have
JOB_NAME = "runner"
CANCELLED = "cancelled"  # a file, by which jobs know that the sweep itself ends them


def run_on_node(point: bytes, cancelled: str) -> Any:
    """Run a point as a job of a cluster.

    SIGTERM, when the machine is taken away, has the trial write down what it has. Then this waits
    for its end: a job that is preempted starts again by itself, one that has ended would not.
    """
    Interrupt().listen()
    try:
        return run_point(point)
    except KeyboardInterrupt:
        until_s = time.monotonic() + GRACE_S
        while time.monotonic() < until_s and not Path(cancelled).exists():
            time.sleep(0.2)
        raise


class SlurmJobs:
    """Every trial a job of an array: its CPUs and its GPU are no other's meanwhile.

    `settings` are those of conf/hydra/launcher/slurm.yaml, `timeout_s` is the trial's own.
    """

    def __init__(self, settings: Mapping[str, Any], timeout_s: float | None) -> None:
        self._most_at_once, self._poll_s = settings["most_at_once"], settings["poll_s"]
        self._minutes = settings["timeout_min"]
        if timeout_s is not None:
            self._minutes = math.ceil((timeout_s + TIMEOUT_MARGIN_S) / 60)
        cpus, gpus = settings["cpus_per_trial"], settings["gpus_per_trial"]
        self._parameters = {
            "additional_parameters": {"requeue": True, **settings["more"]},
            "setup": list(settings["setup"]),
            **({"cpus_per_task": cpus} if cpus else {}),
            **({"gres": f"gpu:{gpus}"} if gpus else {}),
            **({"partition": settings["partition"]} if settings["partition"] else {}),
            **({"exclusive": True} if settings["exclusive"] else {}),
        }

    def run(
        self, points: Sequence[bytes], overrides: Sequence[Sequence[str]], sweep_dir: Path
    ) -> Iterator[tuple[int, Any]]:
        """The place of each point and its record, or in words why there is none, as they end.

        Raises UsageError where there is no Slurm.
        """
        folder = sweep_dir.absolute() / ".slurm"
        folder.mkdir(parents=True, exist_ok=True)
        cancelled = folder / CANCELLED
        executor = _executor(folder, self._poll_s)
        _end_earlier(folder, cancelled)
        jobs = self._submitted(executor, points, overrides, cancelled)
        try:
            while jobs:
                for place, job in list(jobs.items()):
                    if job.done():
                        del jobs[place]
                        yield place, _result_of(job)
                time.sleep(self._poll_s)
        except BaseException:
            cancelled.touch()
            for job in jobs.values():
                with suppress(Exception):  # one that has just ended
                    job.cancel(check=False)
            until_s = time.monotonic() + GRACE_S
            while time.monotonic() < until_s and not all(job.done() for job in jobs.values()):
                time.sleep(self._poll_s)
            raise

    def _submitted(
        self,
        executor: Any,
        points: Sequence[bytes],
        overrides: Sequence[Sequence[str]],
        cancelled: Path,
    ) -> dict[int, Any]:
        """The job of each point; a round begins when the one before has ended."""
        jobs: dict[int, Any] = {}
        before: list[str] = []
        for _, round_ in itertools.groupby(range(len(points)), lambda at: _round(overrides[at])):
            places, begun = list(round_), []
            for start in range(0, len(places), LARGEST_ARRAY):
                part = places[start : start + LARGEST_ARRAY]
                executor.update_parameters(
                    job_name=JOB_NAME,
                    time=self._minutes,
                    array_parallelism=self._most_at_once,
                    **self._parameters,
                    **({"dependency": f"afterany:{':'.join(before)}"} if before else {}),
                )
                sent = [points[place] for place in part]
                made = executor.map_array(run_on_node, sent, [str(cancelled)] * len(sent))
                jobs |= dict(zip(part, made, strict=True))
                begun.append(made[0].job_id.partition("_")[0])
            before = begun
        return jobs


def _executor(folder: Path, poll_s: float) -> Any:
    """Submitit's, which finds Slurm by its commands. Raises UsageError without either."""
    try:
        from submitit import SlurmExecutor, SlurmJob
        from submitit.slurm.slurm import SlurmInfoWatcher

        executor = SlurmExecutor(folder / "%j")
    except ImportError as error:
        found = "hydra/launcher=slurm needs submitit, which is not installed"
        remedy = "pip install '.[slurm]'"
        raise UsageError(Problem("hydra/launcher", found, remedy)) from error
    except RuntimeError as error:
        found = "hydra/launcher=slurm finds no Slurm here (no srun)"
        raise UsageError(Problem("hydra/launcher", found, "start it where sbatch works")) from error
    asked = subprocess.run(["sacct", "-n", "-X"], capture_output=True, text=True, check=False)
    if asked.returncode:
        told = (asked.stderr.strip().splitlines() or ["sacct failed"])[-1]
        found = (
            f"this Slurm has no accounting ({told}), without which a killed job is never heard of"
        )
        remedy = "have slurmdbd set up, as in cluster/slurm.sh"
        raise UsageError(Problem("hydra/launcher", found, remedy))
    # asks the accounting about all jobs at once, and no more often than this
    SlurmJob.watcher = SlurmInfoWatcher(delay_s=max(1, round(poll_s)))
    return executor


def _end_earlier(folder: Path, cancelled: Path) -> None:
    """End the jobs that a start of this sweep has left, which was itself killed."""
    earlier = [one.name for one in folder.iterdir() if one.name.isdigit()]  # submitit's, by job
    if earlier:
        cancelled.touch()
        # by name, too: a cluster that was set up anew gives the same numbers to jobs of others
        ours = f"--name={JOB_NAME}"
        subprocess.run(["scancel", ours, *earlier], capture_output=True, check=False)
        asked = ["squeue", "-h", ours, "-j", ",".join(earlier)]
        until_s = time.monotonic() + GRACE_S
        while (
            subprocess.run(asked, capture_output=True, check=False).stdout
            and time.monotonic() < until_s
        ):
            time.sleep(0.5)
    cancelled.unlink(missing_ok=True)


def _round(overrides: Sequence[str]) -> str:
    """That of a point: its repeat."""
    return next((word for word in overrides if word.startswith("repeat=")), "")


def _result_of(job: Any) -> Any:
    """The record that a job has returned; in words why it has not."""
    from submitit.core.utils import UncompletedJobError

    try:
        return job.result()
    except UncompletedJobError as error:
        last = (str(error).strip().splitlines() or [""])[-1]
        return f"its Slurm job {job.job_id} ended as {job.state}: {last}"
