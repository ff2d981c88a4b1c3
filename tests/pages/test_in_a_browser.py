"""The report as a browser opens it: every plot is drawn, nothing is fetched, columns sort."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.browser import browser
from fakes.trials import make_trial, timed

from runner.pages.report import page_of, write

pytestmark = pytest.mark.slow
SOON_MS = 60_000


def test_a_report_of_a_thousand_trials_is_drawn_from_one_file(tmp_path):
    sizes = [make_trial(input={"size": (size, size)}) for size in (64, 128)]
    many = [make_trial(seed=seed) for seed in range(998)]
    one = timed(many[0], figures={"gflop": 1.0})
    records = [*map(timed, sizes), *(replace(one, trial=t, key=t.key) for t in many)]
    plots = sum(len(section.plots) for section in page_of(records, None).sections)
    (html, *_) = write(records, tmp_path)
    asked, wrong = [], []
    with browser() as opened:
        page = opened.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(html.as_uri())
        page.wait_for_function(f"document.body.dataset.drawn == {plots}", timeout=SOON_MS)
        assert page.locator(".js-plotly-plot").count() == plots
        assert page.locator("table tbody tr").count() == 1000
        page.locator("th", has_text="p50 ms").click()
        first, second = (
            float(page.locator("tbody tr").nth(row).locator("td").nth(at).inner_text())
            for row, at in ((0, 2), (1, 2))
        )
        assert first <= second
    assert wrong == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
