"""The exit codes of all doors."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command says to the shell, a scheduler or CI; never a count."""

    OK = 0
    FAILED = 1  # at least one trial failed, or a fault of the program
    USAGE = 2  # bad command or configuration, nothing of that name: nothing was run
    REGRESSION = 3  # slower: a night, a comparison; a result that does not reproduce
    INCOMPLETE = 4  # trials of a night or a comparison failed or are missing
    UNDECIDED = 5  # too much is inconclusive
    NO_BASELINE = 6  # nothing to compare with
    OVERLAP = 7  # another night is still running
    INTERRUPTED = 130  # Ctrl-C or SIGTERM
