"""Readings after the timed part, and the reasons for missing ones."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

from runner.host.raised import is_interrupt, words_of

T = TypeVar("T")


class OptionalReads:
    """Readings after the samples are safe: each may fail without affecting the others."""

    def __init__(self) -> None:
        self.why_null: dict[str, str] = {}

    def get(self, name: str, read: Callable[[], T]) -> T | None:
        """The result of `read`; None, with the reason kept under `name`, if it raises."""
        from runner.host.secrets import redact

        try:
            return read()
        except BaseException as error:
            if is_interrupt(error):
                raise
            print(redact(traceback.format_exc()), file=sys.stderr)  # into worker.log
            self.why_null[name] = redact(words_of(error))
            return None
