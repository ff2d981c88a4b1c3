"""The columns of the tables: each is a function of the rows; durations in ms."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from runner.contract import Level, Verdict
from runner.records.record import Record
from runner.records.results import Result, times_as_fast
from runner.terminal.layout import Column
from runner.trial.phases import PHASES

Figure = Callable[[Sequence[Result]], Column | None]
SHORT = {"preprocess": "prep", "postprocess": "post"}  # heads of columns
LABELS = {"std": "sd", "p999": "p99.9"}
ROUNDING = 1e-9  # smaller shares are rounding errors
MAX_DECIMALS = 4


def p50(rows: Sequence[Result]) -> Column:
    """The median."""
    return _numbers("p50 ms", [over_processes(row, "p50_ms") for row in rows])


def half_interval(rows: Sequence[Result]) -> Column:
    """Half of the median's 95 % interval."""
    return _percents("+- %", [row.first.half_width() for row in rows], spare=2)


def mean(rows: Sequence[Result], spare: int | None = 1) -> Column:
    """The mean."""
    return _numbers("mean ms", [over_processes(row, "mean_ms") for row in rows], spare=spare)


def of_samples(name: str, spare: int | None = None) -> Figure:
    """A figure of the summary by its name there, without `_ms`: `min`, `p90`, `std`."""

    def column(rows: Sequence[Result]) -> Column:
        values = [over_processes(row, f"{name}_ms") for row in rows]
        return _numbers(f"{LABELS.get(name, name)} ms", values, spare=spare)

    return column


def over_processes(row: Result, name: str) -> float | None:
    """A figure of the summary over a trial's processes: the least, the largest, or the typical."""
    known = [value for one in row.counted if (value := one.summary.get(name)) is not None]
    if not known or len(known) < len(row.counted):
        return None
    if name in ("min_ms", "max_ms"):
        return float(min(known) if name == "min_ms" else max(known))
    return math.exp(math.fsum(map(math.log, known)) / len(known)) if min(known) > 0 else known[0]


def tail(rows: Sequence[Result]) -> Column | None:
    """The 99th percentile, shown if there are enough samples for one."""
    values = [over_processes(row, "p99_ms") for row in rows]
    return _numbers("p99 ms", values) if any(value is not None for value in values) else None


def extreme_tail(rows: Sequence[Result]) -> Column | None:
    """The 99.9th percentile, likewise."""
    values = [over_processes(row, "p999_ms") for row in rows]
    known = any(value is not None for value in values)
    return _numbers("p99.9 ms", values, spare=0) if known else None


def usual_tail(rows: Sequence[Result]) -> Column:
    """The 90th percentile: always shown under load, where tails are the question."""
    served = any(row.first.trial.is_load for row in rows)
    values = [over_processes(row, "p90_ms") for row in rows]
    return _numbers("p90 ms", values, spare=None if served else 0)


def phase(name: str) -> Figure:
    """A phase of a request, if any was timed."""

    def column(rows: Sequence[Result]) -> Column | None:
        values = [row.figure(f"{name}_ms") for row in rows]
        known = any(value is not None for value in values)
        return _numbers(SHORT.get(name, name), values, spare=3) if known else None

    return column


def phases_sum(rows: Sequence[Result]) -> Column | None:
    """The sum of a request's phases, beside the measured whole."""
    values = [row.figure("phases_sum_ms") for row in rows]
    return _numbers("sum", values, spare=3) if any(values) else None


def answered(rows: Sequence[Result]) -> Column | None:
    """Queries that were answered a second."""
    values = [row.figure("answered_qps") for row in rows]
    return _numbers("answered /s", values, spare=2) if any(values) else None


def busy(rows: Sequence[Result]) -> Column | None:
    """The share of time in which the instances of a service were busy."""
    shares = [row.figure("busy") for row in rows]
    return _percents("busy %", shares, spare=2) if any(shares) else None


def together(rows: Sequence[Result]) -> Column | None:
    """How many queries were answered together on average, if several could be."""
    several = any(row.first.trial.load.max_batch > 1 for row in rows)
    values = [row.figure("batch_mean") for row in rows]
    return _numbers("together", values, spare=1) if several and any(values) else None


def target(rows: Sequence[Result]) -> Column | None:
    """Whether the percentile kept its limit, where there is one."""
    found = [row.target for row in rows]
    cells = tuple(str(one or "-") for one in found)
    return Column("target", cells, text=True) if any(found) else None


def seconds(name: str, spare: int = 1) -> Figure:
    """Seconds of a preparation step, if trials had it: `compile_s`, `convert_s`."""

    def column(rows: Sequence[Result]) -> Column | None:
        values = [row.first.figures.get(name) for row in rows]
        known = any(value is not None for value in values)
        return _numbers(name.replace("_", " "), values, spare=spare) if known else None

    return column


def article_mean(rows: Sequence[Result]) -> Column:
    """The mean, as the article compares it; never dropped."""
    return mean(rows, spare=None)


def cold_start(rows: Sequence[Result]) -> Column:
    """The cost of the very first call beyond the median."""
    values = [row.first.summary.get("cold_start_ms") for row in rows]
    return _numbers("cold start ms", values, spare=1)


def true_time(rows: Sequence[Result]) -> Column | None:
    """The true time of a simulated device."""
    values = [row.first.figures.get("true_ms") for row in rows]
    return _numbers("true ms", values) if any(value is not None for value in values) else None


def processes(rows: Sequence[Result]) -> Column:
    """The number of processes behind the figures."""
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
    ends = alike([end for b in bounds for end in (b or (None, None))])
    cells = (
        "-" if low == "-" else f"{low} to {high}"
        for low, high in zip(ends[::2], ends[1::2], strict=True)
    )
    return Column("95 % CI", tuple(cells))


def spread(rows: Sequence[Result]) -> Column:
    """The standard deviation between processes."""
    spreads = [row.combined.spread if row.combined else None for row in rows]
    return _percents("spread %", spreads, spare=1)


def fps(rows: Sequence[Result]) -> Column | None:
    """Images per second, over processes; none where queries come at their own rate."""
    if all(row.first.trial.load.name == "server" for row in rows):
        return None
    return _numbers("FPS", [row.images_per_second for row in rows])


def baselines(rows: Sequence[Result]) -> list[Result | None]:
    """For each row, the row with the same trial in eager fp32, if any.

    Records have no secrets: rows that differ only in secrets have no baseline.
    """
    alike: dict[str, list[Result]] = defaultdict(list)
    for row in rows:
        alike[row.first.trial.key].append(row)
    found = [alike.get(row.first.trial.fp32_baseline.key, []) for row in rows]
    return [
        same[0] if len(same) == 1 and same[0] is not row else None
        for row, same in zip(rows, found, strict=True)
    ]


def faster(rows: Sequence[Result]) -> Column | None:
    """The speed-up over the same trial in eager fp32, if that is in the sweep."""
    cells = []
    for row, plain in zip(rows, baselines(rows), strict=True):
        if plain is None or not (plain.each_ms and row.each_ms):
            cells.append("-")
            continue
        ratio = times_as_fast(plain, row)
        bounds = ratio.ci and f" ({ratio.ci[0]:.2f} to {ratio.ci[1]:.2f})"
        cells.append(f"{ratio.value:.2f}{bounds or ''}")
    return None if set(cells) <= {"-"} else Column("speed-up", tuple(cells))


def tflops(rows: Sequence[Result]) -> Column | None:
    """Operations a second, if models, precisions or engines are compared."""
    trials = [row.first.trial for row in rows]
    ways = {(one.model.label, one.runtime, one.engine.name) for one in trials}
    values = [row.tflop_s for row in rows]
    if len(ways) < 2 or not any(values):
        return None
    unit, factor = "TFLOP/s", 1.0
    if max(value or 0.0 for value in values) < 1:
        unit, factor = "GFLOP/s", 1000.0
    return _numbers(unit, [value and factor * value for value in values], spare=1)


def error(rows: Sequence[Result]) -> Column | None:
    """The relative error of the output against the same network in fp32, if it may differ."""
    errors = [row.first.figures.get("rel_error") for row in rows]
    cells = tuple("-" if value is None else f"{value:.0e}" for value in errors)
    return Column("rel err", cells, spare=2) if any(errors) else None


def verdict(rows: Sequence[Result]) -> Column:
    """The worst verdict of the processes, and all their reasons."""
    cells = tuple(verdict_label(row.records) for row in rows)
    return Column("verdict", cells, text=True, words=True)


def _numbers(name: str, values: Sequence[float | None], spare: int | None = None) -> Column:
    return Column(name, alike(values), spare=spare)


def alike(values: Sequence[float | None]) -> tuple[str, ...]:
    """The values of a column, all with as many decimals as its smallest one needs."""
    known = [0.0 if abs(value) < ROUNDING else value for value in values if value is not None]
    least = min((abs(value) for value in known if value), default=1.0)
    decimals = min(max(2, 2 - math.floor(math.log10(least))), MAX_DECIMALS)
    return tuple("-" if value is None else f"{value:.{decimals}f}" for value in values)


def _percents(name: str, shares: Sequence[float | None], spare: int) -> Column:
    cells = tuple("-" if share is None else f"{100 * share:.1f}" for share in shares)
    return Column(name, cells, spare=spare)


def number(value: float | None) -> str:
    """Two decimals, three digits below 1, a dash if unknown."""
    value = 0.0 if value is not None and abs(value) < ROUNDING else value
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


MIN, MAX, SD = (of_samples(name, spare=0) for name in ("min", "max", "std"))
TAIL: tuple[Figure, ...] = (MIN, usual_tail, tail, extreme_tail, MAX, SD)
SERVICE: tuple[Figure, ...] = (
    *(*map(phase, PHASES), phases_sum),
    *(answered, busy, together, target),
)
STEPS = (seconds("compile_s", spare=2), seconds("convert_s"))
OF_TRIALS: tuple[Figure, ...] = (
    *(p50, half_interval, mean, *TAIL, *SERVICE, fps, tflops, faster, error),
    *(*STEPS, verdict),
)
OF_PROCESSES: tuple[Figure, ...] = (
    *(processes, typical, interval, spread, *TAIL, *SERVICE, fps, tflops, faster),
    *(error, *STEPS, verdict),
)
# the article's methods, side by side; their problems are listed below
OF_METHODS: tuple[Figure, ...] = (article_mean, fps, cold_start, true_time, verdict)
BY_NAME: dict[str, Figure] = {  # words of table.columns
    "p50": p50,
    "ci": lambda rows: (interval if any(row.records[1:] for row in rows) else half_interval)(rows),
    "mean": article_mean,
    "sd": of_samples("std"),
    **{name: of_samples(name) for name in ("min", "p25", "p75", "p90", "p95", "p99", "max")},
    "p99.9": of_samples("p999"),
    "fps": fps,
    **{name: phase(name) for name in PHASES},
    "phases_sum": phases_sum,
    "answered": answered,
    "busy": busy,
    "together": together,
    "target": target,
    "tflops": tflops,
    "speedup": faster,
    "error": error,
    "build_s": seconds("build_s"),
    "compile_s": seconds("compile_s"),
    "convert_s": seconds("convert_s"),
    "peak_mib": seconds("peak_mib"),
    "processes": processes,
    "spread": spread,
    "verdict": verdict,
}
