"""Report and night as people see them: light, dark, on a phone, printed (RUNNER_PICTURES)."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from fakes.browser import browser
from fakes.nights import FACTS, MEDIANS_MS, make_night, make_nights
from fakes.trials import make_trial, timed

from runner.history.decisions import Decisions
from runner.history.nightly import judge_night
from runner.pages.night_page import night_page
from runner.pages.nightly import Report
from runner.pages.page import to_html
from runner.pages.report import write

pytestmark = pytest.mark.slow
SOON_MS = 60_000
MIN_CONTRAST = 4.5  # of text, WCAG 2.1 AA
LUMINANCE = """
window.luminance = colour => {
  const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).slice(0, 3).map(part => {
    const share = part / 255;
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
window.contrast = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
"""
FAINT = """() => {
  const paper = getComputedStyle(document.body).backgroundColor, faint = [];
  for (const one of document.querySelectorAll("h1, h2, p, li, td, figcaption, summary, a")) {
    if (!one.textContent.trim()) continue;
    const ratio = contrast(getComputedStyle(one).color, paper);
    if (ratio < 4.5) faint.push(one.textContent.slice(0, 40) + " " + ratio.toFixed(2));
  }
  for (const one of document.querySelectorAll(".js-plotly-plot text")) {
    const ratio = contrast(getComputedStyle(one).fill, paper);
    if (one.textContent.trim() && ratio < 4.5) faint.push(one.textContent + " " + ratio.toFixed(2));
  }
  return faint;
}"""
WIDE = """() => [...document.querySelectorAll("body *")]
  .filter(one => !one.closest(".scroll, svg, .js-plotly-plot")
                 && one.getBoundingClientRect().right > innerWidth + 1)
  .map(one => one.tagName + " " + one.textContent.slice(0, 40))"""
TICKS = """() => [...document.querySelectorAll(".js-plotly-plot")].flatMap(plot =>
  ["xaxis", "yaxis"].filter(name => plot._fullLayout[name].type === "log").map(name => {
    const axis = plot._fullLayout[name], [low, high] = axis.range;
    return axis.tickvals.filter(tick => Math.log10(tick) >= low && Math.log10(tick) <= high).length;
  }))"""


def sweep():
    """Two models at sizes and batches, one trial invalid, one suspect, some outliers."""
    records = []
    for name, size, batch in product(
        ("resnet18", "efficientnet_v2_s"), (64, 96, 128), (1, 2, 4, 8)
    ):
        trial = make_trial(
            model={"name": name}, input={"size": (size, size), "batch_size": batch},
            timing={"warmup": 10},
        )  # fmt: skip
        ms = 5.0 * (size / 64) ** 1.2 * (batch**0.8) * (1 if name == "resnet18" else 1.3)
        record = timed(trial, ms, figures={"gflop": 2.0 * batch * (size / 64) ** 2})
        if (name, size, batch) == ("resnet18", 96, 2):
            record = replace(record, verdict="invalid")
        records.append(record)
    return records


def report_file(folder):
    return next(path for path in write(sweep(), folder) if path.suffix == ".html")


def night_file(folder):
    slow = MEDIANS_MS | {"b": MEDIANS_MS["b"] * 1.1}
    tonight = make_night(12, slow, FACTS | {"git_commit": "2222222"})
    judgement = judge_night(tonight, make_nights(11), Decisions(()))
    links = dict.fromkeys(MEDIANS_MS, "http://127.0.0.1:5000/#/experiments/1/runs/x")
    path = folder / "night.html"
    page = night_page(Report(judgement, "outputs", link_of=links), "../nightly.html")
    path.write_text(to_html(page))
    return path


FILES = {"report": report_file, "night": night_file}
LOOKS = {
    "light": ("light", 1080),
    "dark": ("dark", 1080),
    "phone": ("light", 400),
    "dark phone": ("dark", 400),
}


def keep_picture(page, name):
    if folder := os.environ.get("RUNNER_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def opened():
    with browser() as one:
        yield one


def shown(opened, path, scheme, width):
    page = opened.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    page.add_init_script(LUMINANCE)
    page.goto(path.as_uri())
    plots = page.locator("figure > div").count()
    if plots:
        page.wait_for_function(f"document.body.dataset.drawn == {plots}", timeout=SOON_MS)
    return page


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("look", LOOKS)
def test_nothing_overflows_is_faint_or_empty(opened, tmp_path, what, look):
    page = shown(opened, FILES[what](tmp_path), *LOOKS[look])
    keep_picture(page, f"{what} {look}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(WIDE) == []
    assert page.evaluate(FAINT) == []
    assert all(page.locator("h1, h2, summary, figcaption").all_inner_texts())
    paper = page.evaluate("luminance(getComputedStyle(document.body).backgroundColor)")
    assert (paper < 0.1) == (LOOKS[look][0] == "dark")
    if look in ("light", "dark"):
        scrolls = "[...document.querySelectorAll('.scroll')]"
        assert page.evaluate(f"{scrolls}.every(one => one.scrollWidth <= one.clientWidth)")
    if what == "report":
        assert min(page.evaluate(TICKS)) >= 3
    page.close()


@pytest.mark.parametrize("what", FILES)
def test_print_shows_all_rows_on_white_paper_and_opens_what_is_folded(opened, tmp_path, what):
    page = shown(opened, FILES[what](tmp_path), "dark", 1080)
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    keep_picture(page, f"{what} print")
    assert page.evaluate("luminance(getComputedStyle(document.body).color)") < 0.1
    assert page.evaluate(
        "[...document.querySelectorAll('.scroll')].every(one => one.scrollHeight <= "
        "one.clientHeight + 1)"
    )
    assert page.evaluate("[...document.querySelectorAll('details')].every(one => one.open)")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.evaluate("[...document.querySelectorAll('details')].some(one => one.open)")
    assert len(page.pdf()) > 10_000
    page.close()


def test_invalid_points_are_hollow_and_every_mark_is_explained(opened, tmp_path):
    page = shown(opened, report_file(tmp_path), "light", 1080)
    hollow = page.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot.data)"
        ".filter(one => /: invalid$/.test(one.name)).map(one => one.marker.symbol)"
    )
    assert hollow
    assert all(symbol.endswith("-open") for symbol in hollow)
    text = " ".join(page.locator(".marks").all_inner_texts())
    for mark in ("hollow: invalid", "circled: 95 % of the best", "grey band: warm-up"):
        assert mark in text
    rings = page.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot.data)"
        ".some(one => one.marker && one.marker.symbol === 'circle-open' && one.marker.size > 15)"
    )
    assert rings == ("circled" in text)
    assert "6 of 24 trials are drawn" in text
    page.close()


def test_a_night_is_a_headline_and_a_row_for_each_trial(opened, tmp_path):
    page = shown(opened, night_file(tmp_path), "light", 1080)
    context = page.context
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    assert "1 regression" in page.locator("h1").inner_text()
    rows = page.locator("tbody tr")
    assert rows.count() == len(MEDIANS_MS)
    first = rows.first
    assert first.locator("td").first.inner_text() == "regression"
    assert "git_commit: 1111111 -> 2222222" in first.inner_text()
    assert first.locator("svg polyline").count() == 1
    links = first.locator("a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert links == ["http://127.0.0.1:5000/#/experiments/1/runs/x", "../nightly.html#b"]
    assert (
        first.locator("button")
        .get_attribute("data-copy")
        .startswith("python -m runner.reproduce outputs/nightly-2026-11-12/")
    )
    assert page.locator("details").count() == 2
    assert page.locator("details[open]").count() == 0
    assert page.locator("body").inner_text().count("exit code") <= 1
    page.close()
