"""The six methods on a fake GPU give what its script says, exactly, whatever the host does."""

from __future__ import annotations

import pytest
from fakecuda.conftest import codes

METHODS = ("naive", "wall", "event", "queued", "pipelined", "graph")
HOST = "cost sync 3\ncost event 2\ncost graph_launch 5\n"
# ten kernels of 200 us, each launched in 5 us: the GPU is always busy
BUSY = f"{HOST}cost launch 5\nkernel elementwise 200\n"
# ten kernels of 10 us, each launched in 150 us: the GPU waits for the host
IDLE = f"{HOST}cost launch 150\nkernel elementwise 10\n"


def test_the_scripted_truth_exactly(timed):
    ran, records = timed("Chain", f"timing.method={','.join(METHODS)}", scripts=[BUSY, IDLE])
    assert ran.code == 0, ran.err
    sweeps = [dict.fromkeys(METHODS), dict.fromkeys(METHODS)]
    for record in records:
        number = record.trial.model.kwargs["script"].endswith("1.script")
        sweeps[number][record.trial.timing.method] = record
    # naive: what launching takes; wall: from the first launch to the end of the wait; event: the
    # first launch and all kernels, or all launches and the last kernel; queued: the kernels;
    # graph: one launch and the kernels
    expected_us = [
        {"naive": 50, "wall": 5 + 2000 + 3, "event": 5 + 2000, "queued": 2000, "graph": 5 + 2000},
        {"naive": 1500, "wall": 1500 + 10 + 3, "event": 1510, "queued": 100, "graph": 5 + 100},
    ]
    expected_launch_us = [
        {"enqueue_ms": 50, "event_ms": 2005, "queued_ms": 2000},
        {"enqueue_ms": 1500, "event_ms": 1510, "queued_ms": 100},
    ]
    for found, latency_us, launch_us in zip(sweeps, expected_us, expected_launch_us, strict=True):
        for method, us in latency_us.items():
            assert found[method].latency_ms == pytest.approx([us / 1000] * 60, abs=2e-6), method
        for method, record in found.items():
            for name, us in launch_us.items():
                assert record.figures[name] == pytest.approx(us / 1000, abs=2e-6), (method, name)
        flags = {method: codes(record) for method, record in found.items()}
        isolated, behind = ("suspect", "note") if found is sweeps[1] else (None, None)
        assert {flags[method].get("HOST_BOUND") for method in ("wall", "event")} == {isolated}
        assert flags["queued"].get("HOST_BOUND") == behind
        assert flags["naive"]["NO_SYNC"] == "invalid"
        assert all("NO_SYNC" not in flags[method] for method in METHODS[1:])
        slowest_us = max(latency_us["queued"], latency_us["naive"])
        rate = found["pipelined"].summary["img_s"]
        assert rate == pytest.approx(1e6 / slowest_us, rel=0.01)  # the GPU, or the host
