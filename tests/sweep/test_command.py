"""From the words of a command line to an exit code, in this process."""

from __future__ import annotations

import pytest
from hydra.core.global_hydra import GlobalHydra

import runner
from runner.sweep.command import run_command
from runner.sweep.interrupt import Interrupt


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs words in a folder of its own: exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def words(*given):
        GlobalHydra.instance().clear()
        code = run_command(given, Interrupt())
        return int(code), *capsys.readouterr()

    yield words
    GlobalHydra.instance().clear()


def test_the_version_needs_nothing_else(run):
    assert run("--version", "input.size=0") == (0, f"runner {runner.__version__}\n", "")


def test_one_problem_has_a_line_and_several_a_count(run, tmp_path):
    code, out, err = run("input.size=0")
    assert (code, out) == (2, "")
    assert err.startswith("runner: nothing was run:\n  - input.size is 0; expected")
    code, out, err = run("input.size=0", "timing.warmup=-1")
    assert code == 2
    assert err.startswith("runner: nothing was run, 2 problems:\n")
    assert list(tmp_path.iterdir()) == []


def test_help_and_configuration_are_printed_and_nothing_runs(run, tmp_path):
    code, out, _ = run("--help")
    assert (code, "== Keys (key=value) ==" in out) == (0, True)
    code, out, _ = run("--cfg", "job", "input.size=96")
    assert (code, "size: 96" in out) == (0, True)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_lists_and_leaves_nothing(run, tmp_path):
    code, out, _ = run("model=simulated", "input.size=64,96", "dry_run=true")
    assert code == 0
    assert out.endswith("2 trials; dry run, nothing was timed\n")
    assert list(tmp_path.iterdir()) == []


def test_words_after_a_flag_count_as_those_before_it(run):
    code, out, _ = run("--cfg", "job", "model=simulated", "input.size=96")
    assert code == 0
    assert "name: simulated" in out
