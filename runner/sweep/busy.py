"""A machine on which others work: waited for, refused, or told with who they are."""

from __future__ import annotations

import time
from collections.abc import Callable

from runner.config.settings import Settings, seconds_of
from runner.contract import Level, Problem, UsageError
from runner.host.busy import others
from runner.records.record import Record

LOOK_S = 5.0  # between two looks while others are waited for
CONTENDED = "CPU_CONTENDED"


def wait_until_idle(settings: Settings, tell: Callable[[str], object]) -> None:
    """Before the first trial: do as `when_busy` says. Raises UsageError where it refuses."""
    action = settings.when_busy.action
    if action == "warn":
        return  # Contention warns, after the first trial that was disturbed
    found, until = others(), time.monotonic() + (seconds_of(settings.when_busy.limit) or 0.0)
    if found.busy and action == "refuse":
        remedy = "wait for them, or when_busy=warn"
        raise UsageError(Problem("when_busy", f"when_busy is refuse, and {found}", remedy))
    if found.busy:
        tell(f"waiting up to {settings.when_busy.limit}, as {found}")
    while found.busy and time.monotonic() < until:
        time.sleep(min(LOOK_S, max(0.0, until - time.monotonic())))
        found = others()
    if found.busy:
        tell(f"warning: it is timed all the same after {settings.when_busy.limit}, though {found}")


class Contention:
    """Says once who takes the CPUs, after the first trial that has felt it."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell, self._told = tell, False

    def seen_by(self, record: Record) -> None:
        """A trial has ended on this machine."""
        felt = any(
            one["code"] == CONTENDED and one["level"] != Level.NOTE for one in record.reasons
        )
        if felt and not self._told:
            self._told = True
            found = others()
            advice = "end them, or when_busy=wait waits until they are idle"
            if found.busy:
                self._tell(f"warning: {found}; {advice}")
