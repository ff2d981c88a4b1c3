"""The process of a side: how it starts, what it may say, and how it ends."""

from __future__ import annotations

import sys
import textwrap

import pytest

from runner.contract import SideFailed
from runner.duets import link as links
from runner.duets.link import Link
from runner.duets.sides import Side

GOOD = {
    "event": "hello", "protocol": 1, "runner": "0", "python": "3.12", "environment": {},
    "packages": {},
}  # fmt: skip


@pytest.fixture
def start(tmp_path):
    """Starts a host whose interpreter is a script of the test's own."""
    made = []

    def run(program):
        host = tmp_path / "host.py"
        host.write_text(
            "import json, os, sys, time\n"
            "from multiprocessing.connection import Connection\n"
            "link = Connection(int(sys.argv[-1]))\n"
            "def send(values): link.send_bytes(json.dumps(values).encode())\n"
            + textwrap.dedent(program)
        )
        python = tmp_path / "python"
        python.write_text(
            f'#!/bin/sh\ncase "$*" in *runner.duets.host*) exec {sys.executable} {host} "$@";; '
            f'*) exec {sys.executable} "$@";; esac\n'
        )
        python.chmod(0o755)
        made.append(Link(Side("old", "it", python=str(python), folder=tmp_path), tmp_path / "log"))
        return made[-1]

    yield run
    for link in made:
        link.close()


def test_a_host_introduces_itself(start):
    hello = start(f"send({GOOD}); link.recv_bytes()").hello()
    assert (hello.protocol, hello.python) == (1, "3.12")


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (f"send({GOOD | {'protocol': 2}})", "speaks version 2 of the protocol; expected 1"),
        (f"send({GOOD | {'packages': 3}})", "its hello: packages is 3"),
        ("send({'event': 'hello'})", "its hello lacks protocol"),
        ("link.send_bytes(b'no JSON')", "can't be read"),
        ("print('torch is broken', file=sys.stderr); sys.exit(4)", "code 4 \\(torch is broken\\)"),
        ("os.kill(os.getpid(), 9)", "code -9 \\(it printed nothing\\)"),
        ("import nothing_of_that_name", "-m pip install"),
    ],
)
def test_a_host_of_another_kind_is_named_with_the_reason(start, program, why):
    with pytest.raises(SideFailed, match=why):
        start(program).hello()


def test_a_host_that_is_silent_is_not_waited_for_without_end(start, monkeypatch):
    monkeypatch.setattr(links, "START_S", 0.5)
    link = start("time.sleep(60)")
    with pytest.raises(SideFailed, match=r"did not answer within 0\.5 s"):
        link.hello()
    link.close()
    assert not link.is_open


def test_an_interpreter_that_is_none_is_refused(tmp_path):
    for python in ("/nonexistent", "/bin/true"):
        with pytest.raises(SideFailed, match=f"{python} is no usable Python interpreter"):
            Link(Side("old", "it", python=python, folder=tmp_path), tmp_path / "log")
