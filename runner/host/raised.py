"""Errors raised by foreign code, whose text may itself raise."""

from __future__ import annotations

import signal


def text_of(error: BaseException) -> str:
    """The text of an error; if its `__str__` raises, a sentence about that."""
    try:
        return str(error)
    except Exception as fault:
        return f"its text can't be shown: __str__ raises {type(fault).__name__}"


def words_of(error: BaseException) -> str:
    """An error in one line: `ValueError: 3 is too many`."""
    text = text_of(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def is_interrupt(error: BaseException) -> bool:
    """Whether a signal raised it. In a worker no signal does, so there it is the network's own."""
    handlers = map(signal.getsignal, (signal.SIGINT, signal.SIGTERM))
    return isinstance(error, KeyboardInterrupt) and any(map(callable, handlers))


def first_cause(error: BaseException) -> BaseException:
    """The original cause of an error; `raise error from error` is its own cause."""
    seen = [error]
    while (cause := seen[-1].__cause__) is not None and cause not in seen:
        seen.append(cause)
    return seen[-1]
