"""Trials as jobs of a Slurm cluster, submitted with submitit."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

from runner.contract import Problem, Status, UsageError
from runner.host.devices import Devices
from runner.host.secrets import sealed, unsealed
from runner.launchers.job import Job, Lost, Result, run_point, with_cut_ones
from runner.launchers.launcher import Launcher
from runner.records.record import Record
from runner.trial.description import Trial

LARGEST_ARRAY = 1000  # jobs; Slurm's own limit is MaxArraySize, 1001 by default
TIMEOUT_MARGIN_S = 300  # to start a process, load torch and build the network
GRACE_S = 60.0  # for cancelled jobs to write what they have measured
JOB_NAME = "runner"
SECRETS = "RUNNER_SECRETS"  # environment variable
CANCELLED = "cancelled"  # file that tells jobs that the sweep itself cancelled them


class Slurm(Launcher):
    """Every trial is a job of an array, with CPUs and a GPU of its own.

    The settings are explained in conf/hydra/launcher/slurm.yaml.
    """

    def __init__(
        self,
        *,
        gpus_per_trial: int,
        cpus_per_trial: int | None,
        most_at_once: int,
        timeout_min: int,
        poll_s: float,
        partition: str | None,
        exclusive: bool,
        setup: list,  # type: ignore[type-arg]
        more: dict,  # type: ignore[type-arg]
    ) -> None:
        if not (most_at_once and timeout_min and poll_s):
            raise ValueError("most_at_once, timeout_min and poll_s must be above 0")
        self._gpus, self._poll_s, self._minutes = gpus_per_trial, poll_s, timeout_min
        self._parameters = {
            "job_name": JOB_NAME,
            "array_parallelism": most_at_once,
            "additional_parameters": {"requeue": True, **more},
            "setup": setup,
            **({"cpus_per_task": cpus_per_trial} if cpus_per_trial else {}),
            **({"gres": f"gpu:{gpus_per_trial}"} if gpus_per_trial else {}),
            **({"partition": partition} if partition else {}),
            **({"exclusive": True} if exclusive else {}),
        }

    @property
    def devices(self) -> Devices:
        """The GPUs of one job, independent of this machine."""
        return Devices(cuda=self._gpus)

    def check(self, devices: Devices) -> None:
        """See Launcher."""
        _check()

    def claims(self, trials: Sequence[Trial], devices: Devices) -> set[str]:
        """None on this machine: the cluster separates jobs."""
        return set()

    def run(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """See Launcher. Raises UsageError where Slurm refuses the jobs."""
        return with_cut_ones(jobs, self._results(jobs))

    def _results(self, jobs: Sequence[Job]) -> Iterator[Result]:
        folder = jobs[0].sweep_dir.absolute() / ".slurm"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        cancelled = folder / CANCELLED
        executor = _executor(folder, self._poll_s)
        _end_earlier(folder, cancelled)
        running = self._submitted(executor, jobs, cancelled)
        try:
            while running:
                for job, sent in [pair for pair in running if pair[1].done()]:
                    running = [pair for pair in running if pair[1] is not sent]
                    result = _result_of(sent)
                    _forget(sent)
                    yield job.trial, result
                time.sleep(self._poll_s)
        except BaseException:
            cancelled.touch()
            for _, sent in running:
                with suppress(Exception):  # a job that has just ended
                    sent.cancel(check=False)
            until_s = time.monotonic() + GRACE_S
            while time.monotonic() < until_s and not all(sent.done() for _, sent in running):
                time.sleep(self._poll_s)
            for _, sent in running:
                _forget(sent)
            raise

    def _submitted(
        self, executor: Any, jobs: Sequence[Job], cancelled: Path
    ) -> list[tuple[Job, Any]]:
        """The submitted jobs; a round starts when the one before has ended."""
        from submitit.core.utils import FailedJobError

        sent: list[tuple[Job, Any]] = []
        files = without_secrets(jobs)
        before: list[str] = []
        limits_s = [job.trial.timing.timeout_s for job in jobs]
        minutes = self._minutes
        if None not in limits_s:
            minutes = math.ceil((max(filter(None, limits_s)) + TIMEOUT_MARGIN_S) / 60)
        for _, round_ in itertools.groupby(jobs, lambda job: job.trial.repeat):
            begun, of_round = [], list(round_)
            for start in range(0, len(of_round), LARGEST_ARRAY):
                part = of_round[start : start + LARGEST_ARRAY]
                on_disk = [files[job.planned.folder] for job in part]
                executor.update_parameters(
                    time=minutes,
                    **self._parameters,
                    **({"dependency": f"afterany:{':'.join(before)}"} if before else {}),
                )
                try:
                    with _private_files():
                        made = executor.map_array(
                            run_on_node, on_disk, [str(cancelled)] * len(part)
                        )
                except FailedJobError as error:
                    last = (str(error).strip().splitlines() or [""])[-1]
                    found = f"sbatch refused the jobs: {last}"
                    problem = Problem("hydra.launcher", found, "see conf/hydra/launcher/slurm.yaml")
                    raise UsageError(problem) from error
                sent += zip(part, made, strict=True)
                begun.append(made[0].job_id.partition("_")[0])
            before = begun
        return sent


def run_on_node(job: Job, cancelled: str) -> Record:
    """Run a trial in a job of a cluster.

    On SIGTERM (preemption) the trial writes what it has measured. Then this waits
    to be killed: Slurm requeues a preempted job, but not one that has exited.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    job = with_secrets(job)
    record = None
    with suppress(KeyboardInterrupt):
        record = run_point(job)
    if record is not None and record.status != Status.INTERRUPTED:
        return record
    until_s = time.monotonic() + GRACE_S
    while time.monotonic() < until_s and not Path(cancelled).exists():
        time.sleep(0.2)
    raise KeyboardInterrupt


def without_secrets(jobs: Sequence[Job]) -> dict[str, Job]:
    """The jobs by folder as they may be stored on disk; secrets travel in the environment."""
    found, secrets = dict[str, Job](), dict[str, Any]()
    for job in jobs:
        trial, own = sealed(job.trial)
        found[job.planned.folder] = replace(job, trial=trial)
        secrets |= own
    os.environ.pop(SECRETS, None)
    if secrets:
        os.environ[SECRETS] = json.dumps(secrets)  # exported to jobs by sbatch
    return found


def with_secrets(job: Job) -> Job:
    """The job with its secrets restored. Raises RuntimeError if they are missing."""
    try:
        return replace(job, trial=unsealed(job.trial, json.loads(os.environ.pop(SECRETS, "{}"))))
    except KeyError:
        raise RuntimeError(
            "the secrets of this trial did not reach its job: sbatch must export the environment "
            "(--export=ALL, its default)"
        ) from None


@contextmanager
def _private_files() -> Iterator[None]:
    """Create files that nobody else can read."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _forget(sent: Any) -> None:
    """Remove a finished job's input; its output stays."""
    sent.paths.submitted_pickle.unlink(missing_ok=True)


def _check() -> None:
    """Raise UsageError without submitit, without Slurm, or without its accounting."""
    found = remedy = ""
    if find_spec("submitit") is None:
        found = "hydra/launcher=slurm needs submitit, which is not installed"
        remedy = "pip install -e '.[slurm]'"
    elif which("srun") is None:
        found = "hydra/launcher=slurm needs Slurm, but srun is not installed here"
        remedy = "run it on a host with sbatch"
    else:
        asked = subprocess.run(["sacct", "-n", "-X"], capture_output=True, text=True, check=False)
        if asked.returncode:
            why = (asked.stderr.strip().splitlines() or ["sacct failed"])[-1]
            found = f"this Slurm has no accounting ({why}), so killed jobs can't be detected"
            remedy = "set up slurmdbd, as cluster/slurm.sh does"
    if found:
        raise UsageError(Problem("hydra/launcher", found, remedy))


def _executor(folder: Path, poll_s: float) -> Any:
    """Submitit's watcher, which polls the accounting for all jobs at once."""
    from submitit import SlurmExecutor, SlurmJob
    from submitit.slurm.slurm import SlurmInfoWatcher

    SlurmJob.watcher = SlurmInfoWatcher(delay_s=max(1, round(poll_s)))
    return SlurmExecutor(folder / "%j")


def _end_earlier(folder: Path, cancelled: Path) -> None:
    """Cancel jobs left by an earlier, killed start of this sweep."""
    earlier = [one.name for one in folder.iterdir() if one.name.isdigit()]  # submitit's, by job
    if earlier:
        cancelled.touch()
        # by name, too: a reinstalled cluster reuses job numbers
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


def _result_of(sent: Any) -> Record | Lost:
    """The record that a job returned, or why it did not."""
    from submitit.core.utils import UncompletedJobError

    try:
        record: Record = sent.result()
        return record
    except UncompletedJobError as error:
        last = (str(error).strip().splitlines() or [""])[-1]
        status = Status.TIMED_OUT if sent.state == "TIMEOUT" else Status.FAILED
        return Lost(status, f"its Slurm job {sent.job_id} ended with {sent.state}: {last}")
