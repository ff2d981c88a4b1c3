"""The tables at the end of a sweep; durations in milliseconds.

What is the same in all trials stands once above the table. A column is a function of the rows
and stands in the tuple of the tables that show it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from rich.console import Console

from runner.contract import Level, Verdict
from runner.records.record import Record
from runner.records.results import Result, has_processes, results_of, times_as_fast
from runner.terminal.layout import Column, lay_out
from runner.trial.labels import settings, varying
from runner.trial.methods import METHODS

MOST_ROWS = 1000
COLUMN_OF = {  # keys of the command line -> what their column is called
    "input.size": "size",
    "input.batch_size": "batch",
    "timing.warmup": "warm-up",
    "timing.method": "method",
}


def show(records: Sequence[Record], console: Console) -> None:
    """Print the table that suits the sweep, as wide as the console and MOST_ROWS long at most."""
    keys = list(dict.fromkeys(record.key for record in records))
    kept = set(keys[:MOST_ROWS])
    same, columns = columns_of([record for record in records if record.key in kept])
    lines = ["", f"all trials: {same}"] if same else [""]
    for line in [*lines, *lay_out(columns, console), ""]:
        console.out(line.rstrip() if not console.is_terminal else line, highlight=False)
    if len(keys) > MOST_ROWS:
        console.out(f"(the first {MOST_ROWS} of {len(keys)}; all are in MLflow and on disk)\n")


def columns_of(records: Sequence[Record]) -> tuple[str, list[Column]]:
    """What is the same in all trials, as a line, and the columns of what differs and came out."""
    rows = results_of(records)
    shown: tuple[str, ...] = ()
    figures = OF_TRIALS
    if has_processes(records):
        figures = OF_PROCESSES
    elif shows_methods(records):
        figures, shown = OF_METHODS, ("method", "warm-up")
    same, differing = names_of([row.first for row in rows], shown)
    made = (figure(rows) for figure in figures)
    return same, [*differing, *(column for column in made if column is not None)]


def names_of(
    records: Sequence[Record], shown: Sequence[str] = (), but: str = ""
) -> tuple[str, list[Column]]:
    """What is the same in all trials, as a line, and columns of what differs or is `shown`.

    `but` is a key of the command line that is told elsewhere.
    """
    left_out = COLUMN_OF.get(but, but.rpartition(".")[2])
    columns = [one for one in _settings(records) if one.name != left_out]
    differing = [one for one in columns if len(set(one.cells)) > 1 or one.name in shown]
    same = ", ".join(f"{one.name} {one.cells[0]}" for one in columns if one not in differing)
    return same, differing


def shows_methods(records: Sequence[Record]) -> bool:
    """Whether the ways of timing are what is compared."""
    synchronized = all(METHODS[record.trial.timing.method].synchronized for record in records)
    return not synchronized and len(records) > 1 and not has_processes(records)


def _settings(records: Sequence[Record]) -> list[Column]:
    """A column for each setting that a title names, and for each other that differs."""
    trials = [record.trial for record in records]
    named = {
        "model": [trial.model.label for trial in trials],
        "size": [trial.input.size_label for trial in trials],
        "batch": [str(trial.input.batch_size) for trial in trials],
        "warm-up": [str(trial.timing.warmup) for trial in trials],
        "method": [trial.timing.method for trial in trials],
    }
    others = [settings(trial) for trial in trials]
    named |= {name: [one.get(name, "-") for one in others] for name in varying(trials)}
    return [
        Column(name, tuple(cells), text=name not in ("size", "batch", "warm-up"))
        for name, cells in named.items()
    ]


def p50(rows: Sequence[Result]) -> Column:
    """The median."""
    return _numbers("p50 ms", [row.first.summary.get("p50_ms") for row in rows])


def half_interval(rows: Sequence[Result]) -> Column:
    """Half of the median's 95 % interval."""
    return _percents("+- %", [row.first.half_width() for row in rows], spare=2)


def mean(rows: Sequence[Result], spare: int | None = 1) -> Column:
    """The mean."""
    return _numbers("mean ms", [row.first.summary.get("mean_ms") for row in rows], spare=spare)


def article_mean(rows: Sequence[Result]) -> Column:
    """The mean where it is what the article compares: never left out."""
    return mean(rows, spare=None)


def cold_start(rows: Sequence[Result]) -> Column:
    """What the very first call cost beyond the median."""
    values = [row.first.summary.get("cold_start_ms") for row in rows]
    return _numbers("cold start ms", values, spare=1)


def true_time(rows: Sequence[Result]) -> Column | None:
    """What a simulated device really takes."""
    values = [row.first.figures.get("true_ms") for row in rows]
    return _numbers("true ms", values) if any(value is not None for value in values) else None


def processes(rows: Sequence[Result]) -> Column:
    """How many processes the figures are made of."""
    done = [len(row.counted) for row in rows]
    cells = (
        f"{n}" if n == len(row.records) else f"{n} of {len(row.records)}"
        for n, row in zip(done, rows, strict=True)
    )
    return Column("processes", tuple(cells), spare=3)


def typical(rows: Sequence[Result]) -> Column:
    """The typical median over processes."""
    return _numbers("p50 ms", [row.combined.median_ms if row.combined else None for row in rows])


def interval(rows: Sequence[Result]) -> Column:
    """The 95 % interval of the typical median, over processes."""
    bounds = [row.combined.ci_ms if row.combined else None for row in rows]
    cells = ("-" if b is None else f"{number(b[0])} to {number(b[1])}" for b in bounds)
    return Column("95 % CI", tuple(cells))


def spread(rows: Sequence[Result]) -> Column:
    """The standard deviation between processes."""
    spreads = [row.combined.spread if row.combined else None for row in rows]
    return _percents("spread %", spreads, spare=1)


def fps(rows: Sequence[Result]) -> Column:
    """Images per second, over processes."""
    return _numbers("FPS", [row.images_per_second for row in rows])


def baselines(rows: Sequence[Result]) -> list[Result | None]:
    """For each row, the other one that runs the same network in fp32 by torch as it comes.

    Records hold no secrets: rows that differ in these alone have none.
    """
    alike: dict[str, list[Result]] = defaultdict(list)
    for row in rows:
        alike[row.first.trial.key].append(row)
    found = [alike.get(row.first.trial.plain.key, []) for row in rows]
    return [
        same[0] if len(same) == 1 and same[0] is not row else None
        for row, same in zip(rows, found, strict=True)
    ]


def faster(rows: Sequence[Result]) -> Column | None:
    """How many times as fast as the same in fp32 by torch as it comes, if that is beside it."""
    cells = []
    for row, plain in zip(rows, baselines(rows), strict=True):
        if plain is None or not (plain.each_ms and row.each_ms):
            cells.append("-")
            continue
        ratio = times_as_fast(plain, row)
        bounds = ratio.ci and f" ({ratio.ci[0]:.2f} to {ratio.ci[1]:.2f})"
        cells.append(f"{ratio.value:.2f}{bounds or ''}")
    return None if set(cells) <= {"-"} else Column("x fp32", tuple(cells))


def tflops(rows: Sequence[Result]) -> Column | None:
    """10^12 operations a second, where models, precisions or engines are beside each other."""
    trials = [row.first.trial for row in rows]
    ways = {(one.model.label, one.runtime, one.engine.name) for one in trials}
    values = [row.tflop_s for row in rows]
    return _numbers("TFLOP/s", values, spare=1) if len(ways) > 1 and any(values) else None


def error(rows: Sequence[Result]) -> Column | None:
    """How far the output is from the same network in fp32, where it may be."""
    errors = [row.first.figures.get("rel_error") for row in rows]
    cells = tuple("-" if value is None else f"{value:.0e}" for value in errors)
    return Column("rel err", cells, spare=1) if any(errors) else None


def verdict(rows: Sequence[Result]) -> Column:
    """The worst verdict of the processes, and all their reasons."""
    cells = tuple(verdict_label(row.records) for row in rows)
    return Column("verdict", cells, text=True, words=True)


Figure = Callable[[Sequence[Result]], Column | None]
OF_TRIALS: tuple[Figure, ...] = (p50, half_interval, mean, fps, tflops, faster, error, verdict)
OF_PROCESSES: tuple[Figure, ...] = (
    processes,
    typical,
    interval,
    spread,
    fps,
    tflops,
    faster,
    error,
    verdict,
)
# the article's, side by side; what is wrong with each is said below
OF_METHODS: tuple[Figure, ...] = (article_mean, fps, cold_start, true_time, verdict)


def _numbers(name: str, values: Sequence[float | None], spare: int | None = None) -> Column:
    return Column(name, tuple(map(number, values)), spare=spare)


def _percents(name: str, shares: Sequence[float | None], spare: int) -> Column:
    cells = tuple("-" if share is None else f"{100 * share:.1f}" for share in shares)
    return Column(name, cells, spare=spare)


def number(value: float | None) -> str:
    """Two decimals, three digits below 1, a dash for what is not known."""
    return "-" if value is None else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def verdict_label(group: Sequence[Record]) -> str:
    """The worst verdict of the processes and all their reasons, or what ended them."""
    ended = sorted({str(record.status) for record in group if not record.completed})
    if any(record.completed and record.verdict is None for record in group):
        ended.append("not judged")
    levels = {record.verdict for record in group}
    worst = next((level for level in Verdict if level in levels), None)
    codes = dict.fromkeys(
        reason["code"]
        for record in group
        for reason in record.reasons
        if reason["level"] != Level.NOTE
    )
    judged = [f"{worst}: {' '.join(codes)}" if codes else worst] if worst else []
    return ", ".join([*ended, *judged])
