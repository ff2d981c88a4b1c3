"""A trial under load: instances that answer queries, and what is kept of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from runner.contract import Phase, Status, TargetVerdict
from runner.measure.loop import Keep, no_garbage_collection
from runner.records.record import Outcome
from runner.serving.arrivals import schedule_ns
from runner.serving.clock import HostClock, sleep_precisely
from runner.serving.play import (
    Instance,
    Next,
    Rules,
    Served,
    from_queue,
    play,
    simulate,
    single_stream,
)
from runner.serving.queue import Queue
from runner.serving.result import Answered, answered, figures_of
from runner.trial.description import Trial

if TYPE_CHECKING:
    from runner.measure.simulated import SimulatedDevice
    from runner.statistics.tail_target import TargetResult
    from runner.worker.prepared import Prepared

DRAIN, DRAIN_S = 1.25, 5.0  # times the schedule, and seconds, within which the queue must be empty
EVERY_SIZE = 16  # of a batch; of larger ones only some are warmed up
LOOK_S = 1.0  # between two readings of the counters


class Watch:
    """Asked after each batch: keeps samples, reads the counters, and looks at the target.

    With a clock that is one thread's own, what that takes does not count.
    """

    def __init__(
        self, trial: Trial, arrivals_ns: Any, keep: Keep, look: Callable[[], object],
        clock: HostClock | None,
    ) -> None:  # fmt: skip
        from runner.statistics.tail_target import looks_at

        self._trial, self._arrivals_ns = trial, arrivals_ns
        self._keep, self._look, self._clock = keep, look, clock
        count = trial.load.queries if not len(arrivals_ns) else len(arrivals_ns)
        self._looks = looks_at(count) if trial.load.target_ms is not None else []
        self._left = list(self._looks)
        self._batches = self._queries = self._kept = 0
        self._looked_at = time.monotonic()
        self.decided = False

    def __call__(self, served: Served) -> bool:
        """Whether the queries so far decide the target."""
        for batch in served.batches[self._batches :]:
            self._queries += batch.size
        self._batches = len(served.batches)
        now = time.monotonic()
        is_look = bool(self._left) and self._queries >= self._left[0]
        if not is_look and now - self._looked_at < LOOK_S:
            return False
        self._looked_at = now
        since_ns = self._clock.now_ns() if self._clock else 0
        found = answered(served.until_open(), self._arrivals_ns)
        self._keep.timed(found.latency_ms[self._kept :].tolist())
        self._kept = len(found.latency_ms)
        if self._clock is not None:
            self._look()
        if is_look:
            while self._left and self._queries >= self._left[0]:
                self._left.pop(0)
            self.decided = self.judged(found).verdict != TargetVerdict.UNDECIDED
        if self._clock is not None:
            self._clock.skip(since_ns)
        return self.decided

    def judged(self, found: Answered, unanswered: int = 0) -> TargetResult:
        """What the queries say of the target."""
        from runner.statistics.tail_target import judge_target

        load = self._trial.load
        return judge_target(
            found.latency_ms, load.target_ms or 0.0, load.percentile / 100, self._looks, unanswered
        )


def serve(prepared: Prepared, phase: Callable[..., None], keep: Keep) -> Outcome:
    """Play the trial's load against its network: the raw outcome."""
    trial = prepared.trial
    load, several = trial.load, trial.load.instances > 1
    clock = HostClock(shared=several)
    instances = [_TorchInstance(prepared, clock) for _ in range(load.instances)]
    arrivals_ns = _arrivals(trial)
    watch = Watch(trial, arrivals_ns, keep, prepared.look, None if several else clock)

    def started() -> None:
        keep.warmed_up(instances[0].warmup_ms)
        last_s = int(arrivals_ns[-1]) / 1e9 if load.name == "server" else None
        phase(Phase.TIMED, last_s)
        prepared.look()

    rules = Rules(_end_ns(trial, arrivals_ns), watch, started)
    phase(Phase.WARM_UP, None)
    with no_garbage_collection():
        served = play(_following(trial, arrivals_ns, rules.end_ns), instances, rules)
    prepared.look()
    return _outcome(trial, served, arrivals_ns, watch, instances[0].warmup_ms, prepared.setup_s)


def serve_simulated(trial: Trial, devices: Sequence[SimulatedDevice], keep: Keep) -> Outcome:
    """Play the trial's load against simulated devices, one for each instance."""
    arrivals_ns = _arrivals(trial)
    instances = [_SimulatedInstance(device, trial.timing.warmup) for device in devices]
    watch = Watch(trial, arrivals_ns, keep, lambda: None, None)
    rules = Rules(_end_ns(trial, arrivals_ns), watch)
    served = simulate(_following(trial, arrivals_ns, rules.end_ns), instances, rules)
    warmup_ms = instances[0].warmup_ms
    true_ms = {"true_ms": devices[0].latency_ms}
    return _outcome(trial, served, arrivals_ns, watch, warmup_ms, true_ms)


def _arrivals(trial: Trial) -> Any:
    """Nanoseconds at which queries arrive; empty if each comes when the last is answered."""
    if trial.load.name == "single_stream":
        return []
    seed = (trial.seed, trial.repeat)  # each process has arrivals of its own
    return schedule_ns(trial.load, seed, trial.timing.max_seconds)


def _following(trial: Trial, arrivals_ns: Any, end_ns: int | None) -> Next:
    load = trial.load
    if load.name == "single_stream":
        return single_stream(load.queries, end_ns)
    queue = Queue(arrivals_ns.tolist(), load.max_batch, load.max_wait_ms * 1e6)
    return from_queue(queue, end_ns)


def _end_ns(trial: Trial, arrivals_ns: Any) -> int | None:
    """When to stop: after the budget, or if a queue does not drain after its last arrival."""
    if trial.load.name == "server":
        return round(DRAIN * int(arrivals_ns[-1]) + DRAIN_S * 1e9)
    budget_s = trial.timing.max_seconds
    return None if budget_s is None else round(budget_s * 1e9)


def _outcome(
    trial: Trial, served: Served, arrivals_ns: Any, watch: Watch, warmup_ms: list[float],
    figures: dict[str, float],
) -> Outcome:  # fmt: skip
    load, found = trial.load, answered(served, arrivals_ns)
    unanswered = 0
    if load.name == "server" and not watch.decided:
        unanswered = len(arrivals_ns) - len(found.latency_ms)
    effective: dict[str, Any] = {"inner": 1, "converged": None}
    more = figures_of(found, load.instances, unanswered, load.percentile / 100)
    if load.target_ms is not None:
        judged = watch.judged(found, unanswered)
        effective["target"] = str(judged.verdict)
        more |= {"target_over": float(judged.over), "target_tau": judged.tau}
    return Outcome(
        Status.COMPLETED,
        warmup_ms=tuple(warmup_ms),
        latency_ms=tuple(found.latency_ms.tolist()),
        series=found.series,
        figures={**figures, **more},
        effective=effective,
        why_null={"contention": "not read yet"},
    )


class _TorchInstance:
    """A thread with the trial's network; on a GPU with a stream of its own."""

    def __init__(self, prepared: Prepared, clock: HostClock) -> None:
        self._prepared = prepared
        self._several = prepared.trial.load.instances > 1
        self._finish = prepared.device.synchronize
        self.warmup_ms: list[float] = []
        self.start, self.now_ns, self.wait_until = clock.start, clock.now_ns, clock.wait_until

    @contextmanager
    def working(self) -> Iterator[None]:
        """Settings that torch has for each thread."""
        import torch

        sleep_precisely()
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            stack.enter_context(self._prepared.device.selected())
            if self._several:
                stack.enter_context(self._own_stream())
            yield

    def _own_stream(self) -> AbstractContextManager[object]:
        import torch

        if torch.device(self._prepared.trial.device).type != "cuda":
            return nullcontext()
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._finish = stream.synchronize
        return torch.cuda.stream(stream)

    def warm_up(self) -> None:
        """timing.warmup queries, then a batch of each size up to EVERY_SIZE, then of some."""
        self.warmup_ms = _one_by_one(self, self._prepared.trial.timing.warmup)
        if self._prepared.trial.timing.warmup:
            load = self._prepared.trial.load
            for queries in sizes_up_to(min(load.max_batch, load.queries)):
                self.answer(queries)

    def answer(self, queries: int) -> None:
        """See Instance."""
        self._prepared.answer(queries)
        self._finish()


def _one_by_one(instance: Instance, queries: int) -> list[float]:
    """The milliseconds of each of so many queries."""
    taken_ms = []
    for _ in range(queries):
        began_ns = instance.now_ns()
        instance.answer(1)
        taken_ms.append((instance.now_ns() - began_ns) / 1e6)
    return taken_ms


def sizes_up_to(most: int) -> list[int]:
    """The sizes of batches to warm up: all few ones, and above them each twice the one before."""
    doubled = [EVERY_SIZE << place for place in range(1, 20) if EVERY_SIZE << place < most]
    return [*range(2, min(most, EVERY_SIZE) + 1), *doubled, *([most] if most > EVERY_SIZE else [])]


class _SimulatedInstance:
    """A simulated device with its own clock."""

    def __init__(self, device: SimulatedDevice, warmups: int) -> None:
        self._device, self._warmups, self._start_ns = device, warmups, 0
        self.warmup_ms: list[float] = []

    def working(self) -> AbstractContextManager[object]:
        """See Instance."""
        return nullcontext()

    def warm_up(self) -> None:
        """See Instance."""
        self.warmup_ms = _one_by_one(self, self._warmups)

    def start(self) -> None:
        """See Instance."""
        self._start_ns = self._device.now_ns()

    def now_ns(self) -> int:
        """See Instance."""
        return self._device.now_ns() - self._start_ns

    def wait_until(self, at_ns: int) -> None:
        """See Instance."""
        self._device.wait_until((at_ns + self._start_ns) / 1e6)

    def answer(self, queries: int) -> None:
        """See Instance."""
        self._device.forward(queries)
        self._device.synchronize()
