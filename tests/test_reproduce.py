"""`python -m runner.reproduce`: run again, and judged; the first test really runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest
from fakes.program import ROOT
from fakes.trials import make_record, make_trial, record_of, timed, write_sweep

from runner import reproduce
from runner.records.record import Outcome

TRIAL = make_trial()


@pytest.mark.slow
def test_a_simulated_trial_is_run_again_from_its_record_and_its_mlflow_run(program, tmp_path):
    ran = program("model=simulated", "timing.warmup=0,3", "sweep.id=then")
    assert ran.code == 0, ran.out + ran.err
    record = next(path for path in ran.folder.glob("outputs/then/*/record.json"))
    runs = subprocess.run(
        [sys.executable, "-c",
         "from mlflow import MlflowClient; c = MlflowClient('sqlite:///outputs/mlflow.db'); "
         "print(c.search_runs(['1'], \"tags.`runner.kind` = 'trial'\")[0].info.run_id)"],
        cwd=ran.folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for word in (str(record.relative_to(ran.folder)), runs.stdout.split()[-1]):
        done = subprocess.run(
            [sys.executable, "-m", "runner.reproduce", word, "--processes", "3"],
            cwd=ran.folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout.startswith("python -m runner model=simulated ")
        # of a trial without warm-up the number is invalid, and nothing to compare by
        assert re.search("agrees: 46.05 ms|not comparable: .*NO_WARMUP", done.stdout)


@pytest.fixture
def again(tmp_path, monkeypatch):
    """Reproduces a result of 10 ms where the program takes so many milliseconds now."""
    monkeypatch.chdir(tmp_path)
    record = timed(TRIAL, 10.0, noise=0.001)
    folder = write_sweep(tmp_path / "outputs", "then", [record])

    def run(*medians_ms, **changes):
        def fake(words):
            (sweep_id,) = [word[9:] for word in words if word.startswith("sweep.id=")]
            now = [
                timed(replace(TRIAL, repeat=repeat), ms, noise=0.001, **changes)
                for repeat, ms in enumerate(medians_ms)
            ]
            write_sweep(tmp_path / "outputs", sweep_id, now)
            return 0

        monkeypatch.setattr("runner.__main__.run", fake)
        return reproduce.main([str(folder / TRIAL.folder)])

    return run


def test_what_takes_as_long_agrees(again, capsys):
    assert again(10.0, 10.01, 9.99, 10.02, 9.98) == 0
    assert "agrees: 9.999 ms in 1 process then, 9.9" in capsys.readouterr().out


def test_what_is_slower_does_not_and_what_could_explain_it_is_named(again, capsys):
    assert again(12.0, 12.01, 11.99, 12.02, 11.98, host={"torch": "2.15.0"}) == 3
    out = capsys.readouterr().out
    assert "does not agree, slower now: 9.999 ms in 1 process then" in out
    assert "torch: 2.14.1 -> 2.15.0" in out


def test_what_varies_too_much_can_not_be_told(again, capsys):
    assert again(10.0, 14.0, 8.0) == 5
    assert "undecided: " in capsys.readouterr().out


def test_one_process_then_and_one_now_have_no_interval(again, capsys):
    assert again(10.0) == 5
    assert "use --processes 5 for an interval" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("nope", "nope is neither a sweep in outputs"),
        ("many", "many has 2 trials; give the record or run id of one"),
        ("failed", "has no result to compare with: failed: ValueError: no"),
        ("secret", "secret needs a secret, which is never stored"),
    ],
)
def test_what_can_not_be_reproduced_is_told_in_a_line(tmp_path, monkeypatch, capsys, word, told):
    monkeypatch.chdir(tmp_path)
    other = make_trial(seed=1)
    secret = make_trial(model={"target": "a.b", "kwargs": {"token": "x"}})
    failure = Outcome("failed", error={"type": "ValueError", "message": "no"})
    write_sweep(tmp_path / "outputs", "many", [make_record(), timed(other)])
    write_sweep(tmp_path / "outputs", "failed", [record_of(TRIAL, failure)])
    write_sweep(tmp_path / "outputs", "secret", [timed(secret)])
    assert reproduce.main([word]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_a_dry_run_prints_the_command_only(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_sweep(tmp_path / "outputs", "then", [timed(TRIAL)])
    assert reproduce.main(["then", "--dry-run"]) == 0
    assert "'input.size=[64,64]'" in capsys.readouterr().out
    assert not list(tmp_path.glob("outputs/reproduce*"))


@pytest.mark.slow
def test_a_users_own_network_is_run_again_with_its_arguments(program):
    words = ("model=custom", "model.target=networks.Says", "model.kwargs={word: 'a b'}")
    ran = program(*words, "input.size=8", "timing=quick", "tracking=off", "sweep.id=then")
    assert ran.code == 0, ran.out + ran.err
    (path,) = ran.folder.glob("outputs/then/*/record.json")
    done = subprocess.run(
        [sys.executable, "-m", "runner.reproduce", str(path), "--processes", "2"],
        cwd=ran.folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "networks.Says" in done.stdout
    assert re.search("agree|undecided|not comparable", done.stdout), done.stderr
    keys = {path.parent.name[:12] for path in ran.folder.glob("outputs/*/*/record.json")}
    assert len(keys) == 1
