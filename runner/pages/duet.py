"""The page of a duet: the answer, its rounds one by one, and how the two sides differ."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from runner.contract import counted
from runner.pages.page import Page, Plot, Section
from runner.pages.plot_style import GREY, colour, make_plot
from runner.pages.why import sections_of
from runner.profiles.match import Explanation
from runner.records.duets import DuetFile, DuetSide
from runner.statistics.sequential import decide
from runner.terminal.duets import noise_of, sentence_of
from runner.terminal.figures import alike
from runner.terminal.layout import Column


def page_of(duet: DuetFile, log_ratios: Sequence[float], why: Explanation | None = None) -> Page:
    """The page of a duet with the value of each round, and why its sides differ, if profiled."""
    facts = [
        _fact("old", duet.old),
        _fact("new", duet.new),
        f"on {duet.device} of {duet.host}, order drawn by seed {duet.seed}; judged after "
        f"{', '.join(map(str, duet.looks))} rounds, at most {duet.alpha:.2%} wrong in all",
    ]
    noise = noise_of(duet)
    lines = [sentence_of(duet), *([f"noise: {noise}"] if noise else []), *duet.notes]
    sections = [Section("", tuple(lines))]
    if why is not None:
        sections += sections_of(why)
    if duet.differs:
        sections.append(Section("How the two sides differ", tuple(duet.differs)))
    if len(duet.rounds) > 1:
        sections.append(Section("Rounds", plots=(_plot(duet, log_ratios),)))
    if duet.rounds:
        sections.append(Section("Rounds as a table", (), _columns(duet), folded=True))
    title = f"{duet.new.title}: {duet.old.name} -> {duet.new.name}"
    return Page(title, tuple(facts), tuple(sections))


def _fact(role: str, side: DuetSide) -> str:
    commit = f", commit {side.commit[:12]}" if side.commit else ""
    return f"{role}: {side.name}, {side.title}{commit}, run by {side.python}"


def _columns(duet: DuetFile) -> tuple[Column, ...]:
    rounds = duet.rounds
    return (
        Column("round", tuple(str(one.number) for one in rounds)),
        Column("old ms", alike([one.old_ms for one in rounds])),
        Column("new ms", alike([one.new_ms for one in rounds])),
        Column("new / old", tuple(f"{one.new_ms / one.old_ms:.4f}" for one in rounds)),
        Column("began with", tuple(one.first for one in rounds), text=True, spare=2),
        Column("old is", tuple(one.verdicts[0] for one in rounds), text=True, spare=1),
        Column("new is", tuple(one.verdicts[1] for one in rounds), text=True, spare=1),
    )


def _plot(duet: DuetFile, log_ratios: Sequence[float]) -> Plot:
    """The ratio of each round, and the interval of their mean at each look."""
    numbers = [one.number for one in duet.rounds]
    ratios = [one.new_ms / one.old_ms for one in duet.rounds]
    looks = [look for look in duet.looks if look <= len(log_ratios)] or [len(log_ratios)]
    found = [decide(log_ratios[:look], duet.looks, duet.alpha, duet.margin) for look in looks]
    margin = {"color": GREY, "width": 1, "dash": "dash"}
    ends = [0.5, max(numbers[-1], looks[-1]) + 0.5]
    limits = [
        go.Scatter(
            x=ends, y=[level, level], mode="lines", line=margin, showlegend=False,
            hoverinfo="skip",
        )
        for level in (1 - duet.margin, 1 + duet.margin)
    ]  # fmt: skip
    rounds = go.Scatter(
        x=numbers, y=ratios, mode="markers", name="rounds",
        marker={"color": colour(0), "size": 8},
    )  # fmt: skip
    interval = go.Scatter(
        x=looks, y=[one.ratio for one in found], mode="markers", name="mean so far",
        marker={"color": colour(1), "symbol": "square", "size": 9},
        error_y={
            "type": "data",
            "array": [one.ci[1] - one.ratio for one in found],
            "arrayminus": [one.ratio - one.ci[0] for one in found],
        },
    )  # fmt: skip
    return make_plot(
        [*limits, rounds, interval],
        "Time of the new side over that of the old one, round by round",
        "round",
        "new / old",
        f"{counted(len(numbers), 'round')} of a duet: {sentence_of(duet)}",
        marks=(
            "above 1 the new side is slower",
            f"squares: the mean with its interval at each look, valid with {1 - duet.alpha:.2%} "
            "over all looks",
            f"dashed: changes below {duet.margin:.0%}, which do not matter",
        ),
    )
