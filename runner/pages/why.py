"""Why one side takes longer: the operators and kernels that make the change, as sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.pages.page import Section
from runner.profiles.match import Explanation, Part
from runner.terminal.figures import alike
from runner.terminal.layout import Column

MAX_ROWS = 12  # parts that are listed
MAX_NAMED = 3  # parts in a sentence
MAX_WHERE = 3  # innermost scopes of a place
MAX_NAME = 60  # characters of an operator's or a kernel's name
UNITS = {"gpu": "kernels", "cpu": "operators on the host"}


def sentence_of(found: Explanation) -> str:
    """The largest parts: `mine::blur grew from 8.0 to 9.0 ms (97 % of the change)`."""
    named = [one for one in found.parts if (one.share or 0.0) > 0][:MAX_NAMED]
    if not named:
        return "the profiles of both sides do not differ"
    return "; ".join(map(_part, named))


def _part(part: Part) -> str:
    share = f" ({part.share:.0%} of the change)" if part.share is not None else ""
    times = f"from {part.old_us / 1000:.4g} to {part.new_us / 1000:.4g} ms"
    what = _short(part.what)
    if part.kind == "new":
        return f"{what} is new, {part.new_us / 1000:.4g} ms{share}"
    if part.kind == "gone":
        return f"{what} is gone, {part.old_us / 1000:.4g} ms{share}"
    if part.kind == "replaced":
        return f"{what.replace(' -> ', ' was replaced by ')}, {times}{share}"
    return f"{what} {part.kind} {times}{share}"


def sections_of(found: Explanation, heading: str = "Why") -> Iterator[Section]:
    """The parts place by place, and each operator over all its places."""
    yield Section(
        heading,
        tuple(_lines(found)),
        _columns(found.parts[:MAX_ROWS]) if found.parts else (),
        note="times are those of a profile, in which every operator takes longer than it does when "
        "timed; replaced: other names below the same operator, as kernels have on other versions",
    )
    if found.by_operator:
        yield Section(
            f"{heading}, over all places", (), _columns(found.by_operator[:MAX_ROWS]), folded=True
        )


def _lines(found: Explanation) -> Iterator[str]:
    unit = UNITS[found.unit]
    old, new = found.old_us / 1000, found.new_us / 1000
    yield sentence_of(found)
    yield f"{unit} of a pass: {old:.4g} ms -> {new:.4g} ms when profiled"
    if found.explained is not None and found.parts:
        yield f"the listed parts make {found.explained:.0%} of that change"
    if found.old_launches or found.new_launches:
        yield f"kernel launches of a pass: {found.old_launches:.0f} -> {found.new_launches:.0f}"


def _columns(parts: Sequence[Part]) -> tuple[Column, ...]:
    columns = (
        Column("change", tuple(one.kind for one in parts), text=True),
        Column("operator or kernel", tuple(_short(one.what) for one in parts), text=True),
        Column("where", tuple(_where(one) for one in parts), text=True, spare=2),
        Column("old ms", alike([one.old_us / 1000 for one in parts])),
        Column("new ms", alike([one.new_us / 1000 for one in parts])),
        Column("calls", tuple(_calls(one) for one in parts), spare=1),
        Column("share %", tuple(_share(one) for one in parts)),
    )
    return tuple(one for one in columns if any(one.cells))


def _share(part: Part) -> str:
    return "" if part.share is None else f"{100 * part.share:.0f}"


def _calls(part: Part) -> str:
    if part.old_calls == part.new_calls:
        return f"{part.new_calls:g}"
    return f"{part.old_calls:g} -> {part.new_calls:g}"


def _where(part: Part) -> str:
    return " > ".join(part.where[1:][-MAX_WHERE:])


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 3]}..."
