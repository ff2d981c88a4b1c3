"""The lines that a sweep prints, on the terminal and in its log."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from runner.host.secrets import redact
from runner.records.printable import printable
from runner.records.record import Record, utc_now
from runner.terminal.text import print_line

LOG_WIDTH = 140  # characters; independent of the terminal


class Terminal(Console):
    """A console whose reader may exit, as in `... | head`: output stops, the sweep continues."""

    def on_broken_pipe(self) -> None:
        """Called by rich."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Lines:
    """Prints every line to the console and, once it exists, to a log.

    A `quiet` console gets tables and warnings only. `columns` are those of tables, None for what
    suits the sweep.
    """

    def __init__(
        self, console: Console, *, quiet: bool = False, columns: Sequence[str] | None = None
    ) -> None:
        self.console, self.quiet = console, quiet
        self._columns = columns
        self._log: Path | None = None

    def open(self, log: Path, command: Sequence[str]) -> None:
        """Append to `log` from here on, starting with the time and the command."""
        self._log = log
        self._to_log(lambda console: print_line(console, f"{utc_now()} {' '.join(command)}"))

    def print(self, text: str) -> None:
        """Print a line without secrets and control characters."""
        text = printable(redact(text))
        if not self.quiet or text.startswith("warning: "):
            print_line(self.console, text)
        self._to_log(lambda console: print_line(console, text))

    def table(self, records: Sequence[Record]) -> None:
        """Print the table of the trials in the available width."""
        from runner.terminal.table import show  # imports scipy, which a dry run does not need

        show(records, self.console, self._columns)
        self._to_log(lambda console: show(records, console, self._columns))

    def _to_log(self, write: Callable[[Console], None]) -> None:
        if self._log is None:
            return
        try:
            with self._log.open("a", encoding="utf-8") as file:
                write(Console(file=file, width=LOG_WIDTH))
        except OSError:  # a full disk, for example; the terminal still has them
            self._log = None
