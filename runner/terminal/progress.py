"""What the user sees while a sweep runs.

On a terminal one line that moves between the phases and stands still while a
trial is timed: redrawing would take CPU time from what is being measured. In a
log one plain line per trial.
"""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from runner.records.record import Record


class SweepProgress:
    """Progress of `total` trials; the phases of each come in by `phase`."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._number = 0
        self._title = ""
        self._timing = ""
        self._began = time.monotonic()
        self._ended = 0
        self._spent_s = 0.0
        self._bar = Progress(
            MofNCompleteColumn(),
            BarColumn(bar_width=20),
            TextColumn("{task.description}"),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("loading torch and MLflow", total=total)

    def __enter__(self) -> SweepProgress:
        self._bar.start()
        self._bar.refresh()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def trial(self, title: str, phases: str) -> None:
        """The next trial begins; `phases` names its counts."""
        self._number += 1
        self._title, self._timing = title, phases
        self._show("starting a fresh process")

    def phase(self, name: str, expected_s: float | None) -> None:
        """A phase of the trial begins, expected to take so many seconds (None: unknown)."""
        words = {"build": "building the model", "warm-up": "warming up", "timed": "timing"}
        known = (
            "" if expected_s is None else f", about {duration(expected_s)}{self._left(expected_s)}"
        )
        self._show(f"{words[name]} ({self._timing}){known}")

    def done(self, record: Record) -> None:
        """The trial has ended and its record is on disk."""
        self._ended += 1
        self._spent_s = time.monotonic() - self._began
        prefix = f"[{self._number}/{self._total}] {record.title}: "
        if record.completed:
            text = f"{record.headline}: {record.verdict or record.why_null['verdict']}"
        else:
            error = record.error or {"type": record.status, "message": ""}
            text = f"{record.status}: {error['type']}: {error['message'] or 'no message'}"
        left = self._left(0.0) if self._number < self._total else ""
        self._console.print(prefix + text + left, markup=False, highlight=False, soft_wrap=True)
        self._bar.update(self._task, completed=self._number)
        self._bar.refresh()

    def _left(self, this_trial_s: float) -> str:
        """What is left of the sweep, from what its trials have taken so far."""
        waiting = self._total - self._number
        if self._total == 1 or (waiting and not self._ended):
            return ""
        mean_s = self._spent_s / self._ended if self._ended else 0.0
        return f"; {duration(this_trial_s + mean_s * waiting)} left"

    def _show(self, text: str) -> None:
        self._bar.update(self._task, description=f"{self._title}: {text}")
        self._bar.refresh()


def duration(seconds: float) -> str:
    """Seconds as a person says them: `8 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
