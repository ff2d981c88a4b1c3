"""A team's MLflow on a real PostgreSQL, started by the project's own script."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.cluster import Team
from fakes.program import ROOT, run_in
from fakes.trials import make_trial, timed, write_sweep

pytestmark = [pytest.mark.postgres, pytest.mark.filterwarnings("ignore")]

MANY = 16  # processes that publish at once


@pytest.fixture(scope="module")
def team():
    """One for all; the socket's path is to be short, and its owner is not root."""
    with tempfile.TemporaryDirectory(prefix="team") as folder:
        Path(folder).chmod(0o755)
        found = Team(Path(folder))
        yield found
        assert found.script("down").returncode == 0


def sweep(output_dir, name, count, uri, host="here"):
    """A sweep on disk that is to go to a server."""
    records = [
        timed(make_trial(input={"size": (64, 64 + number)}), host={"host": host})
        for number in range(count)
    ]
    folder = write_sweep(output_dir, name, records, tracking="server")
    manifest = folder / "sweep.json"
    manifest.write_text(manifest.read_text().replace('"uri": null', f'"uri": "{uri}"'))
    return folder


def publish(folder, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "runner.publish", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def runs(client, query):
    experiments = [one.experiment_id for one in client.search_experiments()]
    return client.search_runs(experiments, query, max_results=5000)


def test_sixteen_processes_publish_at_once_and_nothing_is_lost(team, tmp_path):
    for number in range(MANY):
        sweep(tmp_path / "outputs", f"mine{number}", 6, team.uri)
    began = [publish(tmp_path, f"mine{number}") for number in range(MANY)]
    for process in began:
        out, err = process.communicate(timeout=250)
        assert process.returncode == 0, out + err
        assert "lock" not in (out + err).lower()
    client = team.client()
    for number in range(MANY):
        found = runs(
            client, f"tags.`runner.sweep` = 'mine{number}' and tags.`runner.kind` = 'trial'"
        )
        assert len(found) == 6
        assert {run.info.status for run in found} == {"FINISHED"}
        (parent,) = runs(
            client, f"tags.`runner.sweep` = 'mine{number}' and tags.`runner.kind` = 'sweep'"
        )
        assert parent.data.metrics["sweep/trials"] == 6


def test_a_password_in_the_address_is_nowhere_else(team, tmp_path):
    words = (
        "model=simulated", "input.size=64,96", "timing.iterations=20", "tracking=server",
        "tracking.experiment=direct",  # whose artifacts do not go through the server
    )  # fmt: skip
    ran = run_in(tmp_path, *words, f"tracking.uri={team.database}", "sweep.id=secret")
    assert ran.code == 0, ran.out + ran.err
    assert "not there" not in ran.out
    wrong = team.database.replace(team.password, f"{team.password}x")
    refused = run_in(tmp_path, *words, f"tracking.uri={wrong}", "sweep.id=wrong")
    assert "MLflow is unavailable" in refused.out
    texts = [ran.out, ran.err, refused.out, refused.err, team.dump()]
    texts += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(team.password in text for text in texts)
    assert len(runs(team.client(), "tags.`runner.sweep` = 'secret'")) == 4  # parent, two, a line


def test_names_and_settings_longer_than_its_columns_are_taken(team, tmp_path):
    from runner.tracking.runs import publish as publish_run
    from runner.tracking.store import open_store

    trial = make_trial(model={"name": "n" * 300, "kwargs": {"text": "x" * 7000}})
    record = replace(timed(trial), sweep_id="long")
    folder = write_sweep(tmp_path, "long", [record])
    store = open_store(team.uri, "runner", tmp_path)
    publish_run(store, record, next(folder.glob("*/record.json")), None)
    assert len(runs(team.client(), "tags.`runner.sweep` = 'long'")) == 1


def test_hosts_without_access_are_published_from_another_and_compared(team, tmp_path):
    for host in ("one", "two", "three"):  # their folders were copied here
        sweep(tmp_path / host, "shared", 4, team.uri, host)
        process = publish(tmp_path, "shared", "--output-dir", host)
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, out + err
    found = runs(team.client(), "tags.`runner.sweep` = 'shared' and tags.`runner.kind` = 'trial'")
    assert len(found) == 12
    assert (
        len(runs(team.client(), "tags.`runner.sweep` = 'shared' and tags.`runner.kind` = 'sweep'"))
        == 1
    )
    words = ("shared", "--by", "host", "--tracking-uri", team.uri)
    compared = run_in(tmp_path, *words, door="runner.compare")
    assert compared.code == 0, compared.out + compared.err
    assert "host=one" in compared.out
    assert "host=three" in compared.out
    assert "4 trials compared" in compared.out


def test_with_users_nobody_gets_in_without_a_password(tmp_path):
    with tempfile.TemporaryDirectory(prefix="team") as folder:
        Path(folder).chmod(0o755)
        team = Team(Path(folder), 1, MLFLOW_AUTH_ADMIN_PASSWORD="the-admins-own")
        try:
            words = ("model=simulated", "timing.iterations=20", "tracking=server")
            where = {"MLFLOW_TRACKING_URI": team.uri}
            outside = run_in(tmp_path, *words, "sweep.id=outside", **where)
            assert "1 of 1 trials are not published" in outside.out
            user = {
                "MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "the-admins-own"
            }  # fmt: skip
            inside = run_in(tmp_path, *words, "sweep.id=inside", **where, **user)
            assert inside.code == 0
            assert "not there" not in inside.out
            files = [path for path in tmp_path.rglob("*") if path.is_file()]
            assert not any(b"the-admins-own" in path.read_bytes() for path in files)
            assert "the-admins-own" not in inside.out + inside.err + outside.out + outside.err
        finally:
            assert team.script("down").returncode == 0


def test_it_goes_and_comes_back_with_its_data(team):
    before = len(runs(team.client(), ""))
    assert team.script("down").returncode == 0
    assert team.script("up").returncode == 0
    assert len(runs(team.client(), "")) == before
