"""One round of a duet: two fresh processes that time their blocks in turns."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runner.contract import SideFailed, Status, Unreadable
from runner.duets.link import LIMIT_S, Link
from runner.records.reading import checked
from runner.records.record import Outcome
from runner.trial.description import Trial

TURN, MEASURED, DONE = "turn", "measured", "done"


@dataclass(frozen=True)
class Part:
    """What one side does in a round: its trial, and the log of its worker."""

    link: Link
    trial: Trial
    log: Path

    @property
    def limit_s(self) -> float:
        """The longest time without an answer."""
        return self.trial.timing.timeout_s or LIMIT_S


def play(parts: Sequence[Part], first: int, order: random.Random) -> list[Outcome]:
    """Time both sides, block by block in an order drawn for each pair of blocks.

    Builds and warm-ups do not overlap either: one side at a time uses the device, beginning with
    the one whose index is `first`. If a side fails, or its process ends or does not answer, the
    other one is interrupted.
    """
    turns = [_Turns(part) for part in parts]
    try:
        for one in turns[first:] + turns[:first]:
            one.begin()
            if one.event == DONE:  # it failed before it could be timed
                break
        while any(one.event == TURN for one in turns):
            for one in order.sample(turns, len(turns)):
                if one.event == TURN:
                    one.resume(go=not any(other.failed for other in turns))
        for one in turns:
            if one.event == MEASURED:
                one.resume(go=True)
    except BaseException:
        for one in turns:
            one.abandon()
        raise
    return [one.outcome for one in turns]


class _Turns:
    """One side within a round, by its last event."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self.event = ""
        self.outcome = Outcome(Status.INTERRUPTED, error=_error("the other side failed"))

    @property
    def failed(self) -> bool:
        """Whether it ended without a result."""
        return self.event == DONE and self.outcome.status != Status.COMPLETED

    def begin(self) -> None:
        """Build and warm up, until its first block could be timed."""
        part = self._part
        # the limit is one of each answer, as a side also waits for the other one
        timing = replace(part.trial.timing, timeout_s=None)
        part.link.begin("time", replace(part.trial, timing=timing), part.log)
        self._hear()

    def resume(self, *, go: bool) -> None:
        """Let it time its next block, or describe the machine after the last one; or end."""
        self._part.link.resume(go=go)
        self._hear()

    def abandon(self) -> None:
        """End its process, whatever it is doing."""
        if self.event != DONE:
            self._part.link.close()

    def _hear(self) -> None:
        link = self._part.link
        try:
            values: dict[str, Any] = link.wait(self._part.limit_s)
        except TimeoutError as error:
            link.close()
            self._ended(Status.TIMED_OUT, str(error))
            return
        except SideFailed as error:
            link.close()
            self._ended(Status.FAILED, str(error))
            return
        self.event = str(values["event"])
        if self.event == DONE:
            try:
                self.outcome = checked(values["outcome"], Outcome, link.side.name)
            except Unreadable as error:  # what a network returned, a number too large
                self._ended(Status.FAILED, str(error))

    def _ended(self, status: Status, why: str) -> None:
        self.event = DONE
        self.outcome = Outcome(status, error=_error(why))


def _error(why: str) -> dict[str, str]:
    return {"type": "SideFailed", "message": why, "trace": ""}
