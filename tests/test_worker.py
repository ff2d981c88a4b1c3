"""One fresh process per trial: what it inherits, and how each way of dying is told."""

from __future__ import annotations

import os

import pytest
from conftest import NETWORKS, make_trial

from runner import worker
from runner.devices import Devices
from runner.record import Listener
from runner.trial import Model


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "networks.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(target: str, listener: Listener | None = None, **changes):
    trial = make_trial(model={"name": "custom", "target": f"networks.{target}"}, **changes)
    return worker.run(trial, "process", worker.Path("worker.log"), listener)


def test_each_trial_has_a_process_of_its_own_with_torch_already_loaded(folder):
    first, second = run("Checks"), run("Checks")
    assert (first.status, first.error) == ("completed", None)
    assert len({first.environment["pid"], second.environment["pid"], os.getpid()}) == 3
    assert len(first.warmup_ms) == 2
    assert len(first.latency_ms) == 4
    assert "hello from the user's module" in (folder / "worker.log").read_text()


def test_the_settings_that_were_in_force_are_recorded():
    effective = run("Identity", runtime={"threads": 1}).effective
    assert effective["threads"] == 1
    assert effective["eval"] is True
    assert effective["inference_mode"] is True
    assert effective["input_shapes"] == [[1, 3, 64, 64]]
    assert effective["device"] == "cpu"
    assert effective["finite"] is True


def test_phases_are_heard_in_their_order():
    heard = []
    run("Identity", Listener(phase=lambda name, expected_s: heard.append(name)))
    assert heard == ["build", "warm-up", "timed"]


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        ("Raises", "failed", "the network is on fire, password=***"),
        ("RunsOut", "out_of_memory", "tried to allocate 99 GiB"),
        ("Dies", "failed", "the worker process was ended by SIGSEGV; see worker.log"),
        ("not_a_module", "failed", "networks.not_a_module returned a int; expected a torch.nn.M"),
        ("Stubborn", "failed", "the network is in training mode (itself) after eval()"),
    ],
)
def test_a_failure_is_an_outcome_with_its_cause(target, status, message, folder):
    outcome = run(target)
    assert outcome.status == status
    assert outcome.error["message"].startswith(message)
    assert "hunter2" not in str(outcome) + (folder / "worker.log").read_text()


def test_a_dead_worker_leaves_its_stack_in_the_log(folder):
    run("Dies")
    assert "Fatal Python error: Segmentation fault" in (folder / "worker.log").read_text()


@pytest.mark.parametrize(
    ("then", "place", "reason"),
    [
        ("raise", "effective.finite", "RuntimeError: on fire, password=***"),
        (
            "die",
            "contention",
            "all samples taken, but then the worker process was ended by SIGSEGV",
        ),
        ("exit", "contention", "all samples taken, but then the worker process exited with code 3"),
    ],
)
@pytest.mark.parametrize("isolation", ["process", "none"])
def test_nothing_after_the_last_sample_loses_a_trial(then, place, reason, isolation):
    if isolation == "none" and then != "raise":
        pytest.skip("would end this process")
    heard = []
    trial = make_trial(
        model={"name": "c", "target": "networks.After", "kwargs": {"calls": 6, "then": then}},
        timing={"inner": 1},
    )
    log = worker.Path("worker.log")
    outcome = worker.run(trial, isolation, log, Listener(measured=heard.append))
    assert (outcome.status, outcome.error) == ("completed", None)
    assert len(outcome.latency_ms) == 4
    assert outcome.why_null[place].startswith(reason)
    (raw,) = heard
    assert raw.latency_ms == outcome.latency_ms
    assert "hunter2" not in str(outcome)


def test_a_device_that_does_not_start_leaves_the_first_cause():
    """As a CUDA that fails to initialise, inside the trial and again in its error handler."""
    outcome = run("Identity", device="cuda")
    assert outcome.status == "failed"
    assert outcome.error["type"] in ("RuntimeError", "AssertionError", "AcceleratorError")
    assert outcome.environment["gpu"] is None
    assert outcome.environment["gpu_reason"]


def test_arguments_reach_the_users_callable():
    trial = make_trial(model={"target": "networks.identity", "kwargs": {"a": 1}})
    outcome = worker.run(trial, "process", worker.Path("worker.log"))
    assert "unexpected keyword argument 'a'" in outcome.error["message"]


def test_weights_that_can_not_be_downloaded_are_a_clear_error(monkeypatch):
    monkeypatch.setenv("TORCH_HOME", "nowhere")
    monkeypatch.setattr("torch.hub._hub_dir", None)
    trial = make_trial(model={"weights": "DEFAULT"})

    def refuse(*_args, **_kwargs):
        from urllib.error import URLError

        raise URLError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    outcome = worker.run(trial, "none", worker.Path("worker.log"))
    assert outcome.status == "failed"
    assert "weights DEFAULT of resnet18 could not be downloaded" in outcome.error["message"]
    assert "leave model.weights out for random ones" in outcome.error["message"]


def test_inspection_names_devices_and_what_is_wrong_with_a_target():
    found = worker.inspect([Model("custom", target="networks.nope")], "process")
    assert isinstance(found.devices, Devices)
    assert "has no attribute 'nope'" in found.problems[0]
