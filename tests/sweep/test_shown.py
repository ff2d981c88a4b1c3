"""What a sweep shows, as it is asked to: JSON, columns, more or less."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from fakes.program import ROOT

from runner.config.schema import COLUMNS
from runner.terminal.figures import BY_NAME

SIMULATED = ("model=simulated", "tracking=off", "timing.warmup=0,3")


def test_json_is_all_there_is_on_stdout(program):
    ran = program(*SIMULATED, "sweep.repeats=2", "format=json", "sweep.id=night")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert (found["sweep_id"], found["planned"], found["exit_code"]) == ("night", 4, 0)
    cold, warm = sorted(found["trials"], key=lambda one: one["settings"]["timing.warmup"])
    assert (cold["verdict"], warm["verdict"]) == ("invalid", "valid")
    assert cold["reasons"][0]["code"] == "NO_WARMUP"
    assert warm["processes"] == {"run": 2, "counted": 2}
    assert warm["typical_ms"] == warm["p50_ms"] == pytest.approx(46.05)
    assert all((ran.folder / path).is_file() for path in warm["records"])
    assert "[4/4] simulated" in ran.err
    assert "verdict" in ran.err  # the table
    listed = program(*SIMULATED, "format=json", "dry_run=true")
    assert len(json.loads(listed.out)["trials"]) == 2


def test_what_a_network_prints_in_this_process_is_no_part_of_the_json(program):
    words = ("model=custom", "model.target=networks.Says", "input.size=8", "timing=quick")
    ran = program(*words, "isolation=none", "tracking=off", "format=json")
    assert json.loads(ran.out)["recorded"] == 1
    assert "hello" in ran.err


def test_quiet_shows_the_table_and_verbose_what_was_found(program):
    quiet = program(*SIMULATED, "quiet=true")
    assert re.findall(r"^ +[03] +46\.05 .*valid", quiet.out, re.M)
    assert "[1/2]" not in quiet.out
    assert "records" not in quiet.out
    verbose = program(*SIMULATED, "verbose=true")
    assert "\n    NO_WARMUP: no warm-up: the first iteration took" in verbose.out
    assert "[1/2] simulated 640px b1 w0 event: p50 46.05 ms" in verbose.out
    assert ": invalid: NO_WARMUP; " in verbose.out


def test_columns_are_those_that_were_chosen(program):
    ran = program(*SIMULATED, "table.columns=[p99,min,peak_mib,fps]", "timing.iterations=400")
    head = next(line for line in ran.out.splitlines() if "FPS" in line and "p99" in line)
    assert head.split() == ["warm-up", "p99", "ms", "min", "ms", "peak_mib", "FPS", "verdict"]
    usual = program(*SIMULATED, "timing=precise").out
    assert "p99 ms" in usual
    assert tuple(BY_NAME) == COLUMNS


@pytest.mark.parametrize("door", ["compare", "doctor", "export", "report", "reproduce"])
def test_the_doors_are_words_of_the_console_script_too(door):
    done = subprocess.run(
        [sys.executable, "-m", "runner", door, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert f"usage: python -m runner.{door}" in done.stdout
