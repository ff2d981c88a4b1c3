"""Locks between processes: one holds, the other is told who, and death lets go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from fakes.program import ROOT

from runner.contract import Held
from runner.records.locks import locked

HOLD = """
import sys, time; from pathlib import Path; from runner.records.locks import locked
with locked(Path(sys.argv[1]), "sweep night"):
    print("held", flush=True); time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_who_comes_second_is_told_who_holds_it_and_since_when(holder, tmp_path):
    told = rf"sweep night \(pid {holder.pid} on .*, since 20..-"
    with pytest.raises(Held, match=told), locked(tmp_path / "lock", "sweep other"):
        pytest.fail("both hold it")


def test_the_lock_of_a_process_that_was_killed_is_taken_over(holder, tmp_path):
    told = []
    threading.Timer(0.5, holder.kill).start()
    started = time.monotonic()
    with locked(tmp_path / "lock", "sweep other", waits=told.append):
        assert time.monotonic() - started > 0.3
    assert len(told) == 1
    assert f"pid {holder.pid}" in told[0]
    with locked(tmp_path / "lock", "sweep third"):  # and let go again
        pass


def test_a_lock_file_that_says_nothing_still_locks(tmp_path):
    with locked(tmp_path / "lock", "sweep night"):
        (tmp_path / "lock").write_text("{")
        with pytest.raises(Held, match="another process"), locked(tmp_path / "lock", "other"):
            pytest.fail("both hold it")
