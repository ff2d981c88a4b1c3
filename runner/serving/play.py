"""Plays a schedule of queries against the instances of a service, and keeps every time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from runner.serving.queue import Batch, Queue


class Instance(Protocol):
    """One of those who answer queries. Times are nanoseconds since `start`."""

    def working(self) -> AbstractContextManager[object]:
        """What its thread needs while it works."""

    def warm_up(self) -> None:
        """Answer queries that do not count."""

    def start(self) -> None:
        """Begin to count, now or a moment later."""

    def now_ns(self) -> int:
        """The time."""

    def wait_until(self, at_ns: int) -> None:
        """Return when the time is `at_ns`."""

    def answer(self, queries: int) -> None:
        """Answer so many queries together; returns when the answers exist."""


@dataclass
class Served:
    """What happened: lists of equal length, of each batch in the order in which they were taken.

    Its queries; whether an idle instance had waited for it; when it began and was done.
    """

    batches: list[Batch] = field(default_factory=list)
    waited: list[bool] = field(default_factory=list)
    began_ns: list[int] = field(default_factory=list)
    done_ns: list[int] = field(default_factory=list)

    def begin(self, batch: Batch, waited: bool, began_ns: int) -> int:
        """Keep a batch that begins; its index."""
        self.batches.append(batch)
        self.waited.append(waited)
        self.began_ns.append(began_ns)
        self.done_ns.append(-1)
        return len(self.batches) - 1

    def until_open(self) -> Served:
        """The part before the first batch that is not done yet."""
        end = next((number for number, at in enumerate(self.done_ns) if at < 0), len(self.done_ns))
        return Served(
            self.batches[:end], self.waited[:end], self.began_ns[:end], self.done_ns[:end]
        )


Enough = Callable[[Served], bool]
Next = Callable[[Instance], tuple[Batch, bool, int] | None]


@dataclass(frozen=True)
class Rules:
    """When a run ends before its queries do, and what happens at its start.

    Nothing is taken after `end_ns`, or once `enough`, asked after each batch, says so. `started`
    is called when all instances are warm.
    """

    end_ns: int | None = None
    enough: Enough = lambda served: False
    started: Callable[[], object] = lambda: None


def from_queue(queue: Queue, end_ns: int | None) -> Next:
    """What an instance does next: wait for the queue."""

    def following(instance: Instance) -> tuple[Batch, bool, int] | None:
        now_ns, waited = instance.now_ns(), False
        found = queue.next(now_ns)
        while isinstance(found, int):
            if end_ns is not None and found > end_ns:
                return None
            instance.wait_until(found)
            now_ns, waited = instance.now_ns(), True
            found = queue.next(now_ns)
        if found is None or (end_ns is not None and now_ns > end_ns):
            return None
        return found, waited, now_ns

    return following


def single_stream(queries: int, end_ns: int | None) -> Next:
    """What an instance does next: the next query, which comes when the last is answered."""
    sent = 0

    def following(instance: Instance) -> tuple[Batch, bool, int] | None:
        nonlocal sent
        instance.wait_until(0)  # the start, for the first
        now_ns = instance.now_ns()
        if sent >= queries or (end_ns is not None and now_ns > end_ns):
            return None
        sent += 1
        return Batch(sent - 1, 1, now_ns), False, now_ns

    return following


def play(following: Next, instances: Sequence[Instance], rules: Rules) -> Served:
    """Answer queries by one thread for each instance. Raises what an instance raises."""
    player = _Player(following, instances, rules)
    if len(instances) == 1:
        player.run(instances[0])
    else:
        workers = [
            threading.Thread(target=player.run, args=(one,), daemon=True) for one in instances
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    if player.error is not None:
        raise player.error
    return player.served


def simulate(following: Next, instances: Sequence[Instance], rules: Rules) -> Served:
    """The same without threads: instances with clocks of their own, the first free one next."""
    served = Served()
    for one in instances:
        one.warm_up()
    rules.started()
    for one in instances:
        one.start()
    while (found := following(first := min(instances, key=lambda one: one.now_ns()))) is not None:
        index = served.begin(*found)
        first.answer(found[0].size)
        served.done_ns[index] = first.now_ns()
        if rules.enough(served):
            break
    return served


class _Player:
    """What the threads share. Only the one that holds the lock waits for the next query."""

    def __init__(self, following: Next, instances: Sequence[Instance], rules: Rules) -> None:
        self._following, self._instances, self._rules = following, instances, rules
        self._lock, self._ended = threading.Lock(), False
        self._ready = threading.Barrier(len(instances), action=self._start)
        self.served = Served()
        self.error: BaseException | None = None

    def _start(self) -> None:
        self._rules.started()
        for one in self._instances:
            one.start()

    def run(self, instance: Instance) -> None:
        """Warm up with the others, then answer until the queries end."""
        try:
            with instance.working():
                instance.warm_up()
                self._ready.wait()
                while not self._ended:
                    self._step(instance)
        except BaseException as error:
            if self.error is None and not isinstance(error, threading.BrokenBarrierError):
                self.error = error
            self._ended = True
            self._ready.abort()

    def _step(self, instance: Instance) -> None:
        with self._lock:
            found = None if self._ended else self._following(instance)
            if found is None:
                self._ended = True
                return
            index = self.served.begin(*found)
        instance.answer(found[0].size)
        self.served.done_ns[index] = instance.now_ns()
        with self._lock:
            self._ended = self._rules.enough(self.served) or self._ended
