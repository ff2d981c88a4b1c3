"""Lines of text on a terminal: wrapped at words with a hanging indent, verdicts in colour."""

from __future__ import annotations

import re
import textwrap

from rich.console import Console
from rich.text import Text

KINDS = {  # of words that judge
    "valid": "good", "same": "good", "faster": "good", "pass": "good", "passed": "good",
    "improvement": "good", "agrees": "good",
    "suspect": "warn", "inconclusive": "warn", "warning": "warn", "undecided": "warn",
    "invalid": "bad", "slower": "bad", "failed": "bad", "regression": "bad", "missing": "bad",
    "regressions": "bad", "problem": "bad",
}  # fmt: skip
STYLES = {"good": "green", "warn": "yellow", "bad": "bold red"}
# a word that judges begins a line, or follows a colon, a comma or a number
_JUDGING = re.compile(rf"(?:^|(?<=[:,;] )|(?<=\d ))({'|'.join(KINDS)})\b")
_CODE = re.compile(r"^(?:note: )?([A-Z][A-Z_]{3,})(?=: )")
_LABEL = re.compile(r"^(?:[a-zA-Z]+ {2,}| {10})")  # of the closing lines: `records   outputs/x/`
_WHOLE = re.compile(r"(mlflow |python |https?://|over |\S*/)")  # after a label: is copied as it is
INDENT = 4  # of the further lines of a sentence


def print_line(console: Console, text: str) -> None:
    """Print a line; on a terminal wrapped to its width and coloured, otherwise as it is."""
    for line in wrapped(text, console.width) if console.is_terminal else [text]:
        console.print(coloured(line), highlight=False, soft_wrap=True)


def coloured(line: str) -> Text:
    """The line with its verdicts and codes styled; a console without colour ignores that."""
    styled = Text(line)
    for found in _JUDGING.finditer(line):
        styled.stylize(STYLES[KINDS[found[1]]], found.start(1), found.end(1))
    if code := _CODE.match(line):
        styled.stylize("bold", code.start(1), code.end(1))
    return styled


def kind_of(cell: str) -> str:
    """Whether a cell's first word is good, warn or bad; empty if it does not judge."""
    return KINDS.get(re.split(r"\W", cell, maxsplit=1)[0], "")


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` characters, further ones indented.

    Only blanks break it: an address or a path stays whole, and so does a command after its label.
    """
    label = _LABEL.match(text)
    indent = len(label[0]) if label else len(text) - len(text.lstrip()) + INDENT
    if len(text) <= width or (label and _WHOLE.match(text, label.end())):
        return [text]
    return textwrap.wrap(
        text,
        max(width, 2 * indent),
        subsequent_indent=" " * indent,
        drop_whitespace=True,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [text]
