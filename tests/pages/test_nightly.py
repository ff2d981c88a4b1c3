"""The report of a night, and the page of all nights, from judged nights."""

from __future__ import annotations

from xml.etree import ElementTree

from fakes.nights import FACTS, MEDIANS_MS, make_night, make_nights, night_id

from runner.history.decisions import Decisions
from runner.history.nightly import judge_night
from runner.pages import history_page
from runner.pages.nightly import Report, headline, junit_of, page_of, values_of
from runner.pages.page import to_html, to_markdown

SLOW_B = MEDIANS_MS | {"b": 23.0}
OLD, NEW = FACTS | {"gpu_driver": "550"}, FACTS | {"gpu_driver": "560"}


def judged(tonight, before, *entries):
    return judge_night(tonight, before, Decisions(entries))


def test_a_changed_commit_is_told_with_those_that_lie_between():
    tonight = make_night(9, SLOW_B, FACTS | {"git_commit": "2222222"})
    commits = {("1111111", "2222222"): ["2222222 Make it slower", "1800000 Tidy up"]}
    report = Report(
        judged(tonight, make_nights(8)), "outputs",
        lambda old, new: commits[old, new], {"b": "http://host/#/b"},
    )  # fmt: skip
    text = to_markdown(page_of(report))
    assert "commit 2222222 Make it slower; commit 1800000 Tidy up" in text
    assert "b 64px: http://host/#/b" in text
    assert "python -m runner.reproduce outputs/nightly-2026-11-09/b" in text
    assert values_of(report, 3)["trials"][0]["mlflow"] == "http://host/#/b"


def test_the_headline_fits_a_chat():
    names = {f"m{number}": 10.0 + number for number in range(20)}
    slow = {name: 1.2 * ms if ms < 16 else ms for name, ms in names.items()}
    found = judged(make_night(9, slow), make_nights(8, medians_ms=names))
    line = headline(found)
    assert line.startswith("nightly-2026-11-09 on here: 6 regressions (m3 64px +")
    assert line.endswith(" and 3 more), 14 passed")
    assert len(line) < 160


def test_a_step_across_a_driver_is_told_in_the_nights_health():
    before = [*make_nights(6, facts=OLD), *make_nights(4, 7, medians_ms=SLOW_B, facts=NEW)]
    report = Report(judged(make_night(11, SLOW_B, NEW), before), "outputs")
    (health, *_) = page_of(report).sections
    (step,) = [line for line in health.lines if line.startswith("new baseline")]
    assert "since nightly-2026-11-07 (gpu_driver: 550 -> 560): b 64px +1" in step


def test_names_that_xml_does_not_take_are_told_all_the_same():
    night = make_night(2, {"a\x07<&": 10.0})
    root = ElementTree.fromstring(junit_of(Report(judged(night, make_nights(1)), "outputs")))
    assert any(case.get("name") == "a?<& 64px" for case in root)


def test_all_nights_are_drawn_with_their_marks_the_worst_first():
    before = [*make_nights(6, facts=OLD), *make_nights(5, 7, facts=NEW)]
    flag = {"flag": night_id(9), "reason": "hot"}
    page = history_page.page_of(judged(make_night(12, SLOW_B, NEW), before, flag), "nightly")
    assert page.sections[0].heading.startswith("b 64px: regression +1")
    (plot,) = page.sections[0].plots
    nights, flagged = plot.figure.data
    assert len(nights.x) == 11
    assert list(flagged.x) == ["2026-11-09"]
    assert [note.text for note in plot.figure.layout.annotations] == ["gpu_driver 560"]
    assert "all nights" in to_html(page)
