"""`python -m runner.compare`: what it prints, writes and exits with."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from fakes.trials import make_trial, record_of, timed, write_sweep

from runner.compare import main
from runner.records.record import Outcome

TRIALS = [make_trial(input={"size": (size, size)}) for size in (64, 128)]
CI = "--fail-on-regression"


def night(folder, name, factor=1.0, processes=3, spread=0.002, trials=TRIALS):
    """A sweep of some processes for each trial, whose times are multiplied."""
    records = [
        timed(
            replace(trial, repeat=repeat), 10.0 * factor * (1 + spread * (repeat - 1)), noise=0.002
        )
        for repeat in range(processes)
        for trial in trials
    ]
    write_sweep(folder / "outputs", name, records)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    night(tmp_path, "old")
    os.utime("outputs/old/sweep.json", (0, 0))
    return tmp_path


def test_the_two_newest_sweeps_are_compared_on_a_terminal(folder, capsys):
    night(folder, "new", 1.05)
    assert main([]) == 0
    out = capsys.readouterr().out
    assert out.startswith("old -> new\nbefore: old, 2 trials, 6 processes, 2026-01-01")
    assert "2 trials compared: 2 slower" in out
    assert "all trials: model resnet18, batch 1, warm-up 2, method wall" in out
    assert "  64       10.00      10.50       3 | 3   1.05" in out


@pytest.mark.parametrize(
    ("factor", "spread", "trials", "code"),
    [
        (1.0, 0.002, TRIALS, 0),
        (0.9, 0.002, TRIALS, 0),
        (1.05, 0.002, TRIALS, 3),
        (1.0, 0.002, TRIALS[:1], 4),
        (1.0, 0.1, TRIALS, 5),
        (1.0, 0.002, [make_trial(seed=1)], 6),
    ],
)
def test_exit_codes_are_those_of_the_gate(folder, factor, spread, trials, code):
    night(folder, "new", factor, spread=spread, trials=trials)
    assert main(["old", "new", CI]) == code
    assert main(["old", "new"]) == 0


def test_a_trial_that_failed_is_missing(folder, capsys):
    failed = record_of(TRIALS[0], Outcome("failed", error={"type": "ValueError", "message": "no"}))
    good = [timed(replace(TRIALS[1], repeat=n), 10.0, noise=0.002) for n in range(3)]
    write_sweep(folder / "outputs", "new", [failed, *good])
    assert main(["old", "new", CI]) == 4
    assert "resnet18 64px b1 w2 wall: new: failed: ValueError: no" in capsys.readouterr().out


def test_one_process_each_is_called_indicative(folder, capsys):
    night(folder, "a", processes=1)
    night(folder, "b", 1.3, processes=1)
    assert main(["a", "b", CI]) == 5
    assert "one process each: only indicative; use sweep.repeats=5" in capsys.readouterr().out


def test_programs_get_json(folder, capsys):
    night(folder, "new", 1.05)
    assert main(["old", "new", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert one["trials"][0]["verdict"] == "slower"
    assert one["trials"][0]["ratio"] == pytest.approx(1.05, rel=0.01)
    assert len(one["trials"][0]["before_ms"]) == 3


def test_pages_are_written_by_the_name_of_their_file(folder, capsys):
    night(folder, "new", 1.05)
    for name, begins in (("x.html", "<!doctype html>"), ("x.md", "# old"), ("x.json", "{")):
        assert main(["old", "new", "-o", name]) == 0
        assert (folder / name).read_text().startswith(begins)
    assert capsys.readouterr().out == "x.html\nx.md\nx.json\n"
    assert "https://" not in (folder / "x.md").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["old", "nope"], "nope is neither a sweep in outputs nor a folder or file"),
        (["old", "old"], "old and old are the same records"),
        (["old"], "1 results named; expected two, or --by KEY"),
        (["old", "--by", "colour"], "no colour to compare by"),
        (["latest~1", "latest"], "latest~1 was requested, but outputs has 1 sweeps"),
    ],
)
def test_bad_input_is_told_in_a_line(folder, capsys, words, told):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [["--html"], ["--threshold", "2"]])
def test_options_that_make_no_sense_are_refused(folder, words):
    with pytest.raises(SystemExit, match="2"):
        main(words)


def test_a_corrupt_record_costs_itself(folder, capsys):
    night(folder, "new")
    (folder / "outputs/new" / TRIALS[0].folder / "record.json").write_text("{")
    assert main(["old", "new"]) == 0
    captured = capsys.readouterr()
    assert "record.json can't be read" in captured.err
    assert "2 trials compared" in captured.out


def test_the_last_row_is_the_geometric_mean(tmp_path, monkeypatch, capsys):
    """10 and 40 ms before, twice that and the same after: from 20 to 28.28 ms."""
    monkeypatch.chdir(tmp_path)
    for name, times in (("old", (10.0, 40.0)), ("new", (20.0, 40.0))):
        pairs = zip(TRIALS, times, strict=True)
        write_sweep(tmp_path / "outputs", name, [timed(t, ms, noise=1e-9) for t, ms in pairs])
    assert main(["old", "new"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "geomean" in line]
    assert line.split() == ["geomean", "20.00", "28.28", "1.414"]
