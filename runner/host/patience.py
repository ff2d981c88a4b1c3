"""Calls with a time limit, for what may never answer: a broken GPU, a slow server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def answer_of(ask: Callable[[], T], limit_s: float) -> T:
    """The result of `ask`. Raises TimeoutError after `limit_s`; its thread is abandoned."""
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(ask()), daemon=True)
    thread.start()
    thread.join(limit_s)
    if not found:
        raise TimeoutError(f"no answer within {limit_s:g} s")
    return found[0]
