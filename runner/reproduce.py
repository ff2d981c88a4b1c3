"""Runs a result again: `python -m runner.reproduce RUN`."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from runner.config.to_overrides import words_of
from runner.contract import ExitCode, NothingThere, counted
from runner.history.comparison import Comparison, Side, compare
from runner.host.secrets import HIDDEN, redact
from runner.records.record import Record
from runner.records.selection import select
from runner.statistics.difference import THRESHOLD
from runner.tracking.fetch import find, result_options

OUTPUTS = Path("outputs")
SHARP = 0.1  # a comparison that would have detected such a change, but did not, agrees
EXIT_CODES = """exit codes: 0 the result agrees, 1 it could not be timed, 2 no such result,
3 it does not agree, 5 undecided; 130 interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial again and report whether it agrees."""
    options = _parsed(arguments)
    output_dir: Path = options.output_dir
    sweep_id = f"reproduce-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        then = _reference(options.run, output_dir, options.tracking_uri)
        words = _words(then, sweep_id, options)
    except NothingThere as error:
        print(f"runner.reproduce: {redact(str(error))}", file=sys.stderr)
        return error.exit_code
    print(f"python -m runner {shlex.join(words)}", flush=True)
    if options.dry_run:
        return ExitCode.OK
    from runner.__main__ import run

    code = run(words)
    if code not in (ExitCode.OK, ExitCode.FAILED):
        return code
    try:
        now = select(sweep_id, output_dir)
    except NothingThere:
        return ExitCode.FAILED
    return _verdict_of(compare(then, Side("now", now.records), options.threshold))


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m runner.reproduce",
        parents=[result_options()],
        description="Runs the trial of a record or an MLflow run again on this machine, in fresh "
        "processes, and reports whether the result agrees and what differs if not.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="MLflow run id, record.json or its folder")
    parser.add_argument(
        "--processes", type=int, default=5, metavar="N", help="fresh processes to time it in (5)"
    )
    parser.add_argument(
        "--threshold", type=float, default=THRESHOLD, metavar="SHARE",
        help=f"the smallest change that matters ({THRESHOLD})",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the command, run nothing")
    options = parser.parse_args(arguments)
    if options.processes < 1:
        parser.error(f"--processes is {options.processes}; expected at least 1")
    return options


def _words(then: Side, sweep_id: str, options: argparse.Namespace) -> list[str]:
    """The command that runs the trial again. Raises NothingThere if that needs a secret."""
    words = words_of(then.records[0].trial)
    if HIDDEN in " ".join(words):
        raise NothingThere(f"{then.name} needs a secret, which is never stored")
    words += [f"sweep.id={sweep_id}", f"sweep.repeats={options.processes}"]
    return words + ([f"output_dir={options.output_dir}"] if options.output_dir != OUTPUTS else [])


def _reference(word: str, output_dir: Path, uri: str | None) -> Side:
    """The named record, and all processes of its trial in the same sweep.

    Raises NothingThere.
    """
    found = find(word, output_dir, uri)
    keys = {record.key for record in found.records}
    if len(keys) > 1:
        raise NothingThere(f"{word} has {len(keys)} trials; give the record or run id of one")
    first = found.records[0]
    if not first.completed:
        raise NothingThere(f"{first.title} has no result to compare with: {first.cause}")
    records = list(found.records)
    try:
        beside = select(first.sweep_id, output_dir).records
    except NothingThere:
        beside = ()
    there = {(one.key, one.started_at) for one in records}
    records += [one for one in beside if one.key in keys and (one.key, one.started_at) not in there]
    return Side(first.sweep_id, tuple(records))


def _verdict_of(one: Comparison) -> int:
    """Report whether the result agrees; the exit code."""
    if not one.pairs:
        why = "; ".join(f"{record.title}: {reason}" for record, reason in one.unusable)
        print(f"not comparable: {why or 'the trial that ran is another one'}")
        return ExitCode.FAILED if one.missing else ExitCode.UNDECIDED
    (pair,) = one.pairs
    found = pair.difference
    then, now = (_side(side) for side in (pair.before, pair.after))
    bounds = f" ({found.ci[0]:.3f} to {found.ci[1]:.3f})" if found.ci else ""
    figures = f"{then} then, {now} now, ratio {found.ratio:.3f}{bounds}"
    if found.verdict == "same":
        print(f"agrees: {figures}")
        return ExitCode.OK
    if found.verdict == "inconclusive":
        seen, ends = found.detectable, found.ci or (0.0, 0.0)
        if seen is not None and seen <= SHARP and ends[0] <= 1 <= ends[1]:
            print(f"agrees: {figures}; a change of {seen:.1%} would have been detected")
            return ExitCode.OK
        more = "use --processes 5 for an interval"
        if seen is not None:
            more = f"a change below {seen:.1%} would hardly be detected; use more --processes"
        print(f"undecided: {figures}; {more}")
        code = ExitCode.UNDECIDED
    else:
        print(f"does not agree, {found.verdict} now: {figures}")
        code = ExitCode.REGRESSION  # or faster; either way it does not agree
    if one.changed:
        print("what differs between then and now:", *one.changed, sep="\n  ")
    else:
        print("the recorded environment is the same: the machine's state may differ")
    return code


def _side(records: Sequence[Record]) -> str:
    times = [record.typical_ms or 0.0 for record in records]
    spread = f"{min(times):.4g} to {max(times):.4g}" if len(times) > 1 else f"{times[0]:.4g}"
    return f"{spread} ms in {counted(len(times), 'process')}"


if __name__ == "__main__":
    sys.exit(main())
