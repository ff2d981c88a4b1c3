"""The doctor: one line for each check, a remedy for each warning, an exit code."""

from __future__ import annotations

import json
import os
import threading
from types import SimpleNamespace

import pytest
import torch
from fakes.program import run_doctor

from runner import doctor
from runner.doctor import Check
from runner.host import cpu
from runner.host.busy import Others


def test_the_doctor_looks_at_everything_and_says_so_as_json(tmp_path):
    done = run_doctor(tmp_path, "--json")
    assert done.stderr == ""
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert {
        "load", "CPU", "quota", "frequency", "clock", "disk", "torch", "device", "threads",
        "contention", "MLflow",
    } <= checks.keys()  # fmt: skip
    for check in checks.values():
        assert check["level"] in ("ok", "warning", "problem")
        assert (check["level"] == "ok") == (not check["remedy"]), check
    problems = [check for check in checks.values() if check["level"] == "problem"]
    assert done.returncode == bool(problems)
    assert list(tmp_path.iterdir()) == []  # it leaves nothing behind


def test_an_unreachable_store_is_a_problem_without_its_secret(tmp_path):
    done = run_doctor(tmp_path, "--tracking-uri", "http://me:hunter2@127.0.0.1:9")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if "MLflow" in line]
    assert line.startswith("problem")
    assert "tracking=off measures without it" in line
    assert "No such file" not in line  # it was really tried
    assert "hunter2" not in done.stdout + done.stderr


def test_a_wrong_option_exits_2(tmp_path):
    assert run_doctor(tmp_path, "--jsno").returncode == 2


def test_a_busy_machine_is_a_warning(monkeypatch):
    monkeypatch.setattr(cpu, "usable_cpus", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (1.5, 0, 0))
    monkeypatch.setattr(doctor, "others", lambda: Others(0.0, ()))
    assert doctor.load_check().level == "warning"
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0, 0))
    assert doctor.load_check().level == "ok"
    monkeypatch.setattr(doctor, "others", lambda: Others(0.9, ("chrome (pid 7, 90% of a CPU)",)))
    assert "chrome (pid 7, 90% of a CPU)" in doctor.load_check().found


@pytest.mark.parametrize(
    ("governor", "turbo", "level", "words"),
    [
        ("performance", False, "ok", ""),
        ("powersave", False, "warning", "frequency-set -g performance"),
        ("performance", True, "warning", "disable turbo"),
        (None, None, "warning", "check on the host"),
    ],
)
def test_clocks_that_move(monkeypatch, governor, turbo, level, words):
    monkeypatch.setattr(cpu, "governor", lambda: governor)
    monkeypatch.setattr(cpu, "turbo", lambda: turbo)
    found = doctor.frequency_check()
    assert (found.level, words in found.remedy) == (level, True)


def test_a_quota_below_the_affinity_is_a_warning(monkeypatch):
    monkeypatch.setattr(cpu, "cgroup_cpus", lambda: 0.5)
    assert [check.level for check in doctor.cpu_checks()] == ["ok", "warning"]


@pytest.mark.parametrize(
    ("free", "level"), [(10 * 2**30, "ok"), (500 * 2**20, "warning"), (2**20, "problem")]
)
def test_room_on_the_disk(monkeypatch, tmp_path, free, level):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    assert doctor.room_check(tmp_path / "not" / "yet").level == level


def test_an_output_dir_that_is_a_file_is_a_problem(tmp_path):
    (tmp_path / "outputs").write_text("")
    assert doctor.room_check(tmp_path / "outputs").level == "problem"


def test_contention_is_a_problem_and_its_remedy_stands_apart(monkeypatch):
    report = {"run_queue_wait_share": 0.3, "steal_share": 0.0, "throttled_share": None}
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(cpu.CpuWatch, "report", lambda self: report)
    (found,) = doctor.contention_checks()
    assert found.level == "problem"
    assert found.found.startswith("CPU_CONTENDED: 30.0% of the threads' time")
    assert found.remedy.startswith("stop other programs")


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 64 MiB.\nGPU 0 has"),
     torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_gpu_that_can_not_be_used_is_a_problem_and_the_other_checks_go_on(
    monkeypatch, tmp_path, error
):
    def broken(index):
        yield Check(f"cuda:{index}", "ok", "an H100")
        raise error

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(doctor, "_gpu", broken)
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 0.01)
    checks = list(doctor.checks_of(tmp_path, None))
    bad = [check for check in checks if check.level == "problem" and check.name[:4] == "cuda"]
    assert [check.name for check in bad] == ["cuda:0", "cuda:1"]
    assert type(error).__name__ in bad[0].found
    assert "GPU 0 has" not in bad[0].found
    assert checks[-1].name == "MLflow"


@pytest.mark.parametrize("hangs", ["_gpu", "device_count"])
def test_a_gpu_that_never_answers_is_a_problem_and_the_other_checks_go_on(
    monkeypatch, tmp_path, hangs
):
    over = threading.Event()
    monkeypatch.setattr(doctor, "ANSWER_S", 0.2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(doctor if hangs == "_gpu" else torch.cuda, hangs, lambda *_: over.wait(60))
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 0.01)
    checks = list(doctor.checks_of(tmp_path, None))
    over.set()
    (bad,) = [check for check in checks if check.level == "problem" and check.name[:4] == "cuda"]
    assert bad.found == "no answer within 0 s"
    assert checks[-1].name == "MLflow"


def test_problems_make_the_exit_code(monkeypatch, capsys):
    checks = [Check("one", "ok", "fine"), Check("two", "problem", "broken", "mend it")]
    monkeypatch.setattr(doctor, "checks_of", lambda output_dir, uri: iter(checks))
    assert doctor.main([]) == 1
    assert "problem two        broken; mend it" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "checks_of", lambda output_dir, uri: iter(checks[:1]))
    assert doctor.main([]) == 0
