"""One fresh process per trial: what it inherits, and how each way of dying is told."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time

import pytest
import torch
from fakes.networks import NETWORKS
from fakes.program import ROOT, until
from fakes.tasks import never_answers
from fakes.trials import make_trial

from runner.host.devices import Devices
from runner.trial.description import Model
from runner.worker import process as worker
from runner.worker.execution import PhaseCallbacks
from runner.worker.log import LARGEST, bound


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "networks.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(target: str, listener: PhaseCallbacks | None = None, **changes):
    trial = make_trial(model={"name": "custom", "target": f"networks.{target}"}, **changes)
    return worker.run(trial, "process", worker.Path("worker.log"), listener)


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        state = worker.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_worker_whose_parent_was_killed_ends_with_all_it_has_started(folder):
    code = (
        "from fakes.trials import make_trial; from runner.worker import process\n"
        "trial = make_trial(model={'name': 'custom', 'target': 'networks.HoldsOn'})\n"
        "process.run(trial, 'process', process.Path('worker.log'))"
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    parent = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths})
    pids = folder / "pids.txt"
    until(lambda: pids.is_file() and len(pids.read_text().split()) == 2, within_s=60)
    worker_pid, helper_pid = map(int, pids.read_text().split())
    assert alive(worker_pid)
    parent.kill()
    parent.wait()
    until(lambda: not alive(worker_pid) and not alive(helper_pid), within_s=10)


def test_a_process_that_does_not_answer_in_time_is_ended(folder):
    started = time.monotonic()
    with pytest.raises(worker.WorkerDied, match="did not answer within 2 s"):
        worker.in_fresh_process(never_answers, None, None, PhaseCallbacks(), limit_s=2)
    assert time.monotonic() - started < 20
    assert not multiprocessing.active_children()


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
    run("Identity", PhaseCallbacks(phase=lambda name, expected_s: heard.append(name)))
    assert heard == ["build", "warm-up", "timed"]


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        ("Raises", "failed", "the network is on fire, password=***"),
        ("Leaves", "failed", "no licence"),
        ("Interrupts", "failed", ""),
        ("Generates", "failed", "enough"),
        ("SaysNothing", "failed", "its text can't be shown: __str__ raises RuntimeError"),
        ("CausesItself", "failed", "round and round"),
        ("Scribbles", "failed", "the worker process sent garbage ("),
        ("RunsOut", "out_of_memory", "tried to allocate 99 GiB"),
        ("Dies", "failed", "the worker process was ended by SIGSEGV"),
        ("not_a_module", "failed", "networks.not_a_module returned a int; expected a torch.nn.M"),
        ("Stubborn", "failed", "the network is in training mode (itself) after eval()"),
    ],
)
def test_a_failure_is_an_outcome_with_its_cause(target, status, message, folder):
    outcome = run(target)
    assert outcome.status == status
    assert outcome.error["message"].startswith(message)
    assert outcome.error["type"] != "WorkerDied" or target in ("Scribbles", "Dies")
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
    outcome = worker.run(trial, isolation, log, PhaseCallbacks(measured=heard.append))
    assert (outcome.status, outcome.error) == ("completed", None)
    assert len(outcome.latency_ms) == 4
    assert outcome.why_null[place].startswith(reason)
    (raw,) = heard
    assert raw.latency_ms == outcome.latency_ms
    assert "hunter2" not in str(outcome)


@pytest.mark.parametrize("die", [False, True])
def test_a_network_may_start_processes_of_its_own_and_they_end_with_it(folder, die):
    outcome = run("Forks", **{"timing": {"inner": 1}}) if not die else None
    if die:
        trial = make_trial(
            model={"name": "custom", "target": "networks.Forks", "kwargs": {"die": True}}
        )
        outcome = worker.run(trial, "process", worker.Path("worker.log"))
        assert "exited with code 3" in outcome.error["message"]
    else:
        assert outcome.status == "completed", outcome.error
    helper = int((folder / "helper.pid").read_text())
    until(lambda: not alive(helper), within_s=30)


@pytest.mark.parametrize("how", ["session", "daemon"])
@pytest.mark.parametrize("end", ["returns", "raises", "exits", "crashes", "hangs"])
def test_a_process_that_has_left_ends_with_its_trial_however_that_ends(folder, how, end):
    limit = {"timeout_s": 3.0} if end == "hangs" else {}
    trial = make_trial(
        model={
            "name": "custom", "target": "networks.Escapes", "kwargs": {"how": how, "end": end}
        },
        timing={"inner": 1, **limit},
    )  # fmt: skip
    outcome = worker.run(trial, "process", worker.Path("worker.log"))
    expected = {"returns": "completed", "hangs": "timed_out"}.get(end, "failed")
    assert outcome.status == expected, outcome.error
    helper = int((folder / "helper").read_text())
    assert not alive(helper)


@pytest.mark.parametrize("last", [100, 4])
def test_the_log_of_a_network_that_prints_without_end_has_a_limit_that_is_told(
    folder, monkeypatch, last
):
    monkeypatch.setattr(worker, "LOOK_S", 0.3)
    trial = make_trial(
        model={"name": "custom", "target": "networks.Prints", "kwargs": {"last": last}},
        timing={"inner": 1, "timeout_s": 3.0},
    )
    sizes = []
    monkeypatch.setattr(worker, "bound", lambda log: (bound(log), sizes.append(log.stat().st_size)))
    outcome = worker.run(trial, "process", worker.Path("worker.log"))
    assert outcome.status == ("timed_out" if last == 4 else "completed"), outcome.error
    text = (folder / "worker.log").read_text()
    assert len(text) < LARGEST + 1000
    assert max(sizes, default=0) < 2 * LARGEST  # while it ran
    assert "call 1 xxx" in text
    assert "yyy" in text[-1_000_000:] or last == 100
    assert "bytes here (worker.log is limited to 16 MiB)" in text


def test_a_message_that_is_announced_and_never_comes_is_given_up(monkeypatch):
    monkeypatch.setattr(worker, "MESSAGE_S", 1.0)
    outcome = run("Announces", timing={"inner": 1})
    assert outcome.status == "failed"
    assert "writes to file descriptors" in outcome.error["message"]


def test_the_parent_is_done_with_showing_a_phase_before_it_begins():
    """Redrawing would take CPU time from the first sample."""
    shown = []

    def show(name, expected_s):
        time.sleep(0.3)
        shown.append(time.time_ns())

    outcome = run("Clock", PhaseCallbacks(phase=show), timing={"inner": 1})
    assert outcome.status == "completed", outcome.error
    first_call_ns = int(worker.Path("first.txt").read_text())
    assert shown[1] <= first_call_ns  # the warm-up's


def test_settings_do_not_leak_into_the_next_trial_of_this_process():
    threads = torch.get_num_threads()
    trial = make_trial(
        model={"name": "custom", "target": "networks.Identity"},
        runtime={"threads": threads + 1, "cudnn_benchmark": True},
    )
    outcome = worker.run(trial, "none", worker.Path("worker.log"))
    assert outcome.effective["threads"] == threads + 1
    assert torch.get_num_threads() == threads
    assert torch.backends.cudnn.benchmark is False


def test_arguments_that_can_not_reach_a_model_are_found_with_the_grid():
    found = worker.inspect(
        [
            make_trial(model=model)
            for model in (
                Model("custom", target="networks.identity", kwargs={"height": 3}),
                Model("custom", target="networks.After", kwargs={"calls": 3}),
                Model("custom", target="networks.identity", kwargs={"width": 3}),
                Model("resnet18", kwargs={"width": 16}),
                Model("resnet18", kwargs={"num_classes": 10}),
            )
        ],
        "process",
    )
    first, second, third = map(str, found.problems)
    assert "unexpected keyword argument 'height'; it takes (width=1, depth=1)" in first
    assert "missing a required argument: 'then'" in second
    assert "model.kwargs are {'width': 16}, which resnet18 does not take" in third


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
    assert "omit model.weights for random ones" in outcome.error["message"]


def test_inspection_names_devices_and_what_is_wrong_with_a_target():
    found = worker.inspect([make_trial(model=Model("custom", target="networks.nope"))], "process")
    assert isinstance(found.devices, Devices)
    assert "has no attribute 'nope'" in str(found.problems[0])
