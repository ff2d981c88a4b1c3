"""What is looked at once the samples are taken, and what kept it from being seen."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

from runner.host.raised import is_interrupt, words_of

T = TypeVar("T")


class Findings:
    """What is looked at once the samples are safe: any of it may fail, and costs only itself."""

    def __init__(self) -> None:
        self.why_null: dict[str, str] = {}

    def get(self, name: str, read: Callable[[], T]) -> T | None:
        """What `read` gives; None, with the reason kept under `name`, if it raises."""
        from runner.host.secrets import redact

        try:
            return read()
        except BaseException as error:
            if is_interrupt(error):
                raise
            print(redact(traceback.format_exc()), file=sys.stderr)  # into worker.log
            self.why_null[name] = redact(words_of(error))
            return None
