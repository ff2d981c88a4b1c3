"""Writes the page of a sweep: `python -m runner.report [SWEEP ...]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from runner.contract import ExitCode, NothingThere
from runner.host.secrets import redact
from runner.pages.page import to_html, to_markdown, to_text
from runner.pages.report import page_of, write
from runner.records.store import write_text_whole
from runner.tracking.fetch import find, result_options


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages; 0, or 2 if there is no such sweep or the file can't be written."""
    parser = argparse.ArgumentParser(
        prog="python -m runner.report",
        parents=[result_options()],
        description="Writes the report of one sweep, or of several together: report.html (one "
        "file, plots included), report.md and summary.csv. Exit code 0, or 2 if there "
        "is no such sweep or the file can't be written.",
    )
    parser.add_argument(
        "sweeps", nargs="*", default=["latest"], metavar="SWEEP",
        help="id, latest (default), latest~1, folder, record.json, or MLflow run id",
    )  # fmt: skip
    parser.add_argument(
        "--output", "-o", type=Path, metavar="FILE",
        help=".html or .md; by default three files in the sweep's folder",
    )  # fmt: skip
    parser.add_argument("--text", action="store_true", help="print it here, without the plots")
    options = parser.parse_args(arguments)
    try:
        found = [find(word, options.output_dir, options.tracking_uri) for word in options.sweeps]
    except NothingThere as error:
        print(f"runner.report: {redact(str(error))}", file=sys.stderr)
        return error.exit_code
    records = [record for selection in found for record in selection.records]
    notes = [redact(note) for selection in found for note in selection.notes]
    folder = found[0].folder if len(found) == 1 else None
    try:
        if options.text:
            console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
            to_text(page_of(records, folder, notes), console)
        elif options.output is not None:
            render = to_html if options.output.suffix == ".html" else to_markdown
            write_text_whole(render(page_of(records, folder, notes)), options.output)
            print(options.output)
        else:
            for path in write(records, folder or Path(), notes):
                print(path)
    except OSError as error:
        where = options.output or folder
        print(f"runner.report: {where} can't be written: {error.strerror}", file=sys.stderr)
        return ExitCode.USAGE
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
