"""What a GPU does that fails or disturbs, and what the program makes of it."""

from __future__ import annotations

import json
import multiprocessing
import os

import pytest
from fakecuda.conftest import codes
from fakes.program import run_in

SLOW = "cost kernel 2000\n"  # few passes, for operators that the CPU computes


def by_method(records):
    return {record.trial.timing.method: record for record in records}


def test_a_gpu_that_breaks_after_the_last_sample_leaves_a_suspect_number(timed, tmp_path):
    trace = tmp_path / "trace"
    ran, _ = timed("Chain", FAKECUDA_TRACE=str(trace))
    assert ran.code == 0, ran.err
    launches = sum(" launch " in line for line in trace.read_text().splitlines())
    # under load, of which most launches are; in the pass whose output is looked at, at the very end
    faults = [f"fault launch {nth} error 214" for nth in (launches // 2, launches - 8)]
    _, records = timed("Chain", scripts=faults)
    for record in records:
        assert record.status == "completed", record.error
        assert record.latency_ms == pytest.approx([2.005] * 60, abs=1e-6)
        assert record.verdict == "suspect"
        (reason,) = [reason for reason in record.reasons if reason["code"] == "NOT_CHECKED"]
        assert "uncorrectable ECC error" in reason["found"]


@pytest.mark.parametrize("method", ["event", "graph"])
def test_a_gpu_that_breaks_in_a_sample_is_named(timed, method):
    errors = {
        214: "uncorrectable ECC error", 700: "illegal memory access", 999: "unknown error",
        719: "unspecified launch failure", 702: "timed out",
    }  # fmt: skip
    scripts = [f"fault launch 40 error {error}" for error in errors]
    ran, records = timed("Chain", f"timing.method={method}", scripts=scripts)
    assert ran.code != 0
    for record, said in zip(records, errors.values(), strict=True):
        assert record.status == "failed"
        assert said in record.error["message"]
        assert "\n" not in record.error["message"].strip()
        assert "captured" not in record.error["message"]  # it is the GPU, not the network


def test_a_fault_costs_its_own_trial_only(timed):
    faults = {
        "": ("completed", "null"),
        "fault launch 300 hang": ("timed_out", "6"),
        "fault launch 300 die": ("failed", "SIGKILL"),
        "set memory_mib 520": ("out_of_memory", "out of memory"),  # the context has 512
        "fault malloc 1 error 2": ("completed", "null"),  # torch tries once more
        "fault sync 20 error 719": ("failed", "unspecified launch failure"),
        "fault nvml nvmlDeviceGetClockInfo error 15": ("completed", "null"),
    }
    ran, records = timed("Chain", "timing.timeout_s=6", scripts=list(faults))
    found = [(record.status, json.dumps(record.error)) for record in records]
    for (status, error), (expected, said) in zip(found, faults.values(), strict=True):
        assert (status, said in error) == (expected, True), f"{said}: {status}, {error}"
    assert ran.code != 0


def test_a_network_that_looks_at_results_is_no_graph_and_spoils_no_other_trial(timed):
    """In one process: the capture's stream stays torch's current one unless another is set."""
    methods = "timing.method=graph,event,wall"
    _, records = timed("Branches", methods, "isolation=none", script=SLOW)
    found = by_method(records)
    message = found["graph"].error["message"]
    assert "can't be captured as a CUDA graph (CUDA error: operation not permitted" in message
    assert "use timing.method=event" in message
    assert found["event"].verdict == found["wall"].verdict == "valid"


def test_work_on_a_stream_of_its_own_is_not_measured_as_nothing(timed):
    _, records = timed("OwnStream", "timing.method=queued,event,wall")
    found = by_method(records)
    assert found["queued"].status == "failed"
    assert "stream" in found["queued"].error["message"]
    waits = 2.005 + 0.003  # it waits itself, and the sample ends with what the host does then
    assert found["event"].latency_ms[0] == pytest.approx(waits + 0.002, abs=1e-6)
    assert found["wall"].latency_ms[0] == pytest.approx(waits + 0.003, abs=1e-6)
    for method in ("event", "wall"):
        assert found[method].verdict == "valid", found[method].reasons
        assert "HOST_BOUND" not in codes(found[method])


def test_work_that_a_queue_does_not_hold_back_is_not_queued(timed):
    """It runs while the spin holds the other stream: queued saw a seventh of it, and was valid."""
    _, records = timed("NoFork", "timing.method=queued,event,wall")
    found = by_method(records)
    assert found["queued"].status == "failed"
    assert "uses another stream" in found["queued"].error["message"]
    for method in ("event", "wall"):
        assert found[method].latency_ms[0] == pytest.approx(7.005 + 0.005, abs=0.01)
        assert found[method].figures["queued_ms"] is None
        assert "another stream" in found[method].why_null["figures.queued_ms"]
        assert "HOST_BOUND" not in codes(found[method])


def test_pipelined_makes_no_events_between_its_passes(timed, tmp_path):
    trace = tmp_path / "trace"
    timed("Chain", "timing.method=pipelined", FAKECUDA_TRACE=str(trace))
    words = [line.split()[2:4] for line in trace.read_text().splitlines()]
    events = [" ".join(two) for two in words if two[1] == "event"]
    made = [number for number, event in enumerate(events) if event == "create event"]
    # all events of a block are made one after the other; no record lies between, but for warm-ups
    assert made
    longest = max(b - a for a, b in zip(made, [*made[1:], len(events)], strict=True))
    assert longest >= 2 * 6  # the records of a whole block, behind its last new event


def test_the_load_phase_ends_though_the_samples_hide_its_work(timed, tmp_path):
    """A pass is seen as 0.2 ms where 2 s of its work are on another stream: few make a chunk."""
    trace = tmp_path / "trace"
    _, (record,) = timed("Hidden", FAKECUDA_TRACE=str(trace))
    assert record.latency_ms[0] < 1
    assert codes(record)["NO_SYNC"] == "invalid"
    spins = sum("spin_kernel" in line for line in trace.read_text().splitlines())
    assert 65 < spins < 65 + 30  # warm-up and samples; then the launch probe, and one pass of load


def test_the_launch_probe_is_warm_after_a_graph(timed):
    """Its first eager pass takes new memory, as the graph has a pool of its own."""
    _, (record,) = timed("Chain", "timing.method=graph", script="cost malloc 50000\n")
    assert record.figures["enqueue_ms"] == pytest.approx(0.05, abs=1e-6)
    assert record.figures["queued_ms"] == pytest.approx(0.2, abs=1e-6)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_each_gpu_gets_the_cpus_that_are_near(timed, tmp_path):
    first, second = sorted(os.sched_getaffinity(0))[:2]
    near = f"at 0 gpu 0 cpus {1 << second}\nat 0 gpu 1 cpus {1 << first}\n"
    timed(
        "Where", "hydra/launcher=gpus", "input.size=32,64",
        script=f"set gpus 2\nkernel elementwise 200\n{near}",
    )  # fmt: skip
    found = {path.name: path.read_text() for path in tmp_path.glob("cpus-*.txt")}
    cores = [json.loads(text) for text in found.values()]
    assert found.keys() == {"cpus-00.txt", "cpus-01.txt"}
    assert second in json.loads(found["cpus-00.txt"])
    assert first in json.loads(found["cpus-01.txt"])
    assert not set(cores[0]) & set(cores[1])


def test_the_doctor_names_a_gpu_that_does_not_work(fake_gpus, tmp_path):
    for script, said in (
        ("set memory_mib 300", "out of memory"),
        ("fault launch 30 error 214", "uncorrectable ECC error"),
    ):
        ran = run_in(tmp_path, "--json", door="runner.doctor", **fake_gpus(script))
        checks = {check["name"]: check for check in json.loads(ran.out)["checks"]}
        assert checks["cuda:0"]["level"] == "problem"
        assert said in checks["cuda:0"]["found"]
        assert {"contention", "MLflow"} <= checks.keys()  # the others go on
        assert ran.code == 1
        assert "Traceback" not in ran.err


def test_what_the_machine_does_meanwhile_is_in_the_verdict(timed):
    expected = {
        "": {},
        "at 0 reasons 0x40": {"THROTTLED": "invalid"},  # by hardware, of heat
        "at 0 reasons 0x4": {"THROTTLED": "suspect"},  # the power cap
        "at 0 clock_mhz 1200": {"LOW_CLOCK": "note"},  # of 1980, and nothing says why
        "at 0 violation_thermal 0.5": {"THROTTLED": "invalid"},  # half of the time
        "at 0 compute_pid 4711": {"FOREIGN_PROCESS": "suspect"},
        "at 0 graphics_pid 4711": {"FOREIGN_PROCESS": "suspect"},
        "at 0 compute_pid 4711\nat 0.001 compute_pid 0": {},  # it has gone
        "at 0 cpu_wait 0.2": {"CPU_CONTENDED": "invalid"},
        # what can't be read is unknown, and never clean
        "fault nvml nvmlDeviceGetViolationStatus error 3": {"NOT_CHECKED": "note"},
        "fault nvml nvmlInit_v2 error 9": {"NOT_CHECKED": "suspect", "FOREIGN_PROCESS": "note"},
        "fault nvml nvmlDeviceGetClockInfo error 15": {"NOT_CHECKED": "suspect"},
        "set container 1": {"FOREIGN_PROCESS": "note"},
        "set mig divided": {"FOREIGN_PROCESS": "note"},
    }
    _, records = timed("Chain", scripts=list(expected))
    found = dict(zip(expected, map(codes, records), strict=True))
    assert found == expected
    unknown = ("power_violation", "nvml", "sm_clock_mhz", "foreign_pids", "foreign_pids")
    for record, name in zip(records[-5:], unknown, strict=True):
        assert name in record.contention["gpu"]["unknown"]
    assert set(records[-5].contention["gpu"]["violation_ns"].values()) == {None}
    assert records[-1].contention["gpu"]["mig"] is True
    assert records[3].latency_ms[0] == pytest.approx(0.005 + 2 * 1980 / 1200, abs=1e-6)


def test_the_same_figures_and_looks_under_load(timed):
    def figures():
        _, (record,) = timed("Chain")
        gpu = record.contention["gpu"]
        looks = [len(gpu[name]) for name in ("sm_clock_mhz", "sm_clock_mhz_between")]
        return record.latency_ms, record.warmup_ms, looks, gpu["watched_ns"], record.verdict

    quiet = figures()
    busy = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(3)]
    for process in busy:
        process.start()
    try:
        assert figures() == quiet
    finally:
        for process in busy:
            process.kill()
            process.join()
    assert quiet[-1] == "valid"


def _spin():
    while True:
        pass
