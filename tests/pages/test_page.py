"""A page, in each of its forms: whole, escaped, and with nothing from anywhere."""

from __future__ import annotations

import io
import re

import plotly.graph_objects as go
import pytest
from rich.console import Console

from runner.pages.page import Page, Plot, Section, to_html, to_markdown, to_text
from runner.terminal.layout import Column

EVIL = "</script><b>*_x|y"


@pytest.fixture
def page():
    table = (
        Column("model", (EVIL, "vgg11"), text=True),
        Column("p50 ms", ("1.50", "2.00")),
        Column("verdict", ("valid", "invalid: NO_SYNC"), text=True),
    )
    plot = Plot(go.Figure(go.Bar(x=[EVIL], y=[1.0])), "a bar")
    return Page(
        EVIL,
        ("on a CPU",),
        (
            Section("first", ("one", "two"), table, (plot,), "a note"),
            Section("only a plot", plots=(plot,)),
        ),
    )


def test_html_is_one_file_that_asks_nobody_and_in_which_names_stay_names(page):
    html = to_html(page)
    assert "<b>" not in html
    assert "</script><b" not in html
    assert html.count('<td data-name="verdict" class="text good">valid</td>') == 1
    assert '<td data-name="verdict" class="text bad">invalid: NO_SYNC</td>' in html
    assert html.count("<figure>") == 2
    outside = html.replace(html[html.index('id="library">') : html.rindex("<script>")], "")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", outside)


def test_a_page_without_plots_does_not_carry_their_library(page):
    plain = Page(page.title, page.facts, (Section("first", ("one",)),))
    assert len(to_html(plain)) < 10_000 < 1_000_000 < len(to_html(page))


def test_markdown_has_the_words_and_the_table(page):
    text = to_markdown(page)
    assert "## first\n\n- one\n- two\n\n| model | p50 ms | verdict |\n| :-- | --: | :-- |" in text
    assert r"| \</script>\<b>\*\_x\|y | 1.50 | valid |" in text
    assert "only a plot" not in text


def test_a_terminal_gets_the_same_as_wide_as_it_is(page):
    console = Console(file=io.StringIO(), width=60)
    to_text(page, console)
    text = console.file.getvalue()
    assert text.startswith(f"{EVIL}\non a CPU\n\nfirst:\none\ntwo\n")
    assert "vgg11" in text
    assert "a note" in text
