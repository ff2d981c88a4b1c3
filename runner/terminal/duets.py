"""A duet on the terminal: a line for each look, and what it says in one sentence."""

from __future__ import annotations

from rich.console import Console

from runner.contract import DuetVerdict, counted
from runner.host.secrets import redact
from runner.records.duets import DuetFile
from runner.records.printable import printable
from runner.terminal.text import print_line


class Progress:
    """Shows the rounds of a duet; `round_ended` is called after each."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")

    def begins(self, duet: DuetFile) -> None:
        """Show what is compared, and rounds that are there already."""
        for line in heading(duet):
            self.print(line)
        if duet.rounds and duet.verdict is None:
            self.print(f"resumes after {counted(len(duet.rounds), 'round')}")
        if self._console.is_terminal:
            self._status.start()
            self._show(duet)

    def round_ended(self, duet: DuetFile) -> None:
        """Print a line if the rounds so far have been judged."""
        if self._console.is_terminal:
            self._show(duet)
        if len(duet.rounds) in duet.looks and duet.verdict is None:
            self.print(f"{look_of(duet)}: more rounds are needed")

    def ended(self) -> None:
        """Remove the line that shows the current round."""
        self._status.stop()

    def print(self, text: str) -> None:
        """Print a line without secrets and control characters."""
        print_line(self._console, printable(redact(text)))

    def _show(self, duet: DuetFile) -> None:
        last = duet.rounds[-1:]
        times = f", the last: {last[0].old_ms:.4g} and {last[0].new_ms:.4g} ms" if last else ""
        self._status.update(f"round {len(duet.rounds) + 1} of at most {duet.looks[-1]}{times}")


def heading(duet: DuetFile) -> list[str]:
    """What is compared."""
    if duet.old.title == duet.new.title:
        return [f"{duet.new.title} on {duet.device}: {duet.old.name} (old) and {duet.new.name}"]
    return [
        f"old  {duet.old.name}: {duet.old.title} on {duet.device}",
        f"new  {duet.new.name}: {duet.new.title} on {duet.device}",
    ]


def look_of(duet: DuetFile) -> str:
    """The rounds so far: `6 rounds: +5.1 % (+4.2 to +6.0 %)`."""
    text = counted(len(duet.rounds), "round")
    if duet.ratio is None or duet.ci is None:
        return text
    return f"{text}: {_change(duet.ratio)} ({_change(duet.ci[0])} to {_change(duet.ci[1])})"


def sentence_of(duet: DuetFile) -> str:
    """What a duet says: `slower by 5.1 % (+4.2 % to +6.0 %) after 6 rounds`."""
    if duet.verdict == DuetVerdict.FAILED:
        return f"failed: the {duet.failed} side ({getattr(duet, duet.failed).name}): {duet.why}"
    if duet.verdict is None or duet.ratio is None or duet.ci is None:
        return f"not finished: {counted(len(duet.rounds), 'round')}"
    bounds = f"{_change(duet.ci[0])} to {_change(duet.ci[1])}"
    after = f"after {counted(len(duet.rounds), 'round')}"
    if duet.verdict == DuetVerdict.SAME:
        return f"same within {duet.margin:.0%}: {_change(duet.ratio)} ({bounds}) {after}"
    if duet.verdict == DuetVerdict.UNDECIDED:
        open_ends = [
            f"{_change(end)} slower" if end > 1 else f"{_change(end)} faster"
            for end in duet.ci
            if abs(end - 1) >= duet.margin
        ]
        rest = f"not excluded: {' and '.join(open_ends)}" if open_ends else "at the margin"
        return f"undecided: {_change(duet.ratio)} ({bounds}) {after}; {rest}"
    return f"{duet.verdict}: {_change(duet.ratio)} ({bounds}) {after}"


def noise_of(duet: DuetFile) -> str:
    """What the machine could resolve: `0.6 % between rounds; 6 rounds resolve 1.2 %`."""
    if duet.spread is None or duet.ratio is None or duet.ci is None:
        return ""
    resolved = max(duet.ci[1] / duet.ratio, duet.ratio / duet.ci[0]) - 1
    rounds = counted(len(duet.rounds), "round")
    return f"{100 * duet.spread:.2g} % between rounds; {rounds} resolve {100 * resolved:.2g} %"


def _change(ratio: float) -> str:
    return f"{ratio - 1:+.1%}".replace("-0.0%", "+0.0%").replace("%", " %")
