"""Asking what may never answer: a broken GPU, a server that sends a byte now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def answer_of(ask: Callable[[], T], limit_s: float) -> T:
    """What `ask` returns. Raises TimeoutError after `limit_s`, and leaves it to a thread."""
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(ask()), daemon=True)
    thread.start()
    thread.join(limit_s)
    if not found:
        raise TimeoutError(f"no answer within {limit_s:g} s")
    return found[0]
