"""What can end a trial or a sweep: each is an outcome with its own status, and nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from fakes.networks import NETWORKS
from fakes.program import ROOT, run_in, start_in, until, with_words

from runner.records.store import load

pytestmark = pytest.mark.slow
QUICK = ("timing.warmup=2", "timing.iterations=40", "timing.inner=1", "runtime.threads=1")
CGROUPS = Path("/sys/fs/cgroup")
# below it, with the limit's name: version 1, then version 2
MEMORY = ((CGROUPS / "memory", "memory.limit_in_bytes"), (CGROUPS, "memory.max"))
LIMIT_BYTES = 3 * 2**30  # the program and torch take half of it


def custom(*networks: str) -> tuple[str, ...]:
    targets = ",".join(f"networks.{name}" for name in networks)
    return "model=custom", f"model.target={targets}", "input.size=32", *QUICK


def records_by_network(folder) -> dict:
    records = [load(path) for path in folder.glob("outputs/*/*/record.json")]
    return {record.trial.model.target.rpartition(".")[2]: record for record in records}


def test_a_trial_that_hangs_is_ended_with_all_it_has_started_and_keeps_its_samples(program):
    ran = program(*custom("Hangs", "Raises", "Identity"), "timing.timeout_s=15", "tracking=off")
    assert ran.code == 1, ran.out + ran.err
    found = records_by_network(ran.folder)
    hung = found["Hangs"]
    assert hung.status == "timed_out"
    assert hung.error["message"] == "the worker process did not answer within 15 s"
    assert (len(hung.warmup_ms), len(hung.latency_ms)) == (2, 24)  # six blocks of ten
    assert "Hangs 32px b1 w2 wall: timed_out: WorkerDied: the worker process did not" in ran.out
    assert f"; see outputs/{hung.sweep_id}/{hung.trial.folder}/worker.log" in ran.out
    assert found["Raises"].status == "failed"
    assert found["Identity"].status == "completed"
    helper = int((ran.folder / "helper.pid").read_text())
    assert not psutil.pid_exists(helper) or psutil.Process(helper).status() == "zombie"


def test_a_sweep_that_fails_in_one_way_says_so_once(program):
    ran = program(
        "model=custom", "model.target=networks.Raises", "input.size=range(8,20)", "tracking=off"
    )
    assert ran.code == 1
    assert ran.out.count("the network is on fire") == 3  # the first, the others, the end
    assert "11 more trials failed the same way" in ran.out
    assert "all 12 trials failed the same way: failed: networks.py:" in ran.out
    (log,) = ran.folder.glob("outputs/*/sweep.log")
    assert log.read_text().split("\n", 1)[1] == ran.out


def remove(group: Path, within_s: float = 30.0) -> None:
    """Remove a control group, once the kernel has let go of the processes that were in it."""
    until = time.monotonic() + within_s
    while True:
        try:
            return group.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > until:
                raise
        time.sleep(0.05)


@pytest.fixture
def little_memory():
    """A control group whose memory is limited; its file of processes."""
    for above, limit in MEMORY:
        group = above / f"runner-test-{os.getpid()}"
        if not (above / "cgroup.procs").exists():
            continue
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / limit).exists():
                (group / limit).write_text(str(LIMIT_BYTES))
                yield group / "cgroup.procs"
                return
        finally:
            remove(group)
    pytest.skip("no control group can be made here, as only root can")


def test_what_the_kernel_ends_for_want_of_memory_is_out_of_memory(little_memory, tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    words = [sys.executable, "-m", "runner", *custom("Eats", "Identity"), "tracking=off"]
    enter = f'echo $$ > "{little_memory}"; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", enter, "sh", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found = records_by_network(tmp_path)
    assert found["Eats"].status == "out_of_memory"
    assert "the kernel's OOM killer ended the worker process" in found["Eats"].error["message"]
    assert len(found["Eats"].latency_ms) == 20
    assert found["Identity"].status == "completed"


def timing_of(folder) -> bool:
    """Whether the second of two trials runs."""
    return len(list(folder.glob("outputs/*/*/worker.log"))) == 2


def test_sigterm_to_all_processes_keeps_what_was_measured_and_the_sweep_goes_on(tmp_path):
    """As a scheduler sends it that takes the machine away."""
    (tmp_path / "networks.py").write_text(NETWORKS)
    words = with_words(custom("Identity", "StopsOnce"), "timing.iterations=100", "tracking=off")
    process = start_in(tmp_path, *words, "sweep.id=night")
    until((tmp_path / "stopped.txt").exists)
    main = psutil.Process(process.pid)
    for one in [main, *main.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    cut = records_by_network(tmp_path)["StopsOnce"]
    assert cut.status == "interrupted"
    assert len(cut.warmup_ms) == 2
    assert 10 <= len(cut.latency_ms) < 100
    assert "resume    python -m runner sweep.resume=night" in out
    resumed = run_in(tmp_path, "sweep.resume=latest")
    assert resumed.code == 0, resumed.out + resumed.err
    assert records_by_network(tmp_path)["StopsOnce"].status == "completed"


def test_the_second_ctrl_c_ends_it_now(tmp_path):
    """Though the first has been swallowed by something that takes its time."""
    (tmp_path / "networks.py").write_text(NETWORKS)
    code = (
        "import time; from fakes.trials import make_trial\n"
        "from runner.sweep.interrupt import Interrupt; from runner.worker import process\n"
        "Interrupt().listen()\n"
        "trial = make_trial(model={'name': 'custom', 'target': 'networks.HoldsOn'})\n"
        "process._end = lambda *them: (print('ending', flush=True), time.sleep(600))\n"
        "process.run(trial, 'process', process.Path('worker.log'))"
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    pids = tmp_path / "pids.txt"
    until(pids.is_file)
    worker, helper = map(int, pids.read_text().split())
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "ending\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
    until(lambda: not any(map(lives, (worker, helper))), within_s=10)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_two_sweeps_never_time_on_one_device_at_once(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    # long enough for three other starts on a busy machine
    nets = [*custom("Identity", "Sleep"), "tracking=off"]
    words = with_words(nets, "timing.iterations=1200")
    first = start_in(tmp_path, *words, "sweep.id=first")
    until(lambda: timing_of(tmp_path))
    third = start_in(tmp_path, *with_words(nets, "timing.iterations=20"), "sweep.id=third")
    waits = third.stdout.readline()
    assert waits.startswith(f"waiting for cpu, in use by sweep first (pid {first.pid} on ")
    refused = run_in(tmp_path, *words, "sweep.id=second", "device_lock=refuse")
    assert refused.code == 2
    assert f"sweep first (pid {first.pid} on " in refused.err
    assert "wait for it, or use device_lock=wait" in refused.err
    again = run_in(tmp_path, *words, "sweep.id=first")
    assert again.code == 2
    assert f"being run by sweep first (pid {first.pid} on " in again.err
    told = [*first.communicate(timeout=100), *third.communicate(timeout=200)]
    assert (first.returncode, third.returncode) == (0, 0), told
    ended = max(load(one).ended_at for one in tmp_path.glob("outputs/first/*/record.json"))
    began = min(load(one).started_at for one in tmp_path.glob("outputs/third/*/record.json"))
    assert ended <= began
