"""The command line: `python -m runner [overrides] [-m]`, or the console script `runner`.

Imports nothing at the top: worker processes import this module too.
"""

from __future__ import annotations


def main() -> None:
    """Run what the command line asks for and exit: 0, 1 failed, 2 usage, 130 interrupted."""
    import sys

    from runner.program import run_command

    sys.exit(run_command())


if __name__ == "__main__":
    main()
