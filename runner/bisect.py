"""Searches the commit that made a trial slower: `python -m runner.bisect GOOD BAD`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runner.contract import ExitCode, RunnerError
from runner.duet import add_common, words_of_options, words_of_record

if TYPE_CHECKING:
    from runner.sweep.bisect import Bisected

EXIT_CODES = """exit codes: 0 the commit was found, 1 an end does not run, 2 bad command or
configuration, 5 not found: the ends do not differ, or no commit is probable enough; 130
interrupted: the same command with sweep.id=ID resumes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Search and report; the exit code."""
    from runner.host.secrets import redact
    from runner.records.printable import in_short, printable
    from runner.sweep.interrupt import Interrupt

    options, words = _parsed(arguments)
    interrupt = Interrupt()
    interrupt.listen()
    try:
        typed = sys.argv[1:] if arguments is None else list(arguments)
        return _searched(options, [*words_of_record(options.of), *words], typed)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except RunnerError as error:
        text = "\n".join(in_short(printable(line)) for line in redact(str(error)).splitlines())
        print(f"runner.bisect: {text}", file=sys.stderr)
        return error.exit_code


def _parsed(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m runner.bisect",
        usage="python -m runner.bisect GOOD BAD [KEY=VALUE ...]",
        description="Which commit between GOOD and BAD changed the time of a trial? Each round "
        "times a commit in turns with the good one, where that tells most. The keys are those of "
        "python -m runner and describe one trial.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("good", metavar="GOOD", help="a commit before the change")
    parser.add_argument("bad", metavar="BAD", help="a later commit that has the change")
    parser.add_argument("words", nargs="*", default=[], metavar="KEY=VALUE", help="of the trial")
    add_common(parser)
    options, flags = parser.parse_known_args(arguments)
    return options, words_of_options(options, flags)


def _searched(options: argparse.Namespace, words: Sequence[str], typed: Sequence[str]) -> int:
    from runner.sweep.bisect import searched
    from runner.terminal.duets import Progress
    from runner.terminal.lines import Terminal

    console = Terminal(highlight=False, width=None if sys.stdout.isatty() else 140)
    progress = Progress(console)
    try:
        found, folder = searched(options.good, options.bad, words, typed, progress)
    finally:
        progress.ended()
    for line in _lines(found):
        progress.print(line)
    progress.print(f"records   {folder}/")
    return ExitCode.OK if found.found else ExitCode.UNDECIDED


def _lines(found: Bisected) -> Iterator[str]:
    """What was found, the answer first."""
    from runner.terminal.duets import sentence_of

    names = " or ".join(found.commits)
    if found.why:
        best = f"; most suspect: {names}, {found.probability:.0%}" if names else ""
        yield f"not found: {found.why}{best}"
        return
    yield f"{names}: did it, with {found.probability:.1%}, found in {found.rounds} rounds"
    if found.culprit is not None:
        yield f"against its parent: {sentence_of(found.culprit)}"
    yield f"whole change: {sentence_of(found.ends)}"
    if not found.is_all:
        yield "another commit changes the time, too: search again on either side of this one"


if __name__ == "__main__":
    sys.exit(main())
