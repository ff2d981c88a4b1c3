"""The fake GPUs themselves: what their clock does, and that nothing unknown passes for done."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

THREADS = """
import threading, time, torch
x = torch.ones(8, device="cuda")
torch.cuda.synchronize()
began, looks, done = time.perf_counter(), [], threading.Event()
def look():
    while not done.wait(0.06):
        looks.append(time.perf_counter() - began)
thread = threading.Thread(target=look)
thread.start()
for _ in range(100):
    torch.cuda._sleep(19_800_000)  # 10 ms
    torch.cuda.synchronize()
done.set()
thread.join()
took = time.perf_counter() - began
print(len(looks), [round(look, 3) for look in looks[:3]], round(took, 4))
"""


@pytest.fixture
def run(fake_gpus, tmp_path):
    def run(code, script="", **more):
        variables = os.environ | fake_gpus(script) | more
        return subprocess.run(
            [sys.executable, "-c", code], env=variables, cwd=tmp_path, capture_output=True,
            text=True, timeout=100, check=False,
        )  # fmt: skip

    return run


def test_threads_look_as_often_as_the_time_of_the_gpu_says(run):
    done = run(THREADS, "cost launch 0\ncost sync 0\n")
    assert done.stdout == "16 [0.06, 0.12, 0.18] 1.0\n", done.stdout + done.stderr


def test_host_sleeps_take_no_real_time_and_loops_until_a_time_end(run):
    code = """
import time, torch
torch.ones(8, device="cuda")
began, since = time.perf_counter(), time.time()
time.sleep(3600)
while time.perf_counter() < began + 3700: pass
print(round(time.time() - since) // 100)
"""
    done = run(code)
    assert done.stdout == "37\n", done.stderr


def test_the_real_clock_goes_on_where_it_is_wanted(run):
    code = """
import time, torch
x = torch.ones(8, device="cuda")
torch.cuda.synchronize()
began = time.clock_gettime_ns(time.CLOCK_PROCESS_CPUTIME_ID), time.perf_counter_ns()
torch.cuda._sleep(396_000_000)  # 200 ms
torch.cuda.synchronize()
print(0.19 < (time.perf_counter_ns() - began[1]) / 1e9)
"""
    assert run(code, "clock real\n").stdout == "True\n"


def test_a_function_that_nobody_has_written_ends_the_process_with_its_name(run):
    code = """
import torch
lstm = torch.nn.LSTM(4, 4).cuda()
lstm(torch.ones(2, 1, 4, device="cuda"))
print("passed for done")
"""
    done = run(code)
    assert done.returncode == 97
    assert done.stdout == ""
    assert "fakecuda: nobody has written cudnnCreateDropoutDescriptor yet" in done.stderr


def test_a_script_that_can_not_be_read_ends_the_process_with_its_line(run):
    done = run("import torch; torch.ones(8, device='cuda')", "cost launch 5\ncots kernel 20\n")
    assert done.returncode == 97
    assert "gpus.script:2 can't be read: cots kernel 20" in done.stderr


def test_a_child_of_a_process_that_used_a_gpu_can_not_use_it(run):
    code = """
import os, torch
torch.ones(8, device="cuda")
if os.fork() == 0:
    try:
        torch.ones(8, device="cuda")
    except RuntimeError as error:
        print(error)
    os._exit(0)
os.wait()
"""
    assert "Cannot re-initialize CUDA in forked subprocess" in run(code).stdout
