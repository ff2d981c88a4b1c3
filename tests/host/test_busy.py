"""Others on the CPUs: seen, named, and none of our own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from runner.config.schema import BusyConfig
from runner.contract import UsageError
from runner.host.busy import Others, others
from runner.sweep import busy

SPIN = "import os\nwhile True: pass"


@pytest.fixture
def orphan():
    """A busy process that is nobody's child."""
    start = f"{sys.executable} -c '{SPIN}' > /dev/null 2>&1 & echo $!"
    done = subprocess.run(["setsid", "sh", "-c", start], capture_output=True, text=True, check=True)
    yield int(done.stdout)
    os.kill(int(done.stdout), signal.SIGKILL)


def test_a_busy_process_is_named_and_a_child_of_ours_is_none(orphan):
    child = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        found = others(1.0)
    finally:
        child.kill()
        child.wait()
    assert found.cpus > 0.05  # on however busy a machine
    assert found.busiest
    assert f"pid {child.pid}," not in str(found)


IDLE, TAKEN = Others(0.0, ()), Others(1.9, ("chrome (pid 12, 95% of a CPU)",))


class Settings:
    def __init__(self, action: str, limit: str = "10s") -> None:
        self.when_busy = BusyConfig(action, limit)


@pytest.fixture
def seen(monkeypatch):
    """Runs wait_until_idle with scripted looks; the lines reported, and the seconds waited."""

    def run(action, looks, limit="10s"):
        left, clock, told = list(looks), [0.0], []
        monkeypatch.setattr(busy, "others", lambda: left.pop(0) if len(left) > 1 else left[0])
        monkeypatch.setattr(busy.time, "monotonic", lambda: clock[0])
        monkeypatch.setattr(busy.time, "sleep", lambda s: clock.__setitem__(0, clock[0] + s))
        busy.wait_until_idle(Settings(action, limit), told.append)
        return told, clock[0]

    return run


def test_an_idle_machine_is_not_waited_for(seen):
    assert seen("wait", [IDLE]) == ([], 0.0)
    assert seen("refuse", [IDLE]) == ([], 0.0)
    assert seen("warn", [TAKEN]) == ([], 0.0)  # told by the first trial that feels it


def test_others_are_waited_for_up_to_a_limit(seen):
    told, waited_s = seen("wait", [TAKEN, TAKEN, IDLE])
    assert waited_s == 10.0
    assert len(told) == 1
    assert "waiting up to 10s: others use 1.9 of" in told[0]
    assert "chrome (pid 12, 95% of a CPU)" in told[0]
    told, waited_s = seen("wait", [TAKEN], "12s")
    assert waited_s == 12.0
    assert told[1].startswith("warning: timing anyway after 12s")


def test_it_can_be_refused(seen):
    with pytest.raises(UsageError, match=r"when_busy is refuse, and others use 1\.9 of"):
        seen("refuse", [TAKEN])


def test_the_first_trial_that_feels_it_names_who_it_is(monkeypatch):
    monkeypatch.setattr(busy, "others", lambda: TAKEN)
    told = []
    contention = busy.Contention(told.append)

    class Record:
        reasons = ({"code": "CPU_CONTENDED", "level": "suspect"},)

    class Quiet:
        reasons = ({"code": "CPU_CONTENDED", "level": "note"},)

    for record in (Quiet, Record, Record):
        contention.seen_by(record)
    (line,) = told
    assert line.startswith("warning: others use 1.9 of")
    assert "when_busy=wait" in line
