"""Lays out columns in the available width.

A number is never cut and the verdict never dropped: without room other columns are dropped,
and at last the table becomes a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runner.terminal.text import STYLES, kind_of

BETWEEN = 3  # blanks between two columns
NARROWEST_TEXT = 12  # of a name that may be broken


@dataclass(frozen=True)
class Column:
    """A column and its cells, one for each row.

    `text` may be broken over lines, at blanks if it is `words`; columns with a `spare` number
    (0 to 3) are dropped if there is no room, the lowest first.
    """

    name: str
    cells: tuple[str, ...]
    text: bool = False
    words: bool = False
    spare: int | None = None

    def first(self, rows: int) -> Column:
        """The column with at most so many rows."""
        return replace(self, cells=self.cells[:rows])

    @property
    def width(self) -> int:
        """Its width without breaking anything."""
        return max(map(len, (self.name, *self.cells)))

    @property
    def unbroken(self) -> int:
        """Its width with lines broken at blanks, if its cells are words."""
        if not self.words:
            return self.width
        return max(len(word) for cell in (self.name, *self.cells) for word in cell.split())

    @property
    def least(self) -> int:
        """Its least width."""
        if self.text and not self.words:
            return min(self.width, NARROWEST_TEXT)
        return self.unbroken


def lay_out(columns: Sequence[Column], console: Console) -> list[str]:
    """The lines of a table as wide as the console at most, or a line for each row."""
    widths = fitting(columns, console.width)
    if widths is not None:
        with console.capture() as captured:
            console.print(_table(widths))
        return [line.rstrip() for line in captured.get().splitlines()]
    lines = []
    for row in zip(*(column.cells for column in columns), strict=True):
        named = zip((column.name for column in columns), row, strict=True)
        lines.append(", ".join(f"{name} {cell}" for name, cell in named))
    return lines


def fitting(columns: Sequence[Column], width: int) -> dict[Column, int] | None:
    """The columns that fit, and their widths; None if required ones do not fit.

    The first spare columns are dropped before a name is broken, the others after.
    """
    widest = ((-1, False), (0, False), (1, False), (1, True), (2, True), (3, True))
    for spared, broken in widest:
        kept = [column for column in columns if column.spare is None or column.spare > spared]
        widths = {column: column.least if broken else column.unbroken for column in kept}
        room = width - sum(widths.values()) - BETWEEN * (len(kept) - 1)
        if room < 0:
            continue
        for column in kept:  # names first, then the verdict
            more = min(room, column.width - widths[column])
            widths[column] += more
            room -= more
        return widths
    return None


def _table(widths: dict[Column, int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=False)
    for column, width in widths.items():
        justify: Literal["left", "right"] = "left" if column.text else "right"
        table.add_column(column.name, justify=justify, width=width, overflow="fold")
    cells = (map(_cell, repeat(column.name), column.cells) for column in widths)
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    return table


def _cell(column: str, text: str) -> Text:
    """The cell; a verdict in its colour."""
    styled = Text(text)
    if column == "verdict" and (kind := kind_of(text)):
        styled.stylize(STYLES[kind], 0, len(text.split(maxsplit=1)[0].rstrip(":")))
    return styled
