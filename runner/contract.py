"""Shared by all packages: enumerations, the exit codes of all commands, and all errors.

Each error has the exit code of a command that it ends:

    RunnerError                  1
      UsageError                 2  the command can't be carried out: every problem, once
      NothingThere               2  no such record, sweep or night
      Unmatched                  2  two results have nothing to be compared by
      Undecided                  2  the file of decisions can't be read or written
      Held                       7  another process holds the lock
      NoLock                     2  a file that can't be locked
      Unreadable                 1  a file of records is damaged, or of another version
      TrackingUnavailable        1  MLflow can't be used
        RefusedByTracking        1  MLflow refuses what it was sent, and would again
      WorkerDied                 1  a worker process ended without an answer
      ModelError                 1  the network can't be built
      SideFailed                 1  a side of a duet can't be prepared or does not run
      Unavailable                1  a recorded state of code and packages can't be restored
      MeasureError               1  the device can't do what the timing method asks
      NotTimed                   1  the reference of --interference could not be timed
      LauncherFailed             1  a launcher of the user's own raised an error

Errors that end one trial, or lose MLflow, are caught by the sweep, which continues.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path

_packaged = Path(__file__).parent / "conf"
CONF = _packaged if _packaged.is_dir() else Path(__file__).parents[1] / "conf"
"""The configuration files, absolute: inside the wheel, or beside the package in a checkout."""

CUT_OFF = "all samples taken, but then"  # prefix of the reason why later checks are missing


class Status(StrEnum):
    """How a trial ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"


class Verdict(StrEnum):
    """How good a completed trial's number is, the worst first."""

    INVALID = "invalid"
    SUSPECT = "suspect"
    VALID = "valid"


class Level(StrEnum):
    """What a finding does to the number, the worst first."""

    INVALID = "invalid"
    SUSPECT = "suspect"
    NOTE = "note"


class GateVerdict(StrEnum):
    """What a night says of a trial, in the order in which to read it."""

    REGRESSION = "regression"
    FAILED = "failed"
    MISSING = "missing"
    SUSPECT = "suspect"
    INCONCLUSIVE = "inconclusive"
    NO_BASELINE = "no_baseline"
    IMPROVEMENT = "improvement"
    PASS = "pass"


class Confirmation(StrEnum):
    """What a duet made of a trial that a night found slower."""

    CONFIRMED = "confirmed"
    CLEARED = "cleared"
    UNDECIDED = "undecided"
    UNAVAILABLE = "unavailable"


class DuetVerdict(StrEnum):
    """What a duet says of its new side."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "same"
    UNDECIDED = "undecided"
    FAILED = "failed"


class TargetVerdict(StrEnum):
    """Whether a percentile of the latency under load keeps its limit, the worst first."""

    MISSED = "missed"
    UNDECIDED = "undecided"
    MET = "met"


class Phase(StrEnum):
    """What a trial is doing."""

    BUILD = "build"
    WARM_UP = "warm-up"
    TIMED = "timed"


class ExitCode(IntEnum):
    """The exit code of a command, for shells, schedulers and CI; never a count."""

    OK = 0
    FAILED = 1  # at least one trial failed, or an error of the program
    USAGE = 2  # bad command or configuration, or no such result: nothing was run
    REGRESSION = 3  # slower: a night, a comparison; a result that does not reproduce
    INCOMPLETE = 4  # trials of a night or a comparison failed or are missing
    UNDECIDED = 5  # too much is inconclusive
    NO_BASELINE = 6  # nothing to compare with
    OVERLAP = 7  # another night is still running
    INTERRUPTED = 130  # Ctrl-C or SIGTERM


@dataclass(frozen=True)
class Problem:
    """Why a request can't be carried out: the key it is about, and what was found there.

    `remedy` says what was expected or what to do; it may be empty.
    """

    key: str
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.found}; {self.remedy}" if self.remedy else self.found


class RunnerError(Exception):
    """Base of all errors; the message says what was found and what to do."""

    exit_code = ExitCode.FAILED


class UsageError(RunnerError):
    """A command that can't be carried out; holds every problem once."""

    exit_code = ExitCode.USAGE

    def __init__(self, *problems: Problem) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(map(str, self.problems)))


class NothingThere(RunnerError):
    """No such record; the message says what was searched for and what to do."""

    exit_code = ExitCode.USAGE


class Unmatched(RunnerError):
    """Two results have nothing to be compared by; the message says what exists."""

    exit_code = ExitCode.USAGE


class Undecided(RunnerError):
    """The file of decisions can't be read, or an entry says nothing that is known."""

    exit_code = ExitCode.USAGE


class Held(RunnerError):
    """Another process holds the lock; the message says which."""

    exit_code = ExitCode.OVERLAP


class NoLock(RunnerError):
    """A file that can't be locked; the message says why."""

    exit_code = ExitCode.USAGE


class Unreadable(RunnerError):
    """A file of records that is damaged, or of a version this program does not know."""


class TrackingUnavailable(RunnerError):
    """MLflow can't be used; the message says why."""


class RefusedByTracking(TrackingUnavailable):
    """MLflow refuses what it was sent, and would refuse it again; the message says why."""


class WorkerDied(RunnerError):
    """A worker process ended without an answer; the message says how, `status` what that is."""

    def __init__(
        self, message: str, status: Status = Status.FAILED, exitcode: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.exitcode = status, exitcode


class ModelError(RunnerError):
    """The network can't be built; the message says what to do."""


class MeasureError(RunnerError):
    """A device can't do what the timing asks of it; the message says what to do."""


class NotTimed(RunnerError):
    """The reference could not be timed; the message says why."""


class SideFailed(RunnerError):
    """A side of a duet can't be prepared or does not run; the message says which and why."""


class Unavailable(RunnerError):
    """A recorded state of code and packages can't be restored; the message says why."""


class LauncherFailed(RunnerError):
    """A launcher of the user's own raised an error; the message says which."""


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 trial`, `2 batches`, `3 processes`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"


def duration(seconds: float) -> str:
    """Seconds in readable units: `8 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
