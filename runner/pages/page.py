"""A page is described once and rendered as one HTML file, as Markdown, or for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from runner.terminal.layout import Column, lay_out
from runner.terminal.text import kind_of, print_line

if TYPE_CHECKING:
    from jinja2 import Template
    from plotly.graph_objects import Figure

TEMPLATE = Path(__file__).with_name("page.html")
MAX_ROWS = 1000


@dataclass(frozen=True)
class Plot:
    """A plotly figure with its alternative text, its title, and what its marks mean."""

    figure: Figure
    alt: str
    title: str = ""
    marks: str = ""


class Rich(str):
    """A cell with its own form in HTML: a link, a button, a small plot. As a text it is plain."""

    __slots__ = ("_html",)
    _html: str

    def __new__(cls, text: str, html: str) -> Rich:
        """`html` must be safe."""
        made = super().__new__(cls, text)
        made._html = html
        return made

    def __html__(self) -> str:
        """As jinja2 asks for it."""
        return self._html


@dataclass(frozen=True)
class Section:
    """A heading with lines, then a table, then plots; each may be missing.

    A `folded` one opens by a click; text forms omit its table. `anchor` names it in addresses.
    """

    heading: str
    lines: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    plots: tuple[Plot, ...] = ()
    note: str = ""
    folded: bool = False
    anchor: str = ""


@dataclass(frozen=True)
class Page:
    """A title, a few facts, and sections."""

    title: str
    facts: tuple[str, ...]
    sections: tuple[Section, ...]


def to_html(page: Page) -> str:
    """One self-contained HTML file; it includes the plot library once."""
    plots = [plot for section in page.sections for plot in section.plots]
    library = ""
    if plots:
        from plotly.offline import get_plotlyjs

        library = get_plotlyjs()
    # a name in a plot may contain "</script>"
    figures = [plot.figure.to_json().replace("</", "<\\/") for plot in plots]
    return _template().render(
        page=page,
        library=library,
        figures=figures,
        kind_of=kind_of,
        most=MAX_ROWS,
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def to_markdown(page: Page) -> str:
    """The same without the plots."""
    blocks = [f"# {_escaped(page.title)}", *map(_escaped, page.facts)]
    for section in page.sections:
        if not (section.lines or section.columns):
            continue
        if section.heading:
            blocks.append(f"## {_escaped(section.heading)}")
        if section.lines:
            blocks.append("\n".join(f"- {_escaped(line)}" for line in section.lines))
        if section.columns and not section.folded:
            blocks.append("\n".join(_markdown_table(section.columns)))
        if section.note:
            blocks.append(_escaped(section.note))
    return "\n\n".join(blocks) + "\n"


def _markdown_table(columns: Sequence[Column]) -> Iterator[str]:
    yield "| " + " | ".join(_escaped(column.name) for column in columns) + " |"
    yield "|" + "|".join(" :-- " if column.text else " --: " for column in columns) + "|"
    for row in zip(*(column.cells[:MAX_ROWS] for column in columns), strict=True):
        yield "| " + " | ".join(map(_escaped, row)) + " |"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*|<]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def to_text(page: Page, console: Console) -> None:
    """Print the same, as wide as the console is."""
    print_line(console, page.title)
    for fact in page.facts:
        print_line(console, fact)
    for section in page.sections:
        if not (section.lines or section.columns):
            continue
        print_line(console, "")
        if section.heading:
            print_line(console, f"{section.heading}:")
        for line in section.lines:
            print_line(console, line)
        if section.columns and not section.folded:
            for line in lay_out([column.first(MAX_ROWS) for column in section.columns], console):
                console.out(line, highlight=False)
        if section.note:
            print_line(console, section.note)
