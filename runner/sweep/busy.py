"""A busy machine: wait for it, refuse it, or warn with the names of the processes."""

from __future__ import annotations

import time
from collections.abc import Callable

from runner.config.settings import Settings, seconds_of
from runner.contract import Level, Problem, UsageError
from runner.host.busy import others
from runner.records.record import Record

LOOK_S = 5.0  # between two looks while others are waited for
CONTENDED = "CPU_CONTENDED"


def wait_until_idle(settings: Settings, print_line: Callable[[str], object]) -> None:
    """Before the first trial, apply `when_busy`. Raises UsageError if it refuses."""
    action = settings.when_busy.action
    if action == "warn":
        return  # Contention warns after the first disturbed trial
    found, until = others(), time.monotonic() + (seconds_of(settings.when_busy.limit) or 0.0)
    if found.busy and action == "refuse":
        remedy = "wait for them, or when_busy=warn"
        raise UsageError(Problem("when_busy", f"when_busy is refuse, and {found}", remedy))
    if found.busy:
        print_line(f"waiting up to {settings.when_busy.limit}: {found}")
    while found.busy and time.monotonic() < until:
        time.sleep(min(LOOK_S, max(0.0, until - time.monotonic())))
        found = others()
    if found.busy:
        print_line(f"warning: timing anyway after {settings.when_busy.limit}, although {found}")


class Contention:
    """Warns once, after the first disturbed trial, which processes use the CPUs."""

    def __init__(self, print_line: Callable[[str], object]) -> None:
        self._print_line, self._warned = print_line, False

    def seen_by(self, record: Record) -> None:
        """A trial has ended on this machine."""
        felt = any(
            one["code"] == CONTENDED and one["level"] != Level.NOTE for one in record.reasons
        )
        if felt and not self._warned:
            self._warned = True
            found = others()
            advice = "stop them, or use when_busy=wait to wait for an idle machine"
            if found.busy:
                self._print_line(f"warning: {found}; {advice}")
