"""The page of a comparison, and the same for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import geometric_mean
from typing import Any

from runner.contract import Verdict
from runner.history.comparison import Comparison, Pair, Side
from runner.history.environment_diff import machines
from runner.pages.page import Page, Plot, Section
from runner.records.record import Record
from runner.statistics.difference import MAX_NEEDED, SUITE_SHIFT, VERDICTS
from runner.statistics.processes import combine
from runner.terminal.figures import alike
from runner.terminal.layout import Column
from runner.terminal.table import names_of

VERSION = 1  # of the JSON
GEOMEAN = "geomean"  # name of the last row: geometric means of the trials
MAX_NAMED = 8  # trials that one side lacks; beyond that only their number is shown


def page_of(comparisons: Sequence[Comparison]) -> Page:
    """The page for a comparison, or for several against the same side."""
    first = comparisons[0]
    title = f"{first.before.name} -> {', '.join(one.after.name for one in comparisons)}"
    sections: list[Section] = []
    for one in comparisons:
        heading = f"{one.before.name} -> {one.after.name}" if len(comparisons) > 1 else ""
        sections += _sections(one, heading)
    facts = [_fact("before", first.before), *(_fact("after", one.after) for one in comparisons)]
    return Page(title, tuple(facts), tuple(sections))


def _fact(role: str, side: Side) -> str:
    records = side.records
    trials = len({record.key for record in records})
    began = sorted(record.started_at[:16].replace("T", " ") for record in records)
    when = " to ".join(dict.fromkeys((began[0], began[-1])))
    where = machines(records)
    mixed = " - mixed machines, their differences count as noise" if len(where) > 1 else ""
    processes = f"{len(records)} processes" if len(records) > trials else "one process each"
    return (
        f"{role}: {side.name}, {trials} trial{'s' if trials > 1 else ''}, {processes}, {when}, "
        f"{', '.join(where)}{mixed}"
    )


def headline(comparison: Comparison) -> str:
    """The comparison in one line: the number of trials for each verdict."""
    if not comparison.pairs:
        return "nothing can be compared: " + (
            "the two sides have no trial in common"
            if not comparison.unusable
            else "no trial has a number on both sides"
        )
    counts = Counter(pair.difference.verdict for pair in comparison.pairs)
    text = ", ".join(f"{counts[name]} {name}" for name in VERDICTS if counts[name])
    total = len(comparison.pairs)
    return f"{total} trial{'s' if total > 1 else ''} compared: {text}"


def _sections(one: Comparison, heading: str) -> Iterator[Section]:
    same, columns = "", list[Column]()
    plots: tuple[Plot, ...] = ()
    if one.pairs:
        same, columns = _columns(one)
        from runner.pages.plots import changes

        plots = (changes(one),)
    lines = [headline(one), *_remarks(one)]
    if same:
        lines.append(f"all trials: {same}")
    note = (
        "ratio: time after / time before, above 1 is slower; detects: a change of this size is "
        f"detected in 4 of 5 cases; changes below {one.threshold:.1%} are ignored"
    )
    yield Section(heading, tuple(lines), tuple(columns), plots, note if one.pairs else "")
    if one.changed:
        yield Section("what else differs", tuple(map(str, one.changed)))
    if one.unusable:
        text = (f"{record.title}: {why}" for record, why in one.unusable)
        yield Section("not compared", tuple(text))
    for side, records in ((one.before, one.only_before), (one.after, one.only_after)):
        if records:
            yield Section(f"only in {side.name}", tuple(_named(records)))


def _named(records: Sequence[Record]) -> Iterator[str]:
    yield from (record.title for record in records[:MAX_NAMED])
    if len(records) > MAX_NAMED:
        yield f"and {len(records) - MAX_NAMED} more"


def _remarks(one: Comparison) -> Iterator[str]:
    """Notes that a reader needs before the table."""
    judged = one.judged
    if one.pairs and one.fewest < 2:
        some = "some trials have one process on a side" if _deciding(one) else "one process each"
        yield f"{some}: only indicative; use sweep.repeats=5 on both sides for intervals"
    if judged.shift is not None:
        if judged.centred:
            yield (
                f"the change that all trials share, {judged.shift:+.1%}, is removed from the ratios"
            )
        elif abs(judged.shift) >= SUITE_SHIFT:
            yield (
                f"the whole suite changed by {judged.shift:+.1%}: the machine, or software that "
                "all "
                "trials use? what else differs is listed below"
            )
    if judged.widened > 1.5:
        yield (
            f"intervals are widened {judged.widened:.1f}x: trials differ between the sides by more "
            "than between their own processes"
        )
    suspect = sum(
        any(one.verdict == Verdict.SUSPECT for one in (*pair.before, *pair.after))
        for pair in one.pairs
    )
    if suspect:
        yield (
            f"{suspect} of {len(one.pairs)} trials have suspect numbers; see their tables for "
            "the reasons"
        )


def _deciding(one: Comparison) -> bool:
    return any(pair.difference.ci for pair in one.pairs)


def _columns(one: Comparison) -> tuple[str, list[Column]]:
    pairs = one.pairs
    same, names = names_of([pair.record for pair in pairs], but=one.by or "")
    if not names:
        names = [Column("trial", tuple(pair.record.title for pair in pairs), text=True)]
    before_ms = [_typical(pair.before) for pair in pairs]
    after_ms = [_typical(pair.after) for pair in pairs]
    found = [pair.difference for pair in pairs]
    counts = [f"{len(pair.before)} | {len(pair.after)}" for pair in pairs]
    ratios = [f"{one.ratio:.3f}" for one in found]
    intervals = [f"{one.ci[0]:.3f} to {one.ci[1]:.3f}" if one.ci else "-" for one in found]
    detects = ["-" if one.detectable is None else f"{100 * one.detectable:.1f}" for one in found]
    verdicts = list(map(verdict_of, pairs))
    if len(pairs) > 1:
        before_ms.append(geometric_mean(before_ms))
        after_ms.append(geometric_mean(after_ms))
        ratios.append(f"{after_ms[-1] / before_ms[-1]:.3f}")
        names = [
            replace(column, cells=(*column.cells, "" if number else GEOMEAN))
            for number, column in enumerate(names)
        ]
        for cells in (counts, intervals, detects, verdicts):
            cells.append("")
    before, after = alike(before_ms), alike(after_ms)
    return same, [
        *names,
        Column("before ms", before),
        Column("after ms", after),
        Column("processes", tuple(counts), spare=1),
        Column("ratio", tuple(ratios)),
        Column("95 % CI", tuple(intervals), spare=3),
        Column("detects %", tuple(detects), spare=2),
        Column("verdict", tuple(verdicts), text=True, words=True),
    ]


def _typical(records: Sequence[Record]) -> float:
    return combine([record.typical_ms or 0.0 for record in records]).median_ms


def verdict_of(pair: Pair) -> str:
    """The verdict, and for an inconclusive one how many processes would decide."""
    found = pair.difference
    if found.verdict != "inconclusive" or found.ci is None:
        return found.verdict
    more = f"over {MAX_NEEDED}" if found.needed == MAX_NEEDED else f"about {found.needed}"
    return f"inconclusive: up to {found.ci[1] - 1:+.1%} not excluded; {more} processes would decide"


def values_of(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The comparison for programs; times in milliseconds, changes as ratios."""
    return {"version": VERSION, "comparisons": [_values(one) for one in comparisons]}


def _values(one: Comparison) -> dict[str, Any]:
    judged = one.judged
    return {
        "before": one.before.name,
        "after": one.after.name,
        "threshold": one.threshold,
        "headline": headline(one),
        "suite_shift": judged.shift,
        "suite_shift_taken_out": judged.centred,
        "intervals_widened_by": judged.widened,
        "trials": [
            {
                "key": pair.record.key,
                "title": pair.record.title,
                "before_ms": [record.typical_ms for record in pair.before],
                "after_ms": [record.typical_ms for record in pair.after],
                **{
                    name: getattr(pair.difference, name)
                    for name in ("ratio", "ci", "p", "verdict", "detectable", "needed")
                },
            }
            for pair in one.pairs
        ],
        "not_compared": [
            {"key": record.key, "title": record.title, "why": why} for record, why in one.unusable
        ],
        "only_before": [{"key": one.key, "title": one.title} for one in one.only_before],
        "only_after": [{"key": one.key, "title": one.title} for one in one.only_after],
        "changed": [
            {"name": fact.name, "before": fact.before, "after": fact.after} for fact in one.changed
        ],
    }
