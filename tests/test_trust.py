"""Can the number be believed? Through the whole program, with networks whose time is known."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.alone
CUSTOM = ("model=custom", "tracking=off")


def codes(record):
    return {reason["code"] for reason in record.reasons}


def test_a_module_that_sleeps_50_ms_takes_50_ms(program):
    for attempt in range(3):  # a busy host wakes a sleeper late
        ran = program(
            *CUSTOM,
            "model.target=networks.Sleep",
            "input.size=8",
            "timing.iterations=40",
            f"sweep.id=attempt{attempt}",
        )
        assert ran.code == 0, ran.out + ran.err
        record = ran.records()[-1]
        if record.summary["p50_ms"] == pytest.approx(50, rel=0.01):
            break
    else:
        pytest.fail(f"reported {record.summary['p50_ms']} ms for 50")
    low, high = record.summary["ci_ms"]["p50"]
    assert low <= record.summary["p50_ms"] <= high
    assert "WARMUP_SHORT" not in codes(record)
    assert record.contention["cpu"]["threads"] >= 1
    assert len(record.contention["cpu"]["run_queue_wait_share_by_block"]) == 10


def test_a_slow_start_is_flagged_with_the_warm_up_that_would_have_sufficed(program):
    ran = program(
        *CUSTOM, "model.target=networks.SlowStart", "input.size=8", "timing.iterations=60"
    )
    (record,) = ran.records()
    assert record.verdict == "invalid"
    (flag,) = [reason for reason in record.reasons if reason["code"] == "WARMUP_SHORT"]
    enough = int(flag["need"])
    assert 30 <= enough <= 45  # noise at its end may look like part of it
    assert flag["remedy"] == f"timing.warmup={enough} would have sufficed"
    assert f"WARMUP_SHORT: {flag['found']}; {flag['remedy']}" in ran.out
    assert "invalid: WARMUP_SHORT" in ran.out
    again = program(
        *CUSTOM,
        "model.target=networks.SlowStart",
        "input.size=8",
        "timing.iterations=60",
        f"timing.warmup={enough}",
        "sweep.id=enough",
    )
    # a host may go on with small steps of its own: they are no more than a note
    levels = {reason["code"]: reason["level"] for reason in again.records()[-1].reasons}
    assert levels.get("WARMUP_SHORT", "note") == "note"


@contextlib.contextmanager
def spinning(number):
    neighbours = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)
    ]
    try:
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


def others_share():
    """What others take from a spinner per CPU in half a second, by the spinners' own clocks."""
    spin = (
        "import time; cpu, start = time.process_time(), time.monotonic()\n"
        "while (wall := time.monotonic() - start) < 0.5: pass\n"
        "print(1 - (time.process_time() - cpu) / wall)"
    )
    spinners = [
        subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE, text=True)
        for _ in os.sched_getaffinity(0)
    ]
    return max(float(spinner.communicate()[0]) for spinner in spinners)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_spinning_neighbours_are_seen_and_alone_there_is_no_contention(program):
    def contended(name):
        ran = program(
            *CUSTOM,
            "model.target=networks.Multiplies",
            "input.size=128",
            "timing.warmup=5",
            "timing.iterations=60",
            f"sweep.id={name}",
        )
        assert ran.code == 0, ran.out + ran.err
        record = next(record for record in ran.records() if record.sweep_id == name)
        return "CPU_CONTENDED" in codes(record)

    with spinning(2 * len(os.sched_getaffinity(0))):
        assert contended("crowded")
    shares = []
    for attempt in range(5):
        if not contended(f"alone{attempt}"):
            return
        shares.append(others_share())
    # never alone: then spinners of our own see it too
    assert sum(share > 0.01 for share in shares) >= 3, f"CPU_CONTENDED, but others took {shares}"


def test_the_demo_shows_the_articles_rows_against_the_true_time(program):
    ran = program("sweep=demo", "tracking=off")
    assert ran.code == 0, ran.out + ran.err
    cold, warm, event = ran.records()
    assert cold.verdict == warm.verdict == "invalid"
    assert event.verdict == "valid"
    assert event.summary["p50_ms"] == pytest.approx(event.figures["true_ms"], abs=1e-3)
    assert cold.summary["mean_ms"] > 1.2 * event.figures["true_ms"]
    assert warm.summary["mean_ms"] < 0.95 * event.figures["true_ms"]
    for text in (
        "true ms",
        "no problems: warm and synchronized",
        "not synchronized",
        "scripted clock",
    ):
        assert text in ran.out


def test_all_methods_run_on_the_simulated_device(program):
    methods = ("naive", "wall", "event", "queued", "pipelined", "graph")
    ran = program("model=simulated", f"timing.method={','.join(methods)}", "tracking=off")
    assert ran.code == 0, ran.out + ran.err
    found = {record.trial.timing.method: record for record in ran.records()}
    assert tuple(found) == methods
    assert found["queued"].summary["p50_ms"] == pytest.approx(46.0)
    assert found["graph"].summary["p50_ms"] == pytest.approx(46.02, abs=0.05)
    assert found["pipelined"].summary["img_s"] == pytest.approx(1000 / 46, rel=0.01)
    assert found["pipelined"].summary["p50_ms"] is None
    assert {name for name, record in found.items() if record.verdict != "valid"} == {"naive"}


def test_adaptive_timing_stops_when_the_median_is_known(program):
    ran = program(
        *CUSTOM,
        "model.target=networks.Sleep",
        "input.size=8",
        "timing=adaptive",
        "timing.warmup=5",
        "timing.target=0.01",
    )
    (record,) = ran.records()
    assert record.effective["converged"] is True
    assert 30 <= record.summary["n"] < 200


@pytest.mark.parametrize("cache", ["flush", "rotate"])
def test_cold_caches_can_be_timed_on_a_cpu(program, cache):
    ran = program(
        *CUSTOM,
        "model.target=networks.Identity",
        "input.size=64",
        f"timing.cache={cache}",
        "timing.warmup=2",
        "timing.iterations=10",
    )
    assert ran.code == 0, ran.out + ran.err
    (record,) = ran.records()
    assert record.trial.timing.cache == cache
    assert (record.effective["inner"] == 1) == (cache == "flush")


def test_repeats_are_shuffled_rounds_with_a_recorded_seed(program):
    def order(name, *arguments):
        ran = program(
            *CUSTOM,
            "model.target=networks.Identity",
            "input.size=range(8,13)",
            "timing=quick",
            "sweep.repeats=3",
            f"sweep.id={name}",
            *arguments,
        )
        assert ran.code == 0, ran.out + ran.err
        records = [record for record in ran.records() if record.sweep_id == name]
        assert [record.repeat for record in records] == [0] * 5 + [1] * 5 + [2] * 5
        (seed,) = {record.order_seed for record in records}
        assert "processes" in ran.out
        assert "spread %" in ran.out
        return seed, [record.trial.input.size[0] for record in records]

    seed, sizes = order("first")
    assert sizes[:5] != sizes[5:10] or sizes[:5] != sizes[10:]
    assert sorted(sizes[:5]) == sorted(sizes[10:]) == [8, 9, 10, 11, 12]
    assert order("second", f"sweep.order_seed={seed}") == (seed, sizes)
    assert order("third")[0] != seed


def test_every_null_of_a_record_has_its_reason(program):
    ran = program(*CUSTOM, "model.target=networks.Multiplies", "input.size=64", "timing=quick")
    (record,) = ran.records()
    nulls = {name for name, value in record.summary.items() if value is None}
    assert nulls <= record.summary["why_null"].keys()
    cpu = record.contention["cpu"]
    for name in ("run_queue_wait", "steal", "pressure", "throttled"):
        assert (cpu[f"{name}_share"] is None) == (name in cpu["unknown"])
    json.dumps(record.contention, allow_nan=False)
