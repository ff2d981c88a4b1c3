"""Tasks for a worker process, importable there."""

from __future__ import annotations

import time


def never_answers(_argument: object, _listener: object) -> None:
    """Outlast every limit."""
    time.sleep(600)
