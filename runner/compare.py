"""Compares two sets of results: `python -m runner.compare BEFORE AFTER`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from runner.contract import ExitCode, RunnerError, Unmatched
from runner.history.comparison import Comparison, Side, compare, compare_by
from runner.host.secrets import redact
from runner.pages.comparison import page_of, values_of
from runner.pages.page import Page, Section, to_html, to_markdown, to_text
from runner.pages.why import sections_of
from runner.records.selection import Selection
from runner.records.store import write_text_whole
from runner.statistics.difference import SUITE_SHIFT, THRESHOLD
from runner.tracking.fetch import find, result_options

if TYPE_CHECKING:
    from runner.sweep.why import Why

EXIT_CODES = """exit codes: 0 compared, 2 no such result. With --fail-on-regression also 3 a trial
(or the whole suite) is slower, 4 the later side lacks a trial or it failed, 5 more trials
are inconclusive than --allow-inconclusive, 6 no trial in common."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print or write the page, and judge it if asked to."""
    options = _parsed(arguments)
    output_dir, uri = options.output_dir, options.tracking_uri
    try:
        found = [find(word, output_dir, uri) for word in _words(options)]
        comparisons = _compared(found, options.by, options.threshold)
    except RunnerError as error:
        print(f"runner.compare: {redact(str(error))}", file=sys.stderr)
        return error.exit_code
    for selection in found:
        for note in selection.notes:
            print(f"runner.compare: {selection.name}: {redact(note)}", file=sys.stderr)
    try:
        whys = [_whys(one, options) for one in comparisons]
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    if not _written(comparisons, whys, options):
        return ExitCode.USAGE
    if not options.fail_on_regression:
        return ExitCode.OK
    return max((_judged(one, options.allow_inconclusive) for one in comparisons), key=_urgency)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m runner.compare",
        parents=[result_options()],
        description="Compares results trial by trial: the ratio of their times, its interval "
        "between processes, and a verdict.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results", nargs="*", metavar="RESULT",
        help="two of: id of a sweep, latest, latest~1, folder, record.json, MLflow run id "
        "(default: latest~1 latest)",
    )  # fmt: skip
    parser.add_argument(
        "--by", metavar="KEY",
        help="compare trials that differ only in KEY, within the named results (default: latest):"
        " a key (runtime.precision, model) or a fact of the environment (torch, host)",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=float, default=THRESHOLD, metavar="SHARE",
        help=f"the smallest change that matters ({THRESHOLD})",
    )  # fmt: skip
    form = parser.add_mutually_exclusive_group()
    for name in ("json", "markdown", "html"):
        form.add_argument(f"--{name}", action="store_const", const=name, dest="form")
    parser.add_argument(
        "--output", "-o", type=Path, metavar="FILE", help="write to FILE instead of the terminal"
    )
    parser.add_argument(
        "--why", action="store_true",
        help="profile the trials that changed, on both sides, and show which operators did it",
    )  # fmt: skip
    parser.add_argument("--fail-on-regression", action="store_true", help="see the exit codes")
    parser.add_argument(
        "--allow-inconclusive", type=float, default=0.2, metavar="SHARE",
        help="largest share of inconclusive trials that still passes (0.2)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.form == "html" and options.output is None:
        parser.error("HTML is written to a file: give one with --output FILE.html")
    if not 0 < options.threshold < 1:
        parser.error(f"--threshold is {options.threshold}; expected a share, as 0.02")
    return options


def _words(options: argparse.Namespace) -> list[str]:
    if options.results:
        return list(options.results)
    return ["latest"] if options.by else ["latest~1", "latest"]


def _compared(found: Sequence[Selection], by: str | None, threshold: float) -> list[Comparison]:
    if by is not None:
        records = [record for selection in found for record in selection.records]
        return compare_by(records, by, threshold)
    if len(found) != 2:
        raise Unmatched(
            f"{len(found)} results named; expected two, or --by KEY to compare within them"
        )
    before, after = (Side(one.name, one.records) for one in found)
    if before.records == after.records:
        raise Unmatched(f"{before.name} and {after.name} are the same records")
    return [compare(before, after, threshold)]


def _whys(comparison: Comparison, options: argparse.Namespace) -> list[Why]:
    """Why trials changed, if asked for."""
    if not options.why:
        return []
    from runner.sweep.interrupt import Interrupt
    from runner.sweep.why import explanations

    Interrupt().listen()  # worktrees are removed, whatever ends it

    def print_line(line: str) -> None:
        print(redact(line), file=sys.stderr)

    return list(explanations(comparison, options.output_dir, print_line))


def _page(comparisons: Sequence[Comparison], whys: Sequence[Sequence[Why]]) -> Page:
    """The page of the comparisons, with the profiles below."""
    page = page_of(comparisons)
    found = []
    for one in (why for some in whys for why in some):
        if one.found is None:
            found.append(Section(f"Why {one.title}", (redact(one.unknown),)))
        else:
            found += sections_of(one.found, f"Why {one.title}")
    return replace(page, sections=(*page.sections, *found))


def _written(
    comparisons: Sequence[Comparison],
    whys: Sequence[Sequence[Why]],
    options: argparse.Namespace,
) -> bool:
    """Print or write the comparison in the requested form; whether that worked."""
    page = _page(comparisons, whys)
    if options.form is None and options.output is None:
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
        to_text(page, console)
        return True
    by_suffix = {".json": "json", ".html": "html"}
    form = options.form or by_suffix.get(options.output.suffix, "markdown")
    if form == "json":
        values = values_of(comparisons)
        if options.why:
            values["why"] = [asdict(one) for some in whys for one in some]
        text = json.dumps(values, indent=1, allow_nan=False)
    else:
        text = {"html": to_html, "markdown": to_markdown}[form](page)
    if options.output is None:
        print(text)
        return True
    try:
        write_text_whole(text, options.output)
    except OSError as error:
        summary = f"{options.output} can't be written: {error.strerror}"
        print(f"runner.compare: {summary}", file=sys.stderr)
        return False
    print(options.output)
    return True


def _judged(one: Comparison, allowed: float) -> ExitCode:
    verdicts = [pair.difference.verdict for pair in one.pairs]
    if not verdicts:
        return ExitCode.INCOMPLETE if one.unusable else ExitCode.NO_BASELINE
    if "slower" in verdicts or (one.judged.shift or 0.0) >= SUITE_SHIFT:
        return ExitCode.REGRESSION
    if one.missing:
        return ExitCode.INCOMPLETE
    undecided = verdicts.count("inconclusive") > allowed * len(verdicts)
    return ExitCode.UNDECIDED if undecided else ExitCode.OK


def _urgency(code: ExitCode) -> int:
    """Rank exit codes by severity; the worst of several comparisons counts."""
    gravest_first = (ExitCode.REGRESSION, ExitCode.INCOMPLETE, ExitCode.NO_BASELINE)
    return -[*gravest_first, ExitCode.UNDECIDED, ExitCode.OK].index(code)


if __name__ == "__main__":
    sys.exit(main())
