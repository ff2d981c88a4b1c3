"""A nightly sweep, judged by the nights before: `python -m runner.nightly`.

Imports little at the top: worker processes import this module too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.contract import ExitCode

if TYPE_CHECKING:
    from datetime import datetime

    from runner.config.settings import Settings
    from runner.history.decisions import Decisions
    from runner.pages.nightly import Report
    from runner.tracking.store import Store

EXIT_CODES = """exit codes: 0 passed, 1 an error of the program, 2 bad command or configuration,
3 a regression, 4 trials failed or are missing, 5 more are undecided than
nightly.allow_inconclusive or the whole suite changed, 6 no earlier night to compare
with, 7 another night is still running, 130 interrupted: the next start resumes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run tonight's sweep and judge it, or add a decision; the exit code."""
    from runner.contract import NoLock, NothingThere, Undecided, UsageError
    from runner.host.secrets import redact
    from runner.records.printable import in_short, printable

    options, words = parsed(arguments)
    try:
        from runner.config.sweep_settings import settings_for

        settings = settings_for(words)
        if decision := _decision(options):
            return _decide(decision, options, settings)
        return _night(options, words, settings)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except (UsageError, Undecided, NothingThere, NoLock) as error:
        text = printable("; ".join(str(error).splitlines()))
        print(f"runner.nightly: {in_short(redact(text))}", file=sys.stderr)
        return error.exit_code


def parsed(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the overrides beside them."""
    parser = argparse.ArgumentParser(
        prog="python -m runner.nightly",
        usage="python -m runner.nightly [KEY=VALUE ...] [options]",
        description="Runs tonight's sweep (conf/sweep/nightly.yaml, or sweep=NAME), resumes one "
        "that was interrupted, and compares it with the nights before. The keys are those of "
        "python "
        "-m runner; nightly.* configure the judgement.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--night", metavar="DATE", help="the date that names the night, as in 2026-11-26 (today)"
    )
    parser.add_argument(
        "--judge", action="store_true", help="judge the night, by default the last one; run nothing"
    )
    decisions = parser.add_argument_group("decisions, appended to the file nightly.accept")
    group = decisions.add_mutually_exclusive_group()
    group.add_argument("--accept", metavar="TRIAL", help="accept its change; * for all trials")
    group.add_argument("--retire", metavar="TRIAL", help="the trial is no longer timed")
    group.add_argument(
        "--alias", metavar="TRIAL", help="the trial was renamed; --of gives its old name"
    )
    group.add_argument("--flag", metavar="NIGHT", help="exclude this night from later comparisons")
    group.add_argument(
        "--baseline", metavar="NIGHT", help="the night against which creep is measured"
    )
    decisions.add_argument(
        "--since", metavar="NIGHT", help="with --accept: first night of the change (the last night)"
    )
    decisions.add_argument("--of", metavar="TRIAL", help="with --alias: the old name or key")
    decisions.add_argument("--reason", help="why (required)")
    options, words = parser.parse_known_args(arguments)
    if not any(word.lstrip("+").startswith("sweep=") for word in words):
        words.insert(0, "sweep=nightly")
    return options, words


def _decision(options: argparse.Namespace) -> str | None:
    kinds = ("accept", "retire", "alias", "flag", "baseline")
    return next((kind for kind in kinds if getattr(options, kind)), None)


def _decide(kind: str, options: argparse.Namespace, settings: Settings) -> int:
    """Add a decision to the file."""
    from runner.contract import Undecided
    from runner.history import decisions
    from runner.records.nights import nights_of
    from runner.sweep.night import check_names, name_of

    path = Path(settings.nightly.accept)
    entry = {kind: getattr(options, kind)}
    if kind == "accept":
        nights = nights_of(settings.output_dir, name_of(settings))
        entry["since"] = options.since or (nights[-1].name if nights else "")
    if kind == "alias":
        entry["of"] = options.of or ""
    entry["reason"] = options.reason or ""
    if entry["reason"]:  # otherwise the error is about the missing reason
        check_names(settings, {key: value for key, value in entry.items() if value})
    try:
        decisions.append(path, entry)
    except OSError as error:
        raise Undecided(f"{path} can't be written: {error.strerror}") from error
    print(f"{path}: {', '.join(f'{name}: {value}' for name, value in entry.items())}")
    return ExitCode.OK


def _night(options: argparse.Namespace, words: Sequence[str], settings: Settings) -> int:
    """Run and judge the night, unless another one is still running."""
    import socket
    from datetime import datetime

    from runner.__main__ import run
    from runner.contract import Held, NothingThere
    from runner.history.decisions import read
    from runner.records.locks import locked
    from runner.records.nights import LOCK

    now = datetime.now()
    decisions = read(Path(settings.nightly.accept))  # fails before hours are spent
    sweep_id = _sweep_id(options, words, settings, now)
    words = [f"sweep.id={sweep_id}", *words]  # overrides must precede flags
    if settings.dry_run:
        return run(words)
    print(f"{now:%Y-%m-%d %H:%M:%S} {sweep_id} on {socket.gethostname()}", flush=True)
    try:
        settings.output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NothingThere(f"output_dir is {settings.output_dir}: {error.strerror}") from error
    try:
        with locked(settings.output_dir / LOCK, sweep_id):
            code = ExitCode.OK if options.judge else run(words)
            finished = code in (ExitCode.OK, ExitCode.FAILED)
            own = None if options.judge else words
            return _judge(sweep_id, settings, decisions, own) if finished else code
    except Held as holder:
        print(f"not started: {holder} is still running", flush=True)
        return holder.exit_code


def _sweep_id(
    options: argparse.Namespace, words: Sequence[str], settings: Settings, now: datetime
) -> str:
    """The night to run or to judge. Raises NothingThere."""
    from runner.contract import NothingThere
    from runner.sweep import night

    given = next((word for word in words if word.lstrip("+").startswith("sweep.id=")), None)
    if given:
        raise NothingThere(f"{given} is given, but a night is identified by its date: use --night")
    if options.night:
        return f"{night.name_of(settings)}-{_date(options.night)}"
    return night.newest(settings) if options.judge else night.tonight(settings, now)


def _date(text: str) -> str:
    from datetime import date

    from runner.contract import NothingThere

    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        summary = f"--night is {text}; expected a date, as in 2026-11-26"
        raise NothingThere(summary) from None


def _judge(
    sweep_id: str, settings: Settings, decisions: Decisions, words: Sequence[str] | None
) -> int:
    """Judge the night and show, write, publish and post the result; the exit code.

    With the `words` of the night, what it found slower is confirmed by duets.
    """
    from rich.console import Console

    from runner.pages.nightly import headline, page_of, values_of
    from runner.pages.page import to_text
    from runner.sweep import night
    from runner.sweep.confirm import confirmed
    from runner.sweep.webhook import post

    report, store = night.judged(settings, sweep_id, decisions)
    found = confirmed(report.judgement, report.onsets, words, settings, _print)
    report = replace(report, judgement=found)
    code = night.code_of(report.judgement, settings.nightly.allow_inconclusive)
    values = values_of(report, code)
    print(flush=True)
    to_text(page_of(report), Console(highlight=False, width=None if sys.stdout.isatty() else 140))
    _keep(report, store, settings, values)
    if settings.nightly.webhook is not None:
        problem = post(settings.nightly.webhook, {"text": values["headline"], **values})
        if problem is not None:
            print(f"warning: nightly.webhook was not reached: {problem}")
    print(f"exit code {code}: {headline(report.judgement)}", flush=True)
    return code


def _print(line: str) -> None:
    from runner.host.secrets import redact
    from runner.records.printable import printable

    print(printable(redact(line)), flush=True)


def _keep(
    report: Report, store: Store | None, settings: Settings, values: Mapping[str, Any]
) -> None:
    """Write the report and publish it to MLflow; a failure is a warning."""
    from runner.contract import TrackingUnavailable
    from runner.sweep import night

    try:
        files = night.write(report, settings, values)
    except OSError as error:
        print(f"warning: the report can't be written: {error}")
        return
    print(f"\nreport    {files['page']}\nhistory   {files['history']}")
    try:
        if store is not None:
            print(f"MLflow    {night.publish(report, store, settings, values, files)}")
    except TrackingUnavailable as reason:
        print(f"warning: MLflow is unavailable ({reason}); --judge publishes it later")


if __name__ == "__main__":
    sys.exit(main())
