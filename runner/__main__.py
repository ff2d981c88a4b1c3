"""The command line: `python -m runner [overrides] [-m]`, or the console script `runner`.

Imports nothing at the top: worker processes import this module too.
"""

from __future__ import annotations


def main() -> None:
    """Run what the command line asks for and exit: 0, 1 failed, 2 usage, 130 interrupted."""
    import sys

    interrupt = None
    try:
        from runner.sweep.interrupt import Interrupt

        interrupt = Interrupt()
        interrupt.listen()
        from runner.sweep.command import run_command

        code = run_command(interrupt)
    except KeyboardInterrupt:
        code = 130
    except Exception:
        if interrupt is None or not interrupt.seen:
            raise
        code = 130
    import signal

    for late in (signal.SIGINT, signal.SIGTERM):
        signal.signal(late, signal.SIG_IGN)  # all is done: nothing is left to interrupt
    sys.exit(code)


def run(words: list[str]) -> int:
    """Run a command line in this process, from another door; its exit code."""
    import signal
    import sys

    sys.argv = ["runner", *words]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return 0


if __name__ == "__main__":
    main()
