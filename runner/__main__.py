"""The command line: `python -m runner [overrides] [-m]`, or the console script `runner`.

Imports nothing at the top: worker processes import this module too.
"""

from __future__ import annotations

DOORS = (
    "bisect",
    "compare",
    "doctor",
    "duet",
    "export",
    "nightly",
    "publish",
    "report",
    "reproduce",
)


def main() -> None:
    """Run what the command line asks for and exit: 0, 1 failed, 2 usage, 130 interrupted."""
    import signal
    import sys

    if sys.argv[1:2] and sys.argv[1] in DOORS:  # `runner compare` is `python -m runner.compare`
        from importlib import import_module

        sys.exit(import_module(f"runner.{sys.argv[1]}").main(sys.argv[2:]))
    code = _run(sys.argv[1:])
    for late in (signal.SIGINT, signal.SIGTERM):
        signal.signal(
            late, signal.SIG_IGN
        )  # everything is done, so there is nothing left to interrupt
    sys.exit(code)


def run(words: list[str]) -> int:
    """Run a command line in this process, from another door; its exit code."""
    import signal

    try:
        return _run(words)
    except SystemExit as end:  # an unknown flag
        return int(end.code or 0)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(words: list[str]) -> int:
    from runner.contract import ExitCode

    interrupt = None
    try:
        from runner.sweep.interrupt import Interrupt

        interrupt = Interrupt()
        interrupt.listen()
        from runner.sweep.command import run_command

        return run_command(words, interrupt)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception:
        if interrupt is None or not interrupt.seen:
            raise
        return ExitCode.INTERRUPTED


if __name__ == "__main__":
    main()
