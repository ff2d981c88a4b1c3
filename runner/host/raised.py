"""What the code of others has raised: any error at all, which may not even be able to say why."""

from __future__ import annotations

import signal


def text_of(error: BaseException) -> str:
    """What an error says; of one whose own `__str__` raises, that it does."""
    try:
        return str(error)
    except Exception as fault:
        return f"its text can't be shown: __str__ raises {type(fault).__name__}"


def words_of(error: BaseException) -> str:
    """An error in a line: `ValueError: 3 is too many`."""
    text = text_of(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def is_interrupt(error: BaseException) -> bool:
    """Whether a signal has raised it. In a worker none does, so that one there is its network's."""
    handlers = map(signal.getsignal, (signal.SIGINT, signal.SIGTERM))
    return isinstance(error, KeyboardInterrupt) and any(map(callable, handlers))


def first_cause(error: BaseException) -> BaseException:
    """What an error was raised for in the end; `raise error from error` is its own cause."""
    seen = [error]
    while (cause := seen[-1].__cause__) is not None and cause not in seen:
        seen.append(cause)
    return seen[-1]
