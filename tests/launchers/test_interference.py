"""Whether trials beside each other slow each other: the verdict, and a real measurement."""

from __future__ import annotations

import json

import pytest
from fakes.program import run_doctor

from runner.contract import NotTimed
from runner.host.cpu import usable_cpus
from runner.launchers import interference
from runner.launchers.interference import Interference, reference_ms
from runner.records.record import Outcome
from runner.statistics.processes import speed_up


@pytest.mark.parametrize(
    ("together_ms", "trusted"),
    [
        ([10.0, 10.02, 10.01, 10.0, 10.03], True),
        ([10.9, 11.0, 11.1, 10.95, 11.05], False),
        ([9.5, 10.6, 10.0, 9.8, 10.4], None),  # too noisy to tell
        ([10.0, 18.0, 11.0, 10.2, 16.0], False),  # so much that noise is no excuse
    ],
)
def test_the_verdict_is_in_proportion(together_ms, trusted):
    alone_ms = [10.0, 10.01, 10.02, 10.0, 10.01]
    found = Interference(2, tuple(alone_ms), tuple(together_ms), speed_up(together_ms, alone_ms))
    assert found.trusted is trusted


def test_a_reference_that_cant_be_timed_is_told(monkeypatch):
    failed = Outcome("failed", error={"type": "RuntimeError", "message": "no kernel image"})
    monkeypatch.setattr(interference.process, "run", lambda *arguments: failed)
    with pytest.raises(NotTimed, match="no kernel image"):
        reference_ms("cuda")


@pytest.mark.slow
def test_the_doctor_measures_it(tmp_path):
    done = run_doctor(tmp_path, "--interference", "--json")
    (check,) = json.loads(done.stdout)["checks"]
    assert check["name"] == "parallel"
    one = usable_cpus() < 2
    assert ("there is only one CPU" if one else "resnet18 takes ") in check["found"]
    assert done.returncode == (check["level"] == "problem")
