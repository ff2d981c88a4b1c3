"""The tables at the end of a sweep; durations in milliseconds.

What is the same in all trials stands once above the table. A number is never cut and the
verdict never left out: where there is no room, other columns are, and at last the table is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from runner.record import Record
from runner.statistics.processes import combine
from runner.trial import VERDICTS, varied

BETWEEN = 3  # blanks between two columns
NARROWEST_TEXT = 12  # of a name that may be broken


@dataclass(frozen=True)
class Column:
    """A column and its cells, one for each row.

    `text` may be broken over lines, at blanks if it is `words`; columns with a `spare` number
    (1 to 3) are left out where there is no room, the lowest first.
    """

    name: str
    cells: tuple[str, ...]
    text: bool = False
    words: bool = False
    spare: int | None = None

    @property
    def width(self) -> int:
        """What it needs without breaking anything."""
        return max(map(len, (self.name, *self.cells)))

    @property
    def unbroken(self) -> int:
        """What it needs with lines broken at blanks only, where those are words."""
        if not self.words:
            return self.width
        return max(len(word) for cell in (self.name, *self.cells) for word in cell.split())

    @property
    def least(self) -> int:
        """What it needs at least."""
        if self.text and not self.words:
            return min(self.width, NARROWEST_TEXT)
        return self.unbroken


def show(records: Sequence[Record], console: Console) -> None:
    """Print the table that suits the sweep, as wide as the console at most."""
    same, columns = columns_of(records)
    lines = ["", f"all trials: {same}"] if same else [""]
    widths = fitting(columns, console.width)
    if widths is None:
        for row in zip(*(column.cells for column in columns), strict=True):
            named = zip((column.name for column in columns), row, strict=True)
            lines.append(", ".join(f"{name} {cell}" for name, cell in named))
    else:
        with console.capture() as captured:
            console.print(_table(widths))
        lines += captured.get().splitlines()
    for line in [*lines, ""]:
        console.out(line.rstrip() if not console.is_terminal else line, highlight=False)


def fitting(columns: Sequence[Column], width: int) -> dict[Column, int] | None:
    """The columns for which there is room and their widths; None if some must go that may not.

    The first spare column goes before a name is broken, the others after.
    """
    for spared, broken in ((0, False), (1, False), (1, True), (2, True), (3, True)):
        kept = [column for column in columns if column.spare is None or column.spare > spared]
        widths = {column: column.least if broken else column.unbroken for column in kept}
        room = width - sum(widths.values()) - BETWEEN * (len(kept) - 1)
        if room < 0:
            continue
        for column in kept:  # names first, then the verdict
            more = min(room, column.width - widths[column])
            widths[column] += more
            room -= more
        return widths
    return None


def _table(widths: dict[Column, int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=False)
    for column, width in widths.items():
        justify: Literal["left", "right"] = "left" if column.text else "right"
        table.add_column(column.name, justify=justify, width=width, overflow="fold")
    for row in zip(*(column.cells for column in widths), strict=True):
        table.add_row(*row)
    return table


def columns_of(records: Sequence[Record]) -> tuple[str, list[Column]]:
    """What is the same in all trials, as a line, and the columns of what differs and came out."""
    if shows_processes(records):
        return _processes(records)
    settings = _settings(records)
    if shows_methods(records):
        figures = _figures_of_methods(records)
        same, differing = _apart(settings, ("method", "warm-up"))
    else:
        figures = _figures(records)
        same, differing = _apart(settings)
    return same, [*differing, *figures]


def shows_methods(records: Sequence[Record]) -> bool:
    """Whether the ways of timing are what is compared."""
    methods = {record.trial["timing"]["method"] for record in records}
    return "naive" in methods and len(records) > 1 and not shows_processes(records)


def shows_processes(records: Sequence[Record]) -> bool:
    """Whether there are several processes of a trial."""
    return any(record.repeat for record in records)


def _settings(records: Sequence[Record]) -> list[Column]:
    """A column for each setting that a title names, and for each other that differs."""
    trials = [record.trial for record in records]
    named = {
        "model": [trial["model"]["target"] or trial["model"]["name"] for trial in trials],
        "size": [size_label(trial["input"]["size"]) for trial in trials],
        "batch": [str(trial["input"]["batch_size"]) for trial in trials],
        "warm-up": [str(trial["timing"]["warmup"]) for trial in trials],
        "method": [trial["timing"]["method"] for trial in trials],
    }
    others = varied(trials)
    named |= {name: [settings[name] for settings in others] for name in others[0]}
    return [
        Column(name, tuple(cells), text=name not in ("size", "batch", "warm-up"))
        for name, cells in named.items()
    ]


def _apart(settings: Sequence[Column], shown: Sequence[str] = ()) -> tuple[str, list[Column]]:
    """The settings that are the same in all rows, as a line, and those that differ."""
    differing = [s for s in settings if len(set(s.cells)) > 1 or s.name in shown]
    same = ", ".join(f"{s.name} {s.cells[0]}" for s in settings if s not in differing)
    return same, differing


def _figures(records: Sequence[Record]) -> list[Column]:
    """One row per trial, in the order they ran; +- is half the 95 % interval of the median."""
    widths = [record.half_width() for record in records]
    return [
        _numbers("p50 ms", [record.summary.get("p50_ms") for record in records]),
        Column(
            "+- %",
            tuple("-" if width is None else f"{100 * width:.1f}" for width in widths),
            spare=2,
        ),
        _numbers("mean ms", [record.summary.get("mean_ms") for record in records], spare=1),
        _numbers("FPS", [_images_per_second(record) for record in records]),
        _verdicts([[record] for record in records]),
    ]


def _processes(records: Sequence[Record]) -> tuple[str, list[Column]]:
    """One row per trial key, its processes taken together.

    The interval is that of the typical time over processes; the spread is their standard
    deviation.
    """
    keys: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        keys[record.key].append(index)
    groups = [[records[index] for index in indices] for indices in keys.values()]
    firsts = [indices[0] for indices in keys.values()]
    settings = [
        replace(column, cells=tuple(column.cells[index] for index in firsts))
        for column in _settings(records)
    ]
    found = []
    for group in groups:
        typical = [_typical_ms(record) for record in group]
        known = [value for value in typical if value is not None and value > 0]
        found.append(combine(known) if known else None)
    rates = [
        [rate for record in group if (rate := _images_per_second(record)) is not None]
        for group in groups
    ]
    done = [sum(record.completed for record in group) for group in groups]
    bounds = [one.ci_ms if one else None for one in found]
    spreads = [one.spread if one else None for one in found]
    same, differing = _apart(settings)
    return same, [
        *differing,
        Column(
            "processes",
            tuple(
                f"{n}" if n == len(group) else f"{n} of {len(group)}"
                for n, group in zip(done, groups, strict=True)
            ),
            spare=3,
        ),
        _numbers("p50 ms", [one.median_ms if one else None for one in found]),
        Column(
            "95 % CI",
            tuple("-" if b is None else f"{number(b[0])} to {number(b[1])}" for b in bounds),
        ),
        Column(
            "spread %",
            tuple("-" if spread is None else f"{100 * spread:.1f}" for spread in spreads),
            spare=1,
        ),
        _numbers("FPS", [fmean(group) if group else None for group in rates]),
        _verdicts(groups),
    ]


def _figures_of_methods(records: Sequence[Record]) -> list[Column]:
    """The article's figures: the ways of timing side by side; what is wrong with each is below."""
    columns = [
        _numbers("mean ms", [record.summary.get("mean_ms") for record in records]),
        _numbers("FPS", [_images_per_second(record) for record in records]),
        _numbers("cold start ms", [r.summary.get("cold_start_ms") for r in records], spare=1),
    ]
    known = [record.series.get("true_ms") for record in records]
    if any(value is not None for value in known):
        columns.append(_numbers("true ms", known))
    return [*columns, _verdicts([[record] for record in records])]


def _typical_ms(record: Record) -> float | None:
    """The median, or the mean where a sample is a mean already; None for pipelined passes."""
    name = "p50_ms" if record.summary.get("inner", 1) == 1 else "mean_ms"
    value: float | None = record.summary.get(name)
    return value


def _numbers(name: str, values: Sequence[float | None], spare: int | None = None) -> Column:
    return Column(name, tuple(map(number, values)), spare=spare)


def _percents(name: str, shares: Sequence[float | None], spare: int) -> Column:
    cells = tuple("-" if share is None else f"{100 * share:.1f}" for share in shares)
    return Column(name, cells, spare=spare)


def _verdicts(groups: Sequence[Sequence[Record]]) -> Column:
    return Column("verdict", tuple(map(verdict_label, groups)), text=True, words=True)


def size_label(size: Sequence[int]) -> str:
    """`640` for a square input, `480x640` (height x width) for another."""
    height, width = size
    return str(height) if height == width else f"{height}x{width}"


def _images_per_second(record: Record) -> float | None:
    """Throughput where it was measured, else closed-loop FPS."""
    rate: float | None = record.summary.get("img_s") or record.summary.get("fps")
    return rate


def number(value: float | None) -> str:
    """Two decimals, three digits below 1, a dash for what is not known."""
    return "-" if value is None else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def verdict_label(group: Sequence[Record]) -> str:
    """The worst verdict of the processes and all their reasons, or what ended them."""
    ended = sorted({record.status for record in group if not record.completed})
    if any(record.completed and record.verdict is None for record in group):
        ended.append("not judged")
    levels = {record.verdict for record in group}
    worst = next((level for level in VERDICTS if level in levels), None)
    codes = dict.fromkeys(
        reason["code"] for record in group for reason in record.reasons if reason["level"] != "note"
    )
    judged = [f"{worst}: {' '.join(codes)}" if codes else worst] if worst else []
    return ", ".join([*ended, *judged])
