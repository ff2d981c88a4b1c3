"""Closed sets of words, as they stand in records, tags and reports."""

from __future__ import annotations

from enum import StrEnum


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


class Phase(StrEnum):
    """What a trial is doing."""

    BUILD = "build"
    WARM_UP = "warm-up"
    TIMED = "timed"
