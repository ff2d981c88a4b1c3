"""Text that is safe and short enough for terminals, logs, pages and files."""

from __future__ import annotations

import re

LONG_WORD = re.compile(r"\S{300,}")
# control characters but for tab and newline, halves of surrogate pairs, changes of direction
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with control characters and lone surrogates escaped."""
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shortened(text: str, most: int) -> str:
    """The text, cut at its end if too long."""
    return text if len(text) <= most else f"{text[:most]}..."


def in_short(text: str) -> str:
    """The text with very long words shortened."""
    return LONG_WORD.sub(lambda found: f"{found[0][:60]}... ({len(found[0])} characters)", text)


def cut(text: str, most: int) -> str:
    """The text, or its beginning, length and end if too long."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} ... ({len(text)} characters, whole in worker.log) ... {text[-half:]}"
