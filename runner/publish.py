"""Brings MLflow up to date with what is on disk: `python -m runner.publish [SWEEP ...]`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from runner.contract import ExitCode, Held, TrackingUnavailable, Unreadable
from runner.host.addresses import store_address
from runner.host.secrets import HIDDEN, redact
from runner.records.manifest import MANIFEST
from runner.records.printable import in_short, printable
from runner.records.store import RECORD
from runner.tracking.catch_up import Target, catch_up, target_of
from runner.tracking.runs import Overview, overview
from runner.tracking.store import Store, open_store


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish the named sweeps, or all; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m runner.publish",
        description="Publishes the records of sweeps that are not in MLflow yet, each once. "
        "Exit code 0 when all are published, 1 when some are not, 2 if there is no such sweep.",
    )
    parser.add_argument("sweeps", nargs="*", metavar="SWEEP", help="ids (all below --output-dir)")
    parser.add_argument(
        "--output-dir", type=Path, default=Path("outputs"), help="as output_dir (outputs)"
    )
    parser.add_argument(
        "--tracking-uri",
        type=store_address,
        help="instead of the sweep's own store (or MLFLOW_TRACKING_URI)",
    )
    parser.add_argument("--experiment", help="instead of the sweep's own experiment")
    parser.add_argument(
        "--again",
        action="store_true",
        help="publish also records whose runs were deleted in MLflow",
    )
    options = parser.parse_args(arguments)
    output_dir: Path = options.output_dir
    named = [output_dir / name for name in options.sweeps]
    sweeps = named or sorted(path.parent for path in output_dir.glob(f"*/{MANIFEST}"))
    none = [path for path in named if not _has_records(path)]
    for path in none:
        shown = in_short(printable(str(path)))
        print(f"{shown} has no record of a trial; expected the id of a sweep", file=sys.stderr)
    if none:
        return ExitCode.USAGE
    stores: dict[Target, tuple[Store, Overview]] = {}
    results = [
        _publish(
            path, options.tracking_uri, options.experiment, stores, path in named, options.again
        )
        for path in sweeps
    ]
    if not sweeps:
        print(f"there is no sweep in {output_dir}")
    return ExitCode.OK if all(results) else ExitCode.FAILED


def _has_records(path: Path) -> bool:
    try:
        return any(path.glob(f"*/{RECORD}"))
    except OSError:  # not a possible file name
        return False


def _publish(
    sweep_dir: Path,
    uri: str | None,
    experiment: str | None,
    stores: dict[Target, tuple[Store, Overview]],
    named: bool,
    again: bool,
) -> bool:
    """Publish one sweep and report it in one line; whether all of it is in MLflow."""
    try:
        target = _target(sweep_dir, uri, experiment)
        if target is None:
            if named:
                print(f"{sweep_dir.name}: skipped: tracking=off; --tracking-uri URI publishes it")
            return not named
        if target not in stores:
            store = open_store(target.uri, target.experiment, target.output_dir)
            stores[target] = store, overview(store)
        store, seen = stores[target]
        found = catch_up(store, sweep_dir, seen, again=again)
    except (TrackingUnavailable, Unreadable) as reason:
        print(f"{sweep_dir.name}: not published: {redact(str(reason))}")
        return False
    except Held as holder:
        print(f"{sweep_dir.name}: skipped: in use by {holder}")
        return False
    line = f"{sweep_dir.name}: {found.brought} published to MLflow, {found.there} already there"
    if found.deleted:
        line += f", {found.deleted} deleted there (--again publishes them again)"
    if found.missing:
        line += f", {found.missing} failed: {redact(found.why_not)}"
    print(line + ("; closed the sweep's run, which was still open" if found.closed else ""))
    return not found.missing


def _target(sweep_dir: Path, uri: str | None, experiment: str | None) -> Target | None:
    """The target of a sweep: as given, else its own. Raises Unreadable."""
    if (sweep_dir / MANIFEST).exists():
        planned = target_of(sweep_dir)
    else:  # a sweep from before manifests
        planned = Target(None, "runner", sweep_dir.parent)
    if planned is None and uri is None:
        return None
    own, own_experiment = (planned.uri, planned.experiment) if planned else (None, "runner")
    if uri is None and own is not None and HIDDEN in own:
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if uri is None:
            raise Unreadable(
                f"the store {own} needs a password, which is never stored; give --tracking-uri "
                "or the environment variable MLFLOW_TRACKING_URI"
            )
    return Target(uri or own, experiment or own_experiment, sweep_dir.parent)


if __name__ == "__main__":
    sys.exit(main())
