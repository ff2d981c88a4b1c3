"""Writes results as a table: `python -m runner.export SWEEP --format csv|parquet`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.contract import ExitCode, NothingThere
from runner.host.secrets import redact
from runner.records.frame import samples_frame, trials_frame
from runner.records.store import whole
from runner.tracking.fetch import find, result_options

if TYPE_CHECKING:
    from pandas import DataFrame


def frame_of(
    words: Sequence[str], samples: bool, output_dir: str | Path, tracking_uri: str | None
) -> DataFrame:
    """The table of the named records, as runner.load returns it. Raises LookupError."""
    try:
        found = [find(word, Path(output_dir), tracking_uri) for word in words]
    except NothingThere as error:
        raise LookupError(redact(str(error))) from error
    for selection in found:
        for note in selection.notes:
            print(f"runner.export: {selection.name}: {redact(note)}", file=sys.stderr)
    records = [record for selection in found for record in selection.records]
    return samples_frame(records) if samples else trials_frame(records)


WRITTEN = (".csv", ".parquet")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table; 0, or 2 if there is no such sweep or the file can't be written."""
    parser = argparse.ArgumentParser(
        prog="python -m runner.export",
        parents=[result_options()],
        description="Writes the results of sweeps as one table with a row for each process of a "
        "trial, or for each sample. Exit code 0, or 2 if there is no such sweep or the file "
        "can't be written.",
    )
    parser.add_argument(
        "sweeps", nargs="*", default=["latest"], metavar="SWEEP",
        help="id, latest (default), latest~1, folder, record.json, or MLflow run id",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=("csv", "parquet"), help="by the file's extension, else csv"
    )
    parser.add_argument(
        "--samples", action="store_true", help="one row for each sample, warm-up included"
    )
    parser.add_argument("--output", "-o", type=Path, help="file (default: csv to the terminal)")
    options = parser.parse_args(arguments)
    output: Path | None = options.output
    kind = options.format or (
        "parquet" if output is not None and output.suffix == ".parquet" else "csv"
    )
    if not options.format and output is not None and output.suffix not in WRITTEN:
        parser.error(
            f"--output is {output}, which is not a supported file: expected "
            f"{' or '.join(WRITTEN)}, or any name with --format"
        )
    if kind == "parquet" and output is None:
        parser.error("parquet is binary: give a file with --output FILE.parquet")
    try:
        frame = frame_of(options.sweeps, options.samples, options.output_dir, options.tracking_uri)
        if output is None:
            frame.to_csv(sys.stdout, index=False)
        else:
            with whole(output) as file:
                write = frame.to_parquet if kind == "parquet" else frame.to_csv
                write(file, index=False)
    except BrokenPipeError:  # for example `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except LookupError as error:
        print(f"runner.export: {error.args[0]}", file=sys.stderr)
        return ExitCode.USAGE
    except OSError as error:
        print(f"runner.export: {output} can't be written: {error.strerror}", file=sys.stderr)
        return ExitCode.USAGE
    if output is not None:
        print(f"{output}: {len(frame)} rows, {len(frame.columns)} columns")
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
