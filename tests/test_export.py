"""`python -m runner.export` and runner.load."""

from __future__ import annotations

import pandas as pd
import pytest
from fakes.trials import make_trial, timed, write_sweep

import runner
from runner.export import main


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trials = [make_trial(timing={"warmup": count}) for count in (2, 3)]
    write_sweep(tmp_path / "outputs", "night", [timed(trial) for trial in trials])
    return tmp_path


def test_the_newest_sweep_goes_to_the_terminal_as_csv(outputs, capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("sweep_id,key,repeat,title,model,")


def test_samples_go_to_a_parquet_file(outputs, capsys):
    assert main(["night", "--samples", "-o", "samples.parquet"]) == 0
    assert capsys.readouterr().out == "samples.parquet: 125 rows, 7 columns\n"
    assert len(pd.read_parquet("samples.parquet")) == 125


def test_a_notebook_gets_the_same_in_one_line(outputs):
    frame = runner.load("night")
    assert list(frame["timing.warmup"]) == [2, 3]
    assert len(runner.load(samples=True)) == 125
    with pytest.raises(LookupError, match="nope is neither a sweep"):
        runner.load("nope")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nope"], "nope is neither a sweep in outputs nor a folder or file"),
        (["-o", "nowhere/table.csv"], "nowhere/table.csv can't be written"),
        (["f" * 32], "can't be read from MLflow: no MLflow store outputs/mlflow.db"),
    ],
)
def test_bad_input_is_told_in_one_line(outputs, capsys, arguments, told):
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_a_file_of_another_kind_is_refused(outputs, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--output", "table.xlsx"])
    assert "table.xlsx, which is not a supported file" in capsys.readouterr().err


def test_parquet_on_a_terminal_is_refused(outputs, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--format", "parquet"])
    assert "give a file with --output FILE.parquet" in capsys.readouterr().err
