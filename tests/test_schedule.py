"""The files for schedulers: cron's line runs, systemd takes the units, CI's keys are ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from fakes.program import ROOT

from runner.nightly import parsed

SCHEDULE = ROOT / "docs/schedule"


def test_the_cron_line_runs_and_logs_and_tells_what_is_not_well(tmp_path):
    lines = (SCHEDULE / "crontab").read_text().splitlines()
    (line,) = [line for line in lines if line[:1].isdigit()]
    assert re.match(r"(\S+\s+){5}cd \$RUNNER", line)
    command = line.split(None, 5)[5]
    assert "%" not in command  # which cron takes for the end of the line
    (tmp_path / "outputs").mkdir()
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@" nightly.window=0\n')
    python.chmod(0o755)
    environment = {"RUNNER": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=120
    )
    log = (tmp_path / "outputs/nightly.log").read_text()
    assert "nightly.window is 0" in log
    assert done.stdout == log.splitlines(keepends=True)[-1]  # cron mails it


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_takes_the_units(tmp_path):
    for name in ("runner-nightly.service", "runner-nightly.timer"):
        text = (SCHEDULE / name).read_text()
        # the unit may name a program only where there is one
        text = text.replace("%h/runner/.venv/bin/python", sys.executable)
        (tmp_path / name).write_text(text.replace("%h/runner", str(tmp_path)))
        done = subprocess.run(
            ["systemd-analyze", "verify", "--user", str(tmp_path / name)],
            env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        told = [line for line in done.stderr.splitlines() if "runner-nightly" in line]
        assert (done.returncode, told) == (0, []), done.stderr


def test_the_workflow_is_yaml_and_its_keys_are_the_programs():
    workflow = yaml.safe_load((SCHEDULE / "nightly.yml").read_text())
    steps = workflow["jobs"]["measure"]["steps"]
    (line,) = [step["run"] for step in steps if "runner.nightly" in step.get("run", "")]
    words = line.replace("'", "").split()[3:]
    _, keys = parsed(words)
    assert keys[0] == "sweep=nightly"
    from runner.config.sweep_settings import settings_for

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
        patch.setenv("NIGHTLY_WEBHOOK", "https://host/hook")
        settings = settings_for(keys)
        assert settings.nightly.webhook == "https://host/hook"
        assert settings.tracking.uri == "http://host:5000"
        patch.delenv("NIGHTLY_WEBHOOK")
        assert settings_for(keys).nightly.webhook is None
