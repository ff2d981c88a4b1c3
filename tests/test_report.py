"""`python -m runner.report`: pages of sweeps, here or as files."""

from __future__ import annotations

import pytest
from fakes.trials import make_trial, timed, write_sweep

from runner.report import main

TRIALS = [make_trial(input={"size": (size, size)}) for size in (64, 128)]


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records = [timed(trial) for trial in TRIALS]
    write_sweep(tmp_path / "outputs", "night", records, planned=[make_trial(seed=1)])
    return tmp_path / "outputs"


def test_the_newest_sweep_gets_its_three_files(outputs, capsys):
    assert main([]) == 0
    assert capsys.readouterr().out.split() == [
        f"outputs/night/{name}" for name in ("report.html", "report.md", "summary.csv")
    ]
    text = (outputs / "night" / "report.md").read_text()
    assert "- 1 of 3 planned trials have no record; python -m runner sweep.resume=night" in text


def test_it_is_printed_or_written_elsewhere(outputs, capsys):
    assert main(["--text"]) == 0
    assert "size   p50 ms" in capsys.readouterr().out
    assert main(["night", "-o", "here.md"]) == 0
    assert capsys.readouterr().out == "here.md\n"


def test_several_sweeps_make_one_page(outputs, capsys):
    write_sweep(outputs, "other", [timed(make_trial(seed=2))])
    assert main(["night", "other", "--text"]) == 0
    assert "night, other: 3 trials" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nope"], "nope is neither a sweep in outputs"),
        (["night", "-o", "nowhere/x.md"], "nowhere/x.md can't be written"),
    ],
)
def test_bad_input_is_told_in_a_line(outputs, capsys, words, told):
    assert main(words) == 2
    assert told in capsys.readouterr().err
