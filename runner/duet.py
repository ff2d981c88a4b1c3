"""Times two sides in turns: `python -m runner.duet OLD NEW [key=value ...]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.contract import DuetVerdict, ExitCode

if TYPE_CHECKING:
    from runner.records.duets import DuetFile

EXIT_CODES = """exit codes: 0 the new side is as fast or faster, 1 a side failed, 2 bad command or
configuration, 3 the new side is slower, 5 undecided, 130 interrupted: the same command with
sweep.id=ID resumes."""
SIDES = """A side is a commit (HEAD~1, a branch, a tag), . for the working tree, key=value,
python=PATH (an interpreter), requirements=FILE (packages over those of the interpreter), or
several of these in quotes: "main python=/old/bin/python"."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the duets of a command line; the exit code."""
    from runner.contract import RunnerError
    from runner.host.secrets import redact
    from runner.records.printable import in_short, printable
    from runner.sweep.interrupt import Interrupt

    options, words = parsed(arguments, "runner.duet")
    interrupt = Interrupt()
    interrupt.listen()
    try:
        typed = sys.argv[1:] if arguments is None else list(arguments)
        return _played(options, [*words_of_record(options.of), *words], typed)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except RunnerError as error:
        text = "\n".join(in_short(printable(line)) for line in redact(str(error)).splitlines())
        print(f"runner.duet: {text}", file=sys.stderr)
        return error.exit_code


def parsed(arguments: Sequence[str] | None, name: str) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the overrides for both sides."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}",
        usage=f"python -m {name} OLD NEW [KEY=VALUE ...] [options]",
        description="Is the new side slower, faster, or the same? Two resident processes time "
        "their blocks in turns on the same device, a fresh pair each round, until the difference "
        f"is known. The keys are those of python -m runner. {SIDES}",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("old", metavar="OLD", help="the side to compare with")
    parser.add_argument("new", metavar="NEW", help="the side in question")
    parser.add_argument("words", nargs="*", default=[], metavar="KEY=VALUE", help="for both sides")
    parser.add_argument(
        "--margin", type=float, default=0.02, metavar="SHARE",
        help="changes below it do not matter (0.02)",
    )  # fmt: skip
    add_common(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the order within the rounds (0)")
    options, flags = parser.parse_known_args(arguments)
    if not 0 < options.margin < 1:
        parser.error(f"--margin is {options.margin}; expected a share, as 0.02")
    return options, words_of_options(options, flags)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which trial is meant."""
    parser.add_argument(
        "--of", metavar="RECORD", type=Path, help="the trial of this record, or of its folder"
    )
    parser.add_argument(
        "--config-dir", metavar="FOLDER", help="more configuration files, as for python -m runner"
    )


def words_of_options(options: argparse.Namespace, flags: Sequence[str]) -> list[str]:
    """The overrides on a command line, and flags that are Hydra's."""
    own = [] if options.config_dir is None else [f"--config-dir={options.config_dir}"]
    return [*options.words, *own, *flags]


def words_of_record(path: Path | None) -> list[str]:
    """The overrides of the trial of a record; none without one. Raises NothingThere."""
    from runner.config.to_overrides import words_of
    from runner.contract import NothingThere
    from runner.host.secrets import HIDDEN
    from runner.records.selection import select

    if path is None:
        return []
    found = select(str(path), path.parent)
    words = words_of(found.records[0].trial)
    if len({record.key for record in found.records}) > 1:
        raise NothingThere(f"--of {path} has several trials; expected the record of one")
    if HIDDEN in " ".join(words):
        raise NothingThere(f"{found.name} needs a secret, which is never stored")
    return words


def _played(options: argparse.Namespace, words: Sequence[str], typed: Sequence[str]) -> int:
    """Play a duet for each trial of the two sides."""
    from runner.duets.duet import Rules
    from runner.sweep.duets import ending, explained, prepared_pair
    from runner.terminal.duets import Progress
    from runner.terminal.lines import Terminal

    console = Terminal(highlight=False, width=None if sys.stdout.isatty() else 140)
    progress = Progress(console)
    sides = options.old, options.new
    with prepared_pair(*sides, words, typed, progress.print) as prepared:
        rules = Rules(margin=options.margin, seed=options.seed)
        # the error is spent over all trials together
        rules = replace(rules, alpha=rules.alpha / len(prepared.pairs))
        codes = []
        for pair in prepared.pairs:
            try:
                duet = prepared.play(pair, rules, progress)
            finally:
                progress.ended()
            folder = prepared.folder(pair)
            why = explained(duet, pair, prepared.hosts, folder, progress.print)
            for line in ending(duet, folder, prepared.settings, why):
                progress.print(line)
            codes.append(code_of(duet))
    return max(codes, key=_urgency)


def code_of(duet: DuetFile) -> ExitCode:
    """The exit code of a duet that has ended."""
    codes = {
        DuetVerdict.SLOWER: ExitCode.REGRESSION,
        DuetVerdict.UNDECIDED: ExitCode.UNDECIDED,
        DuetVerdict.FAILED: ExitCode.FAILED,
    }
    return codes.get(duet.verdict or DuetVerdict.UNDECIDED, ExitCode.OK)


def _urgency(code: ExitCode) -> int:
    worst_first = (ExitCode.FAILED, ExitCode.REGRESSION, ExitCode.UNDECIDED, ExitCode.OK)
    return -worst_first.index(code)


if __name__ == "__main__":
    sys.exit(main())
