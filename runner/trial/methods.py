"""The properties of the timing methods, in one table.

Their implementations are in runner/measure/methods.py.
"""

from __future__ import annotations

from dataclasses import dataclass

EVERYWHERE = ("cpu", "cuda", "xpu", "mps", "simulated")


@dataclass(frozen=True)
class Method:
    """The properties of a timing method's samples.

    `devices` are the kinds it works on. `synchronized`: a sample ends when its work is done; only
    a CPU's work is always done when the call returns. `unbroken`: passes follow each other without
    a pause. `has_latency`: a sample is the time that one pass takes; of an unbroken method without,
    only the throughput counts. `by_events`: it waits for the
    stream of its events only. `isolated`: a sample contains everything that one request takes, the
    host's launches included. `same_inputs`: every pass uses the same inputs.
    """

    devices: tuple[str, ...]
    synchronized: bool = True
    unbroken: bool = False
    has_latency: bool = True
    by_events: bool = False
    isolated: bool = False
    same_inputs: bool = False


METHODS = {
    "naive": Method(EVERYWHERE, synchronized=False, unbroken=True),
    "wall": Method(EVERYWHERE, isolated=True),
    # Apple's events are not reliable
    "event": Method(("cuda", "xpu", "simulated"), by_events=True, isolated=True),
    # torch can keep only CUDA devices busy
    "queued": Method(("cuda", "simulated"), by_events=True),
    "pipelined": Method(("cuda", "xpu", "simulated"), unbroken=True, has_latency=False),
    "graph": Method(("cuda", "simulated"), by_events=True, same_inputs=True),
}


def resolve_method(method: str, kind: str) -> str:
    """The timing method: `auto` is event if the kind of device has events, else wall."""
    if method != "auto":
        return method
    return "event" if kind in METHODS["event"].devices else "wall"


def is_synchronized(method: str, kind: str) -> bool:
    """Whether samples by this method end when the device has done their work."""
    return METHODS[method].synchronized or kind == "cpu"
