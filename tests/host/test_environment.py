from __future__ import annotations

import json

import pytest

from runner.host.environment import host_environment
from runner.host.secrets import redact, redacted_command, redacted_values


@pytest.mark.parametrize(
    "text",
    [
        "can't reach postgresql://me:hunter2@db/mlflow",
        "https://hunter2@example.org/x failed",
        "http://example.org/?token=hunter2&x=1",
        "password=hunter2",
        "MLFLOW_TRACKING_PASSWORD=hunter2 and more",
    ],
)
def test_no_secret_survives_in_a_message(text):
    assert "hunter2" not in redact(text)


@pytest.mark.parametrize(
    "word",
    [
        "tracking.uri=postgresql://me:hunter2@db/mlflow",
        "tracking.uri=http://internal-host-hunter2:5000",
        "+tracking.password=hunter2",
        "api_key=hunter2",
    ],
)
def test_no_connection_string_survives_in_the_command_line(word):
    assert redacted_command(["runner", word]) == ["runner", word.partition("=")[0] + "=***"]


def test_no_secret_of_the_networks_arguments_survives():
    words = ["model.kwargs={token: hunter2, width: 3}", "model.kwargs.api_key=hunter2"]
    assert "hunter2" not in str(redacted_command(words))
    values = {"kwargs": {"token": "hunter2", "deep": [{"my_password": "hunter2"}], "num_tokens": 7}}
    assert redacted_values(values) == {
        "kwargs": {"token": "***", "deep": [{"my_password": "***"}], "num_tokens": 7}
    }
    assert "hunter2" not in redact("called with {'token': 'hunter2', 'width': 3}")


def test_ordinary_text_stays_as_it_is():
    assert redact("input.size=640 at a@b.org: http://host/p") == (
        "input.size=640 at a@b.org: http://host/p"
    )


def test_environment_variables_are_never_copied(monkeypatch, tmp_path):
    monkeypatch.setenv("SOME_TOKEN", "hunter2")
    facts = host_environment(tmp_path)
    assert "hunter2" not in json.dumps(facts)
    assert {"host", "os", "python", "torch", "cpu", "usable_cpus", "git_commit"} <= facts.keys()
    assert facts["git_commit"] is None  # not a checkout
