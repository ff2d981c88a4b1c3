"""Progress while a sweep runs.

On a terminal one line that moves between the phases and stands still while a
trial is timed: redrawing would take CPU time from what is being measured. In a
log one plain line per trial; trials that fail the same way share one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import fmean
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from runner.contract import Level, Phase, Status, Verdict, counted, duration
from runner.records.record import Record, sentence
from runner.terminal.lines import Lines
from runner.trial.description import Timing


class SweepProgress:
    """Progress of the trials of a sweep; `phase` is called for the phases of each.

    `there` are the records of earlier starts, `left` the keys of the trials that are to be run.
    `verbose` prints each trial's reasons and notes.
    """

    def __init__(
        self,
        lines: Lines,
        left: Sequence[str],
        there: Sequence[Record] = (),
        *,
        verbose: bool = False,
    ) -> None:
        self._lines, self._verbose = lines, verbose
        self._left = Counter(left)
        self._number, self._total = len(there), len(there) + len(left)
        self._title, self._timing = "", ""
        self._counts: Counter[str] = Counter(map(_counted, there))
        self._spent_s: dict[str, float] = {one.key: _took_s(one) for one in there if one.completed}
        self._began_s: float | None = None
        self._cause, self._alike = "", 0
        self._bar = Progress(
            MofNCompleteColumn(),
            *([BarColumn(bar_width=20)] if lines.console.width >= WIDE else []),
            TextColumn("{task.description}"),
            console=lines.console,
            auto_refresh=False,
            transient=True,
            disable=not lines.console.is_terminal or lines.quiet,
        )
        self._task = self._bar.add_task(
            "loading torch and MLflow", total=self._total, completed=self._number
        )

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
        self._tell_alike()
        self._bar.stop()

    def more(self, keys: Sequence[str]) -> None:
        """A search has planned further trials."""
        self._left.update(keys)
        self._total += len(keys)
        self._bar.update(self._task, total=self._total)

    def begins(self, title: str, timing: Timing) -> None:
        """The next trial begins in this process."""
        self._title = title
        self._timing = f"{timing.warmup} warm-ups, {timing.iterations} timed"
        if self._began_s is None:  # later ones begin where the previous one ended
            self._began_s = time.monotonic()
        self._show("starting a fresh process")

    def phase(self, name: Phase, expected_s: float | None) -> None:
        """A phase of the trial begins, expected to take so many seconds (None: unknown)."""
        known = outlook = ""
        if expected_s is not None:
            outlook = self._outlook(expected_s, running=1)
            known = f", about {duration(expected_s)}"
        self._show(DOING[name], f" ({self._timing})", known, outlook)

    def done(self, record: Record, log: Path) -> None:
        """The trial has ended and its record is on disk; its output is in `log`."""
        self._number += 1
        now_s = time.monotonic()
        self._spent_s[record.key] = 0.0 if self._began_s is None else now_s - self._began_s
        self._began_s = now_s
        self._left[record.key] -= 1
        self._counts[_counted(record)] += 1
        interrupted = record.status == Status.INTERRUPTED
        if record.completed:
            text = f"{record.headline}: {verdict_of(record)}"
        elif interrupted:
            text = f"interrupted; {len(record.latency_ms)} samples kept"
        else:
            text = f"{record.cause}; see {log}"
        if record.completed or record.cause != self._cause:
            self._tell_alike()
            where = f"[{self._number}/{self._total}] {record.title}"
            outlook = "" if interrupted else self._outlook()
            self._lines.print(f"{where}: {text}{outlook}")
            for reason in record.reasons if self._verbose else ():
                note = "note: " if reason["level"] == Level.NOTE else ""
                self._lines.print(f"    {note}{reason['code']}: {sentence(reason)}")
        else:
            self._alike += 1
        self._cause = "" if record.completed else record.cause
        self._bar.update(self._task, completed=self._number)
        self._bar.refresh()

    def _tell_alike(self) -> None:
        if self._alike:
            more = counted(self._alike, "more trial")
            self._lines.print(f"{more} failed the same way: {self._cause}")
        self._alike = 0

    def _outlook(self, this_trial_s: float = 0.0, running: int = 0) -> str:
        """The counts so far, and the estimated time left."""
        left = sum(self._left.values()) - running
        if self._total == 1 or (left and not self._spent_s) or (not left and not running):
            return ""
        counts = [f"{self._counts[name]} {name}" for name in COUNTED if self._counts[name]]
        text = counts if self._number + running > 1 else []
        known_s, typical_s = self._spent_s, fmean(self._spent_s.values() or [0.0])
        rest_s = sum(known_s.get(key, typical_s) * count for key, count in self._left.items())
        if running:
            rest_s += this_trial_s - rest_s / (left + running)
        return f"; {', '.join([*text, f'{duration(rest_s)} left'])}"

    def _show(self, doing: str, *details: str) -> None:
        """Show the phase, and as many of the details as there is room for, the last ones first."""
        console = self._lines.console
        taken = len(f"{self._total}/{self._total} ") + (BAR if console.width >= WIDE else 0)
        room = console.width - taken
        shown = [f"{self._title}: {doing}", *details]
        while len("".join(shown)) > room and len(shown) > 1:
            del shown[1]
        text = "".join(shown)
        self._bar.update(self._task, description=text if len(text) <= room else doing)
        self._bar.refresh()


WIDE, BAR = 100, 21  # columns of a console with room for a bar, and what it takes
DOING = {
    Phase.BUILD: "building the model",
    Phase.WARM_UP: "warming up",
    Phase.TIMED: "timing",
}
COUNTED = (
    Status.FAILED,
    Status.INTERRUPTED,
    Verdict.INVALID,
    Verdict.SUSPECT,
)  # besides valid ones


def verdict_of(record: Record) -> str:
    """The verdict with the codes of its reasons, or why there is none: `suspect: NOISY`."""
    codes = [one["code"] for one in record.reasons if one["level"] != Level.NOTE]
    verdict = record.verdict or record.why_null["verdict"]
    return f"{verdict}: {' '.join(codes)}" if codes else verdict


def _counted(record: Record) -> str:
    if record.completed:
        return record.verdict or "not judged"
    return record.status if record.status == Status.INTERRUPTED else Status.FAILED


def _took_s(record: Record) -> float:
    began, ended = map(datetime.fromisoformat, (record.started_at, record.ended_at))
    return (ended - began).total_seconds()
