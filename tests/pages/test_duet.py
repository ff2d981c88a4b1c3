"""The page of a duet: the answer, why, and each round."""

from __future__ import annotations

import math

import pytest

from runner.pages.duet import page_of
from runner.pages.page import to_html, to_markdown
from runner.pages.why import sentence_of
from runner.profiles.match import Explanation, Part
from runner.records.duets import DuetFile, DuetRound, DuetSide
from runner.terminal.duets import look_of, noise_of
from runner.terminal.duets import sentence_of as answer_of

AT = "2026-11-28T02:00:00+00:00"
OLD = DuetSide("HEAD~1", "net 64px", "key", "/venv/bin/python", commit="a" * 40)
NEW = DuetSide(".", "net 64px", "key", "/venv/bin/python")


def make_duet(verdict="slower", ratio=1.05, ci=(1.04, 1.06), rounds=6, **changes):
    values = {
        "duet_id": "d", "old": OLD, "new": NEW, "device": "cpu", "host": "here", "seed": 0,
        "looks": [6, 12, 24, 48], "alpha": 0.01, "margin": 0.02, "planned_at": AT,
        "rounds": [
            DuetRound(n + 1, "old", 10.0, (ratio or 1.0) * (10.0 + n / 1000), AT)
            for n in range(rounds)
        ],
        "verdict": verdict, "ratio": ratio, "ci": ci,
    }  # fmt: skip
    return DuetFile(**values | changes)


def part(kind, what, old_us, new_us, share):
    return Part(kind, what, ("runner::pass", "layer1"), old_us, new_us, 1, 2, share)


WHY = Explanation(
    "cpu", 9000.0, 9500.0, 0, 0,
    (
        part("grew", "aten::conv2d", 8000.0, 8400.0, 0.8),
        part("new", "aten::<copy>_", 0.0, 100.0, 0.2),
        part("gone", "aten::pad", 10.0, 0.0, -0.02),
    ),
    (), 0.98,
)  # fmt: skip


@pytest.mark.parametrize(
    ("duet", "answer"),
    [
        (make_duet(), "slower: +5.0 % (+4.0 % to +6.0 %) after 6 rounds"),
        (make_duet("faster", 0.95, (0.94, 0.96)), "faster: -5.0 % (-6.0 % to -4.0 %) after 6"),
        (make_duet("same", 1.0, (0.99, 1.01)), "same within 2%: +0.0 % (-1.0 % to +1.0 %)"),
        (
            make_duet("undecided", 1.01, (0.99, 1.03), 48),
            "undecided: +1.0 % (-1.0 % to +3.0 %) after 48 rounds; not excluded: +3.0 % slower",
        ),
        (
            make_duet("failed", None, None, 0, failed="old", why="it crashed"),
            "failed: the old side (HEAD~1): it crashed",
        ),
        (make_duet(None, None, None, 1), "not finished: 1 round"),
    ],
)
def test_the_answer_is_one_sentence(duet, answer):
    assert answer_of(duet).startswith(answer)


def test_the_noise_says_what_the_machine_resolves():
    duet = make_duet("same", 1.0, (0.98, 1.02), spread=0.006)
    assert noise_of(duet) == "0.6 % between rounds; 6 rounds resolve 2 %"
    assert noise_of(make_duet(None, None, None, 1)) == ""


def test_a_look_is_a_line():
    assert look_of(make_duet()) == "6 rounds: +5.0 % (+4.0 % to +6.0 %)"
    assert look_of(make_duet(None, None, None, 1)) == "1 round"


def test_the_page_has_the_answer_the_reason_and_every_round():
    duet = make_duet(differs=["torch: 2.13 -> 2.14"])
    page = page_of(duet, [math.log(1.05) + n / 1e4 for n in range(6)], WHY)
    html, text = to_html(page), to_markdown(page)
    assert page.title == "net 64px: HEAD~1 -> ."
    for shown in ("slower: +5.0 %", "aten::conv2d grew from 8 to 8.4 ms (80% of the change)"):
        assert shown in html
    assert "aten::&lt;copy&gt;_ is new, 0.1 ms" in html
    assert "torch: 2.13 -&gt; 2.14" in html
    assert "commit aaaaaaaaaaaa," in text
    (plot,) = [plot for section in page.sections for plot in section.plots]
    assert len(plot.figure.data[-2].x) == 6


@pytest.mark.parametrize("rounds", [0, 1])
def test_a_duet_that_has_hardly_begun_has_a_page(rounds):
    duet = make_duet(None, None, None, rounds)
    assert "not finished" in to_html(page_of(duet, [0.05] * rounds))


def test_replaced_kernels_and_equal_profiles_are_sentences():
    replaced = Explanation(
        "gpu", 100.0, 160.0, 1, 2, (part("replaced", "old_kernel -> new_kernel", 40, 100, 1.0),),
        (), 1.0,
    )  # fmt: skip
    assert sentence_of(replaced) == (
        "old_kernel was replaced by new_kernel, from 0.04 to 0.1 ms (100% of the change)"
    )
    same = Explanation("cpu", 100.0, 100.0, 0, 0, (), (), None)
    assert sentence_of(same) == "the profiles of both sides do not differ"
