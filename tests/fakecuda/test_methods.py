"""The six methods on a fake GPU give what its script says, exactly, whatever the host does."""

from __future__ import annotations

import pytest
from fakecuda.conftest import codes

METHODS = ("naive", "wall", "event", "queued", "pipelined", "graph")
# ten kernels of 20 us, launched in 5 us each: the GPU is busy for 200 us
BUSY = "cost launch 5\ncost sync 3\ncost event 2\nkernel elementwise 20\n"
# ten kernels of 1 us: the GPU waits for the host, which takes 150 us to launch them
IDLE = "cost launch 15\ncost graph_launch 5\ncost sync 3\ncost event 2\nkernel elementwise 1\n"


def methods_of(records):
    return {record.trial.timing.method: record for record in records}


@pytest.mark.parametrize(
    ("script", "latency_us", "launch"),
    [
        # naive: what launching takes, 50 us; wall: from the first launch to the end of the sync;
        # event: the first launch, and all kernels (or where the host is late, its end); queued: the
        # kernels; graph: one launch and the kernels
        (
            BUSY,
            {"naive": 50, "wall": 5 + 200 + 3, "event": 5 + 200, "queued": 200, "graph": 5 + 200},
            {"enqueue_ms": 0.05, "event_ms": 0.205, "queued_ms": 0.2},
        ),
        (
            IDLE,
            {"naive": 150, "wall": 150 + 1 + 3, "event": 150 + 2, "queued": 10, "graph": 5 + 10},
            {"enqueue_ms": 0.15, "event_ms": 0.152, "queued_ms": 0.01},
        ),
    ],
    ids=["busy", "idle"],
)
def test_the_scripted_truth_exactly(timed, script, latency_us, launch):
    ran, records = timed("Chain", f"timing.method={','.join(METHODS)}", script=script)
    assert ran.code == 0, ran.err
    found = methods_of(records)
    assert found.keys() == set(METHODS)
    for method, us in latency_us.items():
        assert found[method].latency_ms == pytest.approx([us / 1000] * 60, abs=1e-6), method
    for method, record in found.items():
        for name, ms in launch.items():
            assert record.figures[name] == pytest.approx(ms, abs=1e-6), (method, name)
    flags = {method: codes(record) for method, record in found.items()}
    levels = {flags[method].get("HOST_BOUND") for method in ("wall", "event")}
    assert levels == {None if script is BUSY else "suspect"}
    assert flags["queued"].get("HOST_BOUND") == (None if script is BUSY else "note")
    assert flags["naive"]["NO_SYNC"] == "invalid"
    assert all("NO_SYNC" not in flags[method] for method in METHODS[1:])
