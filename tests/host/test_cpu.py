"""The scheduler's counters, from a made-up /proc and /sys, and from the real ones."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from runner.host import cpu
from runner.host.cpu import CpuWatch, cgroup_cpus, shared_out, usable_cpus, whole_cores


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine with two CPUs and one thread, at rest."""
    monkeypatch.setattr(cpu, "affinity", lambda: [0, 1])
    proc, sys_ = tmp_path / "proc", tmp_path / "sys"
    write(proc / "self/schedstat", "100 0 1\n")
    write(proc / "self/task/7/schedstat", "100 0 1\n")
    write(
        proc / "stat",
        "cpu 1 1 1 1 1 1 1 0 0 0\n"
        + "".join(f"cpu{number} 1 1 1 1 1 1 1 0 0 0\n" for number in range(3)),
    )
    write(proc / "pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000\n")
    write(proc / "self/cgroup", "0::/job\n")
    write(sys_ / "fs/cgroup/cpu.stat", "usage_usec 5\nthrottled_usec 0\n")
    write(sys_ / "fs/cgroup/job/cpu.stat", "usage_usec 5\nthrottled_usec 0\n")
    return proc, sys_


def passed(system, monkeypatch, change):
    """The report over one second in which `change` happens."""
    clock = iter((0, 10**9))
    monkeypatch.setattr(cpu.time, "perf_counter_ns", lambda: next(clock))
    watch = CpuWatch(2, *system)
    watch.look()
    change(*system)
    watch.look()
    return watch.report()


def test_nothing_happens(system, monkeypatch):
    report = passed(system, monkeypatch, lambda proc, sys_: None)
    assert report["run_queue_wait_share"] == report["steal_share"] == 0.0
    assert report["throttled_share"] == report["pressure_share"] == 0.0
    assert report["unknown"].keys() == {"governor", "turbo"}


def test_waits_of_all_threads_are_a_share_of_the_threads_time(system, monkeypatch):
    def wait(proc, sys_):
        write(proc / "self/task/7/schedstat", "100 200000000 1\n")
        write(proc / "self/task/8/schedstat", "100 100000000 1\n")  # a new thread

    report = passed(system, monkeypatch, wait)
    assert report["run_queue_wait_ms"] == 300
    assert report["run_queue_wait_share"] == pytest.approx(0.15)  # of two threads' second
    assert report["run_queue_wait_share_by_block"] == [pytest.approx(0.15)]


def test_a_pause_between_two_blocks_counts_for_nothing(system, monkeypatch):
    """Three seconds, of which the middle one is another process's turn."""
    clock = iter(n * 10**9 for n in range(4))
    monkeypatch.setattr(cpu.time, "perf_counter_ns", lambda: next(clock))
    watch = CpuWatch(1, *system)
    waits_ns = [0, 10**8, 9 * 10**8, 10**9]  # 0.1 s in each block, 0.8 s in the pause
    for number, ns in enumerate(waits_ns):
        write(system[0] / "self/task/7/schedstat", f"100 {ns} 1\n")
        watch.look(after_pause=number == 2)
    report = watch.report()
    assert report["wall_ms"] == 2000
    assert report["run_queue_wait_ms"] == pytest.approx(200)
    assert report["run_queue_wait_share_by_block"] == pytest.approx([0.1, 0.1])


def test_stolen_time_counts_on_the_allowed_cpus_only(system, monkeypatch):
    def steal(proc, sys_):
        lines = "".join(f"cpu{n} 1 1 1 1 1 1 1 {ticks} 0 0\n" for n, ticks in enumerate((6, 4, 99)))
        write(proc / "stat", lines)

    assert passed(system, monkeypatch, steal)["steal_ms"] == pytest.approx(100)


def test_quota_pressure_governor_and_turbo(system, monkeypatch):
    _, sys_ = system
    for number in (0, 1):
        write(sys_ / f"devices/system/cpu/cpu{number}/cpufreq/scaling_governor", "powersave\n")
    write(sys_ / "devices/system/cpu/intel_pstate/no_turbo", "0\n")

    def throttle(proc, sys_):
        write(sys_ / "fs/cgroup/job/cpu.stat", "throttled_usec 500000\n")
        write(proc / "pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=251000\n")

    report = passed(system, monkeypatch, throttle)
    assert report["throttled_share"] == pytest.approx(0.25)
    assert report["pressure_share"] == pytest.approx(0.25)
    assert (report["governor"], report["turbo"]) == ("powersave", True)


@pytest.mark.parametrize(
    ("text", "virtual"),
    [("flags\t\t: fpu hypervisor sse\n", True), ("flags\t\t: fpu sse\n", False), ("x\n", None)],
)
def test_a_hypervisor_shows_in_the_cpus_flags(tmp_path, text, virtual):
    write(tmp_path / "cpuinfo", text)
    assert cpu.virtual_machine(tmp_path) is virtual
    assert cpu.virtual_machine(tmp_path / "nowhere") is None


def test_what_is_missing_is_null_with_the_reason(system, monkeypatch):
    proc, _ = system
    for name in ("stat", "pressure/cpu", "self/task/7/schedstat", "self/schedstat"):
        (proc / name).unlink()
    report = passed(system, monkeypatch, lambda proc, sys_: None)
    assert report["run_queue_wait_share"] is report["steal_share"] is None
    assert report["pressure_share"] is None
    assert {"run_queue_wait", "steal", "pressure"} <= report["unknown"].keys()


def test_a_thread_that_ends_is_no_fault(system, monkeypatch):
    proc, _ = system
    write(proc / "self/task/8/schedstat", "100 5 1\n")

    def end(proc, sys_):
        (proc / "self/task/8/schedstat").unlink()

    assert passed(system, monkeypatch, end)["run_queue_wait_ms"] == 0


@pytest.mark.parametrize(
    ("files", "cpus", "usable"),
    [
        ({"job/cpu.max": "max 100000"}, None, 2),
        ({"job/cpu.max": "150000 100000"}, 1.5, 1),
        ({"job/cpu.max": "50000 100000"}, 0.5, 1),
        ({"job/cpu.max": "800000 100000", "cpu.max": "200000 100000"}, 2.0, 2),
    ],
)
def test_the_quota_of_a_cgroup_limits_the_usable_cpus(system, files, cpus, usable):
    for name, text in files.items():
        write(system[1] / "fs/cgroup" / name, text)
    assert cgroup_cpus(*system) == cpus
    assert usable_cpus(*system) == usable


def test_the_quota_of_version_1(system):
    proc, sys_ = system
    write(proc / "self/cgroup", "4:cpu,cpuacct:/job\n3:memory:/job\n")
    write(sys_ / "fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n")
    write(sys_ / "fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n")
    write(sys_ / "fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    write(sys_ / "fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert cgroup_cpus(*system) == 2.5


def test_a_report_needs_two_looks(system):
    with pytest.raises(ValueError, match="two looks"):
        CpuWatch(1, *system).report()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_spinning_neighbours_are_seen_on_this_machine():
    """As many as there are CPUs, so that this process has to wait for one."""
    spin = [sys.executable, "-c", "while True: pass"]
    neighbours = [subprocess.Popen(spin) for _ in cpu.affinity() for _ in range(2)]
    try:
        time.sleep(0.5)
        watch = CpuWatch(1)
        watch.look()
        until = time.perf_counter() + 1
        while time.perf_counter() < until:
            pass
        watch.look()
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
    assert watch.report()["run_queue_wait_share"] > 0.05


def test_hyper_threads_of_a_core_stay_together(tmp_path):
    for number in range(8):  # as Linux counts them: the second threads behind all first ones
        folder = tmp_path / f"devices/system/cpu/cpu{number}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{number % 4},{number % 4 + 4}\n")
    cores = whole_cores(range(8), tmp_path)
    assert cores == [(0, 4), (1, 5), (2, 6), (3, 7)]
    assert shared_out(cores, [None, None]) == [(0, 4, 1, 5), (2, 6, 3, 7)]
    assert whole_cores([1, 5, 2], tmp_path) == [(1, 5), (2,)]  # what the affinity leaves
    assert whole_cores([0, 1], tmp_path / "nowhere") == [(0,), (1,)]


def test_a_place_gets_the_cores_beside_it_and_the_rest_is_shared():
    cores = [(number,) for number in range(8)]
    near, far = {0, 1, 2}, {3, 4, 5}
    assert shared_out(cores, [far, near, near]) == [(3, 4, 5), (0,), (1,)]
    assert shared_out(cores, [near, far]) == [(0, 1, 2, 6), (3, 4, 5, 7)]
    assert shared_out(cores[:1], [None, None]) == [(0,), (0,)]  # too few for all
