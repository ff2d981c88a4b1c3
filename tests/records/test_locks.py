"""Locks between processes: one holds, the other is told who, and death lets go."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from fakes.program import ROOT
from fakes.trials import make_trial, timed, write_sweep

from runner.contract import Held, NoLock
from runner.records.locks import LOCK_DIR, holder_of, locked, shared_folder

HOLD = """
import sys, time; from pathlib import Path; from runner.records.locks import locked
with locked(Path(sys.argv[1]), "sweep night"):
    print("held", flush=True); time.sleep(600)
"""


AS_NOBODY = """
import os, sys; from pathlib import Path; import pydantic
from runner.contract import Held; from runner.records.locks import locked, checked, Holder
checked({"what": "", "host": "", "pid": 1, "since": ""}, Holder, "")  # loaded while it may be read
os.setgid(65534); os.setuid(65534)
try:
    with locked(Path(sys.argv[1]), "sweep of nobody"): pass
except Held as holder:
    print(holder)
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


def test_the_shared_folder_is_the_same_whatever_a_process_calls_temporary(monkeypatch, tmp_path):
    monkeypatch.delenv(LOCK_DIR, raising=False)
    found = shared_folder()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert shared_folder() == found
    assert found.stat().st_mode & 0o1777 == 0o1777
    monkeypatch.setattr("runner.records.locks.SHARED", ("/missing", "/etc/passwd", "/root"))
    assert shared_folder() == tmp_path  # where nothing is shared, its own is better than none
    monkeypatch.setenv(LOCK_DIR, "/elsewhere")
    assert str(shared_folder()) == "/elsewhere"


def _folder(path):
    path.mkdir()


def _link(path):
    path.symlink_to("nowhere/at/all")


@pytest.mark.parametrize("make", [os.mkfifo, _folder, _link])
def test_what_is_no_file_is_told_and_waited_for_by_nobody(make, tmp_path):
    make(tmp_path / "lock")
    with pytest.raises(NoLock, match="lock can't be locked: "), locked(tmp_path / "lock", "x"):
        pytest.fail("got in")
    assert holder_of(tmp_path / "lock") is None


def test_a_lock_can_be_read_by_all_users_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        with locked(tmp_path / "lock", "sweep night"):
            assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_users_lock_holds_and_says_who_has_it():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o1777)
        path = Path(folder) / "lock"
        with locked(path, "sweep of root"):
            told = subprocess.run(
                [sys.executable, "-c", AS_NOBODY, str(path)],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
    assert "sweep of root" in told.stdout, told.stderr


def test_who_waits_is_told_how_far_the_other_sweep_is(tmp_path):
    records = [timed(make_trial(input={"size": (size, size)})) for size in (32, 64)]
    planned = [make_trial(input={"size": (size, size)}) for size in (96, 128)]
    folder = write_sweep(tmp_path, "night", records, planned)
    with locked(tmp_path / "lock", "sweep night", folder=folder):
        assert "; 2 of 4 trials done)" in holder_of(tmp_path / "lock")  # before it began
        for file in folder.glob("*/record.json"):
            os.utime(file)
        told = holder_of(tmp_path / "lock")
    assert re.search(r"; 2 of 4 trials done, about 1 s left\)$", told), told
