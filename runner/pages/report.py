"""The report of a sweep: what was measured, the answers, table and plots."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from runner.history.environment_diff import machines
from runner.pages import plots, service_plots
from runner.pages.answers import MIN_SIZES, answers, lines_of, speed_ups, usable, warmups_of
from runner.pages.page import Page, Plot, Section, to_html, to_markdown
from runner.records.capacities import services_of
from runner.records.record import Record
from runner.records.results import Result, results_of
from runner.records.store import write_text_whole
from runner.statistics.scaling import power_law
from runner.terminal.closing import about_numbers, device_lines, faults
from runner.terminal.table import columns_of, shows_methods
from runner.trial.axes import AXES
from runner.trial.titles import short_titles, summary_of

HTML, MARKDOWN, TABLE = "report.html", "report.md", "summary.csv"

LEGEND = {  # of columns that need one
    "FPS": "FPS: closed-loop images a second (pipelined: throughput)",
    "sum": "decode to post: phases of a request; sum: of these; p50 is the measured whole",
    "busy %": "busy %: of the instances' time",
    "together": "together: queries answered in one pass, on average",
    "+- %": "+- %: half of the median's 95 % interval within the process",
    "95 % CI": "95 % CI: interval of the median between processes",
    "spread %": "spread %: standard deviation between processes",
    "speed-up": "speed-up: over the same trial in eager fp32",
    "rel err": "rel err: relative error of the output against fp32",
}


def write(records: Sequence[Record], sweep_dir: Path, notes: Sequence[str] = ()) -> list[Path]:
    """Write report.html, report.md and summary.csv into the sweep's folder; their paths.

    Raises OSError.
    """
    page = page_of(records, sweep_dir, notes)
    texts = {HTML: to_html(page), MARKDOWN: to_markdown(page), TABLE: _csv(records)}
    for name, text in texts.items():
        write_text_whole(text, sweep_dir / name)
    return [sweep_dir / name for name in texts]


def _csv(records: Sequence[Record]) -> str:
    """The table as CSV, with all columns that differ."""
    _, columns = columns_of(records)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([column.name for column in columns])
    writer.writerows(zip(*(column.cells for column in columns), strict=True))
    return text.getvalue()


def page_of(records: Sequence[Record], sweep_dir: Path | None, notes: Sequence[str] = ()) -> Page:
    """The page; `notes` come first, such as that trials are missing.

    `sweep_dir` is the folder of the records, if there is one.
    """
    same, columns = columns_of(records)
    shown = tuple(column for column in columns if column.spare != 0)  # summary.csv has all
    legend = "; ".join(LEGEND[one.name] for one in shown if one.name in LEGEND)
    found = [*notes, *answers(records)]
    text = about_numbers(records, len(records), sweep_dir or Path())
    sections = [
        Section("Answers", tuple(found)),
        Section("Table", (f"all trials: {same}",) if same else (), shown, (), legend),
        *_plots(records),
        Section(
            "Quality of the numbers",
            tuple(re.sub(" {2,}", ": ", one, count=1) for one in text) or ("no problems found",),
        ),
    ]
    full = [section for section in sections if section.lines or section.columns or section.plots]
    title = summary_of([record.trial for record in records])
    return Page(title, tuple(_facts(records)), tuple(full))


def _facts(records: Sequence[Record]) -> Iterator[str]:
    sweeps = list(dict.fromkeys(record.sweep_id for record in records))
    trials = len({record.key for record in records})
    began = sorted(record.started_at for record in records)
    took = f"{began[0][:16].replace('T', ' ')} to {max(r.ended_at for r in records)[11:16]} UTC"
    yield f"{', '.join(sweeps)}: {trials} trials, {len(records)} processes, {took}"
    where = machines(records)
    mixed = " - mixed machines: compare with care" if len(where) > 1 else ""
    yield f"on {'; '.join(where)}{mixed}"
    yield from device_lines(records)


def _plots(records: Sequence[Record]) -> Iterator[Section]:
    """The plots for the axes of the sweep."""
    rows = results_of(records)
    if shows_methods(records):
        yield _section("Methods", plots.methods(rows, list(faults(records))))
    yield from _of_services(records, rows)
    rows = [row for row in rows if not row.first.trial.is_load]
    good = [row for row in usable(records) if not row.first.trial.is_load]
    if len(good) > 1 and not shows_methods(records):
        yield from _of_axes([row for row in rows if row.typical is not None or row.usable])
        yield from _of_choices(good)
    shown = _typical(records)
    if shown:
        needs = [need for need in warmups_of(shown).values() if need is not None]
        yield _section(
            "Samples",
            plots.samples_over_time(shown, max(needs, default=None), len(rows)),
            plots.distribution(shown, len(rows)),
        )


def _of_services(records: Sequence[Record], rows: Sequence[Result]) -> Iterator[Section]:
    """Phases of requests, and services at several rates."""
    timed = [row for row in rows if row.first.figures.get("phases_sum_ms")]
    if timed:
        yield _section("Phases", service_plots.phases(timed))
    services = services_of(records)[: plots.MAX_SERIES]
    if services:
        firsts = [service.records[0].trial for service in services]
        names = short_titles(firsts, ("load.rate",))
        yield _section("Load", service_plots.latency_against_throughput(services, names))


def _of_axes(rows: Sequence[Result]) -> Iterator[Section]:
    if lines := lines_of(rows, "input.size"):
        title = "Latency against resolution"
        named = [replace(line, name=_with_exponent(line)) for line in lines]
        yield _section(
            "Resolution", plots.latency_along(named, AXES["input.size"], title, log=True)
        )
    if lines := lines_of(rows, "input.batch_size"):
        title = "Latency against batch size"
        yield _section(
            "Batch",
            plots.throughput_along(lines),
            plots.latency_along(lines, AXES["input.batch_size"], title, log=True),
        )
    if lines := lines_of(rows, "timing.warmup"):
        title = "Latency against the number of warm-ups"
        yield _section(
            "Warm-up", plots.latency_along(lines, AXES["timing.warmup"], title, log=False)
        )


def _with_exponent(line: plots.Line) -> str:
    law = power_law(line.places, [row.typical or 0.0 for row in line.rows])
    few = len(line.places) < MIN_SIZES
    return line.name if few or law is None else f"{line.name} (~ size^{law.exponent:.2f})"


def _of_choices(rows: Sequence[Result]) -> Iterator[Section]:
    choices = {row.first.trial.key_without("input", "timing.warmup") for row in rows}
    if len(choices) > 1:
        yield _section("Ranking", plots.ranking(rows))
    if found := speed_ups(rows):
        names, ratios = [one.name for one in found], [one.ratio for one in found]
        yield _section("Speed-ups", plots.speed_ups(names, ratios))
    costed = [row for row in rows if row.first.figures.get("gflop")]
    if len({row.first.trial.model.label for row in costed}) > 1:
        yield _section("FLOPs", plots.against_cost(costed))


def _section(heading: str, *shown: Plot) -> Section:
    return Section(heading, plots=shown)


def _typical(records: Sequence[Record]) -> list[Record]:
    """A few records whose samples are drawn: the first process of each trial, spread out."""
    first = [one for one in records if one.repeat == 0 and len(one.latency_ms) > 1]
    step = max(1, -(-len(first) // plots.MAX_SERIES))
    return first[::step][: plots.MAX_SERIES]
