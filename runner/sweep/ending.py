"""The end of a sweep: its pages, MLflow's summary, the table, answers and advice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from runner.config.settings import Settings
from runner.contract import ExitCode, Verdict
from runner.records.record import Record
from runner.records.results import results_of
from runner.sweep.listeners import Listeners
from runner.terminal.lines import Lines

PARENT_STATUS = {ExitCode.OK: "FINISHED", ExitCode.INTERRUPTED: "KILLED"}  # of the MLflow run


def end(settings: Settings, heard: Listeners, code: ExitCode, lines: Lines, out: TextIO) -> None:
    """Write the pages, close the MLflow run, print the result and where it is.

    With format=json the result goes to `out`.
    """
    records, publisher = heard.in_order, heard.publisher
    missing = len(heard.manifest.trials) - len(records)
    pages = [] if code == ExitCode.INTERRUPTED else _pages(settings, records, missing, lines)
    if publisher is not None:
        publisher.close(PARENT_STATUS.get(code, "FAILED"), records)
    if records:
        _show(settings, records, missing, lines)
        if heard.search is not None:
            for key, why in heard.search.ended.items():
                lines.print(f"search    {heard.search.title_of(key)}: {why}")
        if heard.manifest.searching and heard.complete:
            again = f"python -m runner sweep.resume={settings.sweep_id}"
            lines.print(f"search    has not ended; {again} resumes it")
        if pages:
            lines.print(f"report    {pages[0]}")
        if publisher is not None:
            invalid = sum(one.verdict == Verdict.INVALID for one in results_of(records))
            for line in publisher.closing_lines(invalid):
                lines.print(line)
    if publisher is not None and code != ExitCode.INTERRUPTED:
        publisher.bring_others()
    if settings.format == "json":
        from runner.pages.values import to_json

        print(to_json(settings.sweep_dir, records, len(heard.manifest.trials), code), file=out)


def _pages(settings: Settings, records: Sequence[Record], missing: int, lines: Lines) -> list[Path]:
    """Write the pages about a sweep of several trials."""
    several = len(records) > 1 and any(record.completed for record in records)
    if not (settings.report and several):
        return []
    from runner.pages import report  # imports plotly

    notes = [f"{missing} planned trials have not run"] if missing else []
    try:
        return report.write(records, settings.sweep_dir, notes)
    except Exception as error:  # a page must never cost a result
        again = f"python -m runner.report {settings.sweep_id}"
        lines.print(f"warning: the report failed ({type(error).__name__}: {error}); {again}")
        return []


def _show(settings: Settings, records: Sequence[Record], missing: int, lines: Lines) -> None:
    from runner.pages.answers import answers
    from runner.pages.service_answers import request
    from runner.terminal.closing import closing_lines  # imports scipy

    if len({record.cause for record in records}) > 1 or records[0].completed:
        lines.table(records)  # not for a single failure
    if len(records) > 1:
        text = list(answers(records, most=3))
    else:
        timed = [row for row in results_of(records) if row.figure("phases_sum_ms")]
        text = [request(row, row.first.trial.model.label) for row in timed]
    closing = closing_lines(records, len(records) + missing, settings.sweep_dir)
    for line in (*text, *closing):
        lines.print(line)
