"""Lines on a terminal: wrapped at words, with a hanging indent and verdicts in colour."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from runner.terminal.text import coloured, print_line, wrapped

REASON = (
    "NO_WARMUP: resnet50 640px b1 w0 event: no warm-up: the first iteration took 1546.05 ms "
    "against a median of 46.05, which changes the mean by +32.6%; raise timing.warmup"
)
LINK = (
    "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=x"
)


@pytest.mark.parametrize("width", [40, 80, 100, 120])
def test_a_sentence_breaks_at_blanks_and_its_further_lines_are_indented(width):
    first, *others = wrapped(REASON, width)
    assert max(map(len, (first, *others))) <= width
    assert first.startswith("NO_WARMUP: ")
    assert all(line.startswith("    ") and line[4] != " " for line in others)
    assert " ".join([first, *(line.strip() for line in others)]) == REASON


@pytest.mark.parametrize(
    "line",
    [
        f"          {LINK}",
        "MLflow    mlflow ui --backend-store-uri sqlite:///a/long/folder/outputs/mlflow.db "
        "--port 5",
        f"          over input.size: {LINK}",
        "records   outputs/a-sweep-with-a-very-long-name-that-no-terminal-of-eighty-columns-has/x/",
        "resume    python -m runner "
        "sweep.resume=a-sweep-with-a-very-long-name-of-more-than-80-chars",
    ],
)
def test_what_is_copied_stays_in_one_line(line):
    assert wrapped(line, 80) == [line]


def test_a_labelled_sentence_hangs_below_its_text():
    line = f"weights   random; {'so it is, ' * 12}"
    first, *others = wrapped(line, 60)
    assert first.startswith("weights   random; ")
    assert all(other.startswith(" " * 10) and other[10] != " " for other in others)


def test_an_address_in_a_sentence_stays_whole():
    lines = wrapped(f"warning: something is wrong with the page at {LINK} so look there", 60)
    assert any(LINK in line for line in lines)


def styles(line):
    text = coloured(line)
    return {text.plain[one.start : one.end]: str(one.style) for one in text.spans}


def test_verdicts_and_codes_are_coloured_where_they_judge():
    line = "[1/2] resnet18 64px b1 w2 wall: p50 9 ms, 99 FPS: suspect: NOISY; 2 invalid, 3 min left"
    assert styles(line) == {"suspect": "yellow", "invalid": "bold red"}
    assert styles("3 trials compared: 1 slower, 2 same") == {"slower": "bold red", "same": "green"}
    assert styles("note: DENORMAL: 3% of the weights") == {"DENORMAL": "bold"}
    assert styles("warning: no folder") == {"warning": "yellow"}
    assert styles("all trials: padding same_as_before, a valid name") == {}


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {}])
def test_only_a_terminal_that_wants_it_gets_colour(monkeypatch, environment):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    print_line(terminal, "x: valid")
    assert ("\x1b[32m" in terminal.file.getvalue()) == (not environment)
    piped = Console(file=io.StringIO(), width=80)
    print_line(piped, REASON)
    assert piped.file.getvalue() == f"{REASON}\n"  # one line, for grep
