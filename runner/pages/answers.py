"""Answers of a sweep: one sentence for each question that its axes ask."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median_high

from runner.contract import Level, Verdict
from runner.pages.plots import Line
from runner.pages.service_answers import service_answers
from runner.records.record import Record
from runner.records.results import Result, results_of, times_as_fast
from runner.statistics.processes import Ratio, speed_up
from runner.statistics.scaling import NEAR_BEST, knee, power_law
from runner.statistics.shape import warmup_needed
from runner.terminal.figures import baselines, number
from runner.terminal.table import shows_methods
from runner.trial.axes import AXES, lines, place
from runner.trial.description import Trial
from runner.trial.methods import METHODS
from runner.trial.titles import short_titles

MAX_SENTENCES = 8  # sentences for one question; the table and the plots have all
MAX_LOOKED_AT = 200  # records that are analysed; each takes milliseconds
MAX_LEFT_OUT = 3  # trials that are named; beyond that only their number
UNSURE = 0.02  # of a rate: usual difference between processes on a quiet machine
MIN_SIZES = 4  # with three, an exponent's interval contains it in 63 % of cases only
BY_SUSPECTS = ", based on suspect numbers"
ONE_EACH = "one process each, only indicative"
DOUBTS = {  # about an answer -> about several
    f" ({ONE_EACH})": "ratios are only indicative: one process each, use sweep.repeats=5",
    BY_SUSPECTS: "based on suspect numbers",
}
WORTH = 1.02  # speed-up from which on a setting is worth it


def answers(records: Sequence[Record], most: int = MAX_SENTENCES) -> Iterator[str]:
    """The sentences, at most `most` for each question; invalid numbers are excluded.

    A doubt about several of them is said once, at their end.
    """
    found = list(_answers(records, most))
    text = []
    for doubt, sentence in DOUBTS.items():
        count = sum(doubt in one for one in found)
        if count > 1:
            found = [one.replace(doubt, "") for one in found]
            text.append(f"{sentence} ({count} answers)")
    yield from (*found, *text)


def _answers(records: Sequence[Record], most: int) -> Iterator[str]:
    everything = usable(records)
    # under load nothing is ranked by the time of a pass
    rows = [row for row in everything if not row.first.trial.is_load]
    if not everything:
        if any(record.completed for record in records):
            yield "no answers: all numbers are invalid"
        return
    if not shows_methods(records):
        yield from fastest(rows, most)
        yield from best_throughput(rows, most)
        yield from knees(rows, most)
        yield from exponents(rows, most)
    yield from service_answers(records, everything, _names(everything, ("load.rate",)), most)
    yield from warmups([record for record in records if not record.trial.is_load])
    yield from worth(rows, most)
    yield from _left_out(records)


def _left_out(records: Sequence[Record]) -> Iterator[str]:
    """The trials that are not ranked because processes are invalid."""
    invalid: dict[str, int] = {}
    for one in records:
        if one.completed and one.verdict == Verdict.INVALID:
            invalid[one.trial_title] = invalid.get(one.trial_title, 0) + 1
    if not invalid or len(invalid) == len({one.trial_title for one in records}):
        return
    all_of = {title: sum(one.trial_title == title for one in records) for title in invalid}
    named = [
        title if count == all_of[title] else f"{count} of {all_of[title]} processes of {title}"
        for title, count in list(invalid.items())[:MAX_LEFT_OUT]
    ]
    more = f" and {len(invalid) - MAX_LEFT_OUT} more" if len(invalid) > MAX_LEFT_OUT else ""
    yield f"not ranked, because invalid: {', '.join(named)}{more}"


def usable(records: Sequence[Record]) -> list[Result]:
    """The trials whose numbers may be ranked."""
    return [row for row in results_of(records) if row.usable]


def fastest(rows: Sequence[Result], most: int = MAX_SENTENCES) -> Iterator[str]:
    """For each input and batch: what is fastest, and by how much.

    The timing method is not a choice for speed: of several methods, the one
    that most candidates share is used.
    """
    situations: dict[str, list[Result]] = defaultdict(list)
    for row in sorted(rows, key=_input):
        situations[_situation(row.first.trial)].append(row)
    asked = {
        name: ranked for name, group in situations.items() if len(ranked := _ranked(group)) > 1
    }
    names = _names(rows, but=(*AXES, "timing.method"))
    for name, (first, second, *_) in list(asked.items())[:most]:
        ratio = times_as_fast(second, first)
        lead = f"fastest at {name}: {names(first)}, {number(first.typical)} ms"
        next_ = f"{names(second)}, {number(second.typical)} ms"
        yield f"{lead}{_lead(ratio, next_, first, second)}{_doubts(first, second)}"
    if len(asked) > most:
        yield f"{len(asked) - most} more inputs are in the table"


def _ranked(rows: Sequence[Result]) -> list[Result]:
    """The fastest row of each candidate by one timing method, fastest first."""
    by_method: dict[str, dict[str, Result]] = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row.typical or 0.0):
        trial = row.first.trial
        by_method[trial.timing.method].setdefault(trial.key_without("timing", "input"), row)
    return list(max(by_method.values(), key=len, default={}).values())


def _doubts(*rows: Result) -> str:
    """A note that an answer rests on suspect numbers."""
    return BY_SUSPECTS if any(row.verdict == Verdict.SUSPECT for row in rows) else ""


def _input(row: Result) -> tuple[tuple[int, int], int]:
    given = row.first.trial.input
    return given.pixels, given.batch_size


def _situation(trial: Trial) -> str:
    where = f"{trial.input.size_label}px, batch {trial.input.batch_size}"
    return f"{where}, {trial.pipeline.name}" if trial.is_e2e else where


def _lead(ratio: Ratio, second: str, *rows: Result) -> str:
    """How far the `second` is behind, and whether that is significant."""
    text = f"; next {second}, {ratio.value:.2f}x slower"
    if ratio.ci is None:
        return f"{text} ({_few(*rows)})"
    if ratio.ci[0] <= 1:
        return f"; no significant difference to {second}"
    return f"{text} ({ratio.ci[0]:.2f} to {ratio.ci[1]:.2f})"


def _few(*rows: Result) -> str:
    """Why the interval is missing."""
    if all(len(row.records) == 1 for row in rows):
        return ONE_EACH
    return "one side has a single process, only indicative"


def best_throughput(rows: Sequence[Result], most: int = MAX_SENTENCES) -> Iterator[str]:
    """For each input size: the batch and model with the best throughput."""
    if len({row.first.trial.input.batch_size for row in rows}) < 2:
        return
    sizes: dict[str, list[Result]] = defaultdict(list)
    for row in rows:
        if row.images_per_second is not None:
            sizes[row.first.trial.input.size_label].append(row)
    names = _names(rows, but=tuple(AXES))
    for size, group in list(sizes.items())[:most]:
        ranked = sorted(group, key=lambda row: -(row.images_per_second or 0.0))
        text = f"best throughput at {size}px: {_rate(ranked[0], names)}"
        if len(ranked) > 1:
            first, second = ranked[:2]
            ratio = speed_up(second.ms_an_image, first.ms_an_image)
            text += _lead(ratio, _rate(second, names), first, second)
        yield text + _doubts(*ranked[:2])


def _rate(row: Result, names: Callable[[Result], str]) -> str:
    rate, batch = number(row.images_per_second), row.first.trial.input.batch_size
    return f"{names(row)}, {rate} images/s at batch {batch}"


def lines_of(rows: Sequence[Result], axis: str) -> list[Line]:
    """The lines of rows along an axis, each named by the keys in which they differ."""
    trials = [row.first.trial for row in rows]
    found = lines(trials, axis)
    names = short_titles([trials[line[0]] for line in found], but=(axis,)) if found else []
    made = []
    for name, line in zip(names, found, strict=True):
        places = tuple(place(trials[at], axis) or 0 for at in line)
        own = tuple(rows[at] for at in line)
        ranked = [(at, row) for at, row in zip(places, own, strict=True) if row.usable]
        at_knee = None
        if axis == "input.batch_size" and len(ranked) > 2:
            rates = [row.images_per_second or 0.0 for _, row in ranked]
            at_knee = knee([at for at, _ in ranked], rates)
        made.append(Line(name, places, own, at_knee))
    return made


def knees(rows: Sequence[Result], most: int = MAX_SENTENCES) -> Iterator[str]:
    """The smallest batch with nearly the best throughput."""
    found = [line for line in lines_of(rows, "input.batch_size") if line.knee is not None]
    if not found:
        return
    text = []
    for line in found[:most]:
        row = line.rows[line.places.index(line.knee or 0)]
        rate, ms = number(row.images_per_second), number(row.typical)
        rising = " and still rising" if line.knee == line.places[-1] else ""
        whose = f"{line.name}: " if len(found) > 1 else ""
        text.append(f"{whose}{_around(line)} ({rate} images/s at {ms} ms{rising})")
    more = [f"{len(found) - most} more lines are in the plot"] if len(found) > most else []
    yield f"smallest batch with 95 % of the best throughput: {'; '.join([*text, *more])}"


def _around(line: Line) -> str:
    """A line's knee, as a range if the spread between processes allows others."""
    rates = [row.images_per_second or 0.0 for row in line.rows]
    low, high = (knee(line.places, rates, NEAR_BEST + off) for off in (-UNSURE, UNSURE))
    return str(line.knee) if low == high else f"{line.knee}, perhaps {low} to {high}"


def exponents(rows: Sequence[Result], most: int = MAX_SENTENCES) -> Iterator[str]:
    """How latency grows with the size of the input."""
    found = [line for line in lines_of(rows, "input.size") if len(line.places) >= MIN_SIZES]
    for line in found[:most]:
        law = power_law(line.places, [row.typical or 0.0 for row in line.rows])
        if law is None or law.ci is None or law.ci[1] - law.ci[0] > 1:
            continue  # no power law, or too few points for one
        whose = f" of {line.name}" if len(found) > 1 else ""
        yield (
            f"latency{whose} grows with the image side to the power of {law.exponent:.2f} "
            f"({law.ci[0]:.2f} to {law.ci[1]:.2f}); 2 would be proportional to the pixels"
        )


def warmups(records: Sequence[Record]) -> Iterator[str]:
    """The number of warm-ups each model needs, over all its processes."""
    models = warmups_of(records)
    if len(models) > MAX_SENTENCES:
        needed = max(need or 0 for need in models.values())
        yield f"warm-up iterations needed: at most {needed} for {len(models)} models"
    elif models:
        text = ", ".join(
            f"{name}: not settled, raise timing.warmup" if need is None else f"{name} {need}"
            for name, need in models.items()
        )
        yield f"warm-up iterations needed: {text}"


def warmups_of(records: Sequence[Record]) -> dict[str, int | None]:
    """The warm-up that each model needs; None if it had not settled half-way.

    The median over processes and inputs, because others may disturb the start of one of many;
    unsynchronized passes are ignored. Of very many records only some are analysed.
    """
    needs: dict[str, list[int | None]] = defaultdict(list)
    for record in records[:: max(1, len(records) // MAX_LOOKED_AT)]:
        synchronized = METHODS[record.trial.timing.method].synchronized
        many = len(record.warmup_ms) + len(record.latency_ms) >= 10
        if record.completed and synchronized and many and not _disturbed(record):
            needs[record.trial.model.label].append(_warmup_of(record))
    return {
        name: None if needed == math.inf else int(needed)
        for name, found in needs.items()
        for needed in [median_high(math.inf if one is None else one for one in found)]
    }


def _disturbed(record: Record) -> bool:
    """Whether other programs may have slowed its first passes."""
    codes = {reason["code"] for reason in record.reasons if reason["level"] != Level.NOTE}
    return record.verdict == Verdict.INVALID or bool(codes & {"CPU_CONTENDED", "FOREIGN_PROCESS"})


def _warmup_of(record: Record) -> int | None:
    """The warm-up its verdict names, else at most the one it had."""
    for reason in record.reasons:
        if reason["code"] == "WARMUP_SHORT":
            return int(reason.get("need", 0))
    needed = warmup_needed([*record.warmup_ms, *record.latency_ms])
    return None if needed is None else min(needed, record.trial.timing.warmup)


@dataclass(frozen=True)
class SpeedUp:
    """The speed-up of a trial over `plain`, the same trial in eager fp32."""

    name: str
    row: Result
    plain: Result
    ratio: Ratio


def speed_ups(rows: Sequence[Result]) -> list[SpeedUp]:
    """A SpeedUp for each trial with an eager fp32 baseline in the sweep."""
    names = _names(rows)
    return [
        SpeedUp(names(row), row, plain, times_as_fast(plain, row))
        for row, plain in zip(rows, baselines(rows), strict=True)
        if plain is not None
    ]


def worth(rows: Sequence[Result], most: int = MAX_SENTENCES) -> Iterator[str]:
    """Whether a precision, memory order, compiler or engine is worth it."""
    found = speed_ups(rows)
    for one in sorted(found, key=lambda one: -one.ratio.value)[:most]:
        row, ratio = one.row, one.ratio
        ends: tuple[float, ...] = ratio.ci or ()
        if ratio.value < 1:
            word, value, ends = "slower", 1 / ratio.value, tuple(1 / end for end in ends[::-1])
        else:
            word, value = "faster", ratio.value
        certain = not ends or ends[0] >= 1
        judged = "" if certain else "no significant gain, "
        if certain and value < WORTH:
            judged = "no gain, "
        elif certain and ends:
            judged = "worth it, " if word == "faster" else "not worth it, "
        sure = f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends else f" ({_few(row, one.plain)})"
        error = row.first.figures.get("rel_error")
        off = "" if error is None else f", relative error {error:.0e}"
        wrong = any(reason["code"] == "WRONG_OUTPUT" for reason in row.first.reasons)
        off += ", more than the precision explains" if wrong else ""
        yield f"{one.name}: {judged}{value:.2f}x {word} than eager fp32{sure}{off}"
    if len(found) > most:
        yield f"and {len(found) - most} more, see the plot of speed-ups"


def _names(rows: Sequence[Result], but: Sequence[str] = ()) -> Callable[[Result], str]:
    """Names that distinguish the rows."""
    titles = short_titles([row.first.trial for row in rows], but)
    by_row = {id(row): title for row, title in zip(rows, titles, strict=True)}
    return lambda row: by_row[id(row)]
