"""The launch probe: does the device wait for the host? A few passes, after the timed part."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from runner.contract import MeasureError
from runner.measure.device import Device
from runner.measure.loop import no_garbage_collection
from runner.measure.methods import Forward, Queued, event

PASSES = 10  # at most, in each of the three ways
BUDGET_S = 1.0  # after which no further pass starts


@dataclass(frozen=True)
class LaunchCost:
    """Times of a few passes, which show whether the device waits for the host.

    Medians of its `series`: `enqueue_ms` is the host's time for launching a pass on an empty
    queue, `event_ms` the pass by events from an empty queue, `queued_ms` behind a busy device:
    None for a pass that can't be queued as a whole, or not within the budget, and
    `why_not_queued` says so.
    """

    enqueue_ms: float
    event_ms: float
    queued_ms: float | None
    why_not_queued: str | None
    series: dict[str, list[float]]


def launch_cost(forward: Forward, device: Device) -> LaunchCost:
    """Time a few passes by event and by queued, to separate device time from launch time.

    For devices that `queued` works on. Takes a second, or as long as one pass beyond it.
    """
    enqueue_ms: list[float] = []

    def launched() -> None:
        start_ns = device.now_ns()
        forward()
        enqueue_ms.append((device.now_ns() - start_ns) / 1e6)

    event_ms: list[float] = []
    queued_ms: list[float] = []
    why_not = None
    with device.selected(), no_garbage_collection():
        forward()  # untimed: after a graph its launches are cold
        device.synchronize()
        until_ns = device.now_ns() + BUDGET_S * 1e9
        alone = event(launched, device)
        event_ms += alone(1).latency_ms
        behind = Queued(forward, device, launch_ms=enqueue_ms[0], give_up_ns=until_ns)
        while len(queued_ms) < PASSES and device.now_ns() < until_ns:
            try:
                queued_ms += behind(1).latency_ms
            except MeasureError as error:
                why_not = str(error)
                break
            if len(event_ms) < PASSES and device.now_ns() < until_ns:
                event_ms += alone(1).latency_ms  # alternating, so that a drift affects both
    if not queued_ms and why_not is None:
        why_not = f"a single pass used up the launch probe's {BUDGET_S:.0f} s"
    series = {"enqueue_ms": enqueue_ms, "event_ms": event_ms, "queued_ms": queued_ms}
    behind_ms = median(queued_ms) if queued_ms else None
    return LaunchCost(median(enqueue_ms), median(event_ms), behind_ms, why_not, series)
