"""Publishes a sweep's records to MLflow as they come, and survives its outages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from runner.contract import Held, RefusedByTracking, TrackingUnavailable, counted
from runner.records.record import Record
from runner.tracking import parent, runs
from runner.tracking.catch_up import Target, catch_up, waiting
from runner.tracking.journal import Journal
from runner.tracking.store import Store, open_store
from runner.tracking.view import curves_link, ui_command, ui_link

RETRY_S = 60.0  # between attempts to reach a lost MLflow; each attempt may take as long


class Publisher:
    """Opens, loses, regains and closes MLflow for one sweep of so many trials.

    Nothing raises when MLflow is unavailable: that is reported once by `print_line`, unsent records
    wait. A sweep of one trial has no parent run. In a `resumed` sweep each run is
    searched before it is created.
    """

    def __init__(
        self,
        target: Target,
        *,
        sweep_id: str,
        name: str | None,
        title: str,
        trials: int,
        resumed: bool = False,
        print_line: Callable[[str], None],
    ) -> None:
        self.target, self.away = target, ""  # why MLflow could not be used last time
        self.published = self.refused = 0
        self._sweep_id, self._name, self._title = sweep_id, name, title
        self._trials, self._print_line = trials, print_line
        self._axes: list[str] = []
        self._resumed = resumed
        self._journal = Journal(target.output_dir / sweep_id)
        self._store: Store | None = None
        self._parent_id: str | None = None
        self._waiting: list[tuple[Record, Path]] = []
        self._later: list[tuple[Record, Path]] = []
        self._tried_s = 0.0

    def open(self) -> None:
        """Open store, experiment and parent run, before anything is timed."""
        self._journal.begin()
        self._send()

    def publish(self, record: Record, path: Path) -> None:
        """Publish a record and those that wait; it waits, too, while MLflow is unavailable."""
        self._waiting.append((record, path))
        if not self.away or time.monotonic() - self._tried_s > RETRY_S:
            self._send()

    def publish_later(self, record: Record, path: Path) -> None:
        """Publish a record of an earlier start at the end, if it is not there yet."""
        self._later.append((record, path))

    def close(self, status: str, records: Sequence[Record] = ()) -> None:
        """Publish what still waits, and close the parent run: FINISHED, FAILED or KILLED.

        With all `records` of the sweep the run gets its description first.
        """
        earlier, self._later = self._later, []
        self._waiting += earlier
        if earlier or (self.away and self._waiting):
            self._send()  # it may be available again
        if self._store is None:
            return
        if self._parent_id is not None:
            sweep_dir = self.target.output_dir / self._sweep_id
            try:
                if records and not self.away:
                    self._axes = parent.describe(
                        self._store, self._parent_id, self._name, sweep_dir, records
                    )
                runs.close_parent(self._store, self._parent_id, status)
            except TrackingUnavailable as reason:
                self._lose(reason)

    def bring_others(self) -> None:
        """Publish waiting records of earlier sweeps with the same target."""
        if self._store is None or self.away:
            return
        seen = None
        for sweep_dir in waiting(self.target):
            try:
                seen = seen or runs.overview(self._store)
                found = catch_up(self._store, sweep_dir, seen)
            except Held:
                continue  # it is running and publishes its own
            except TrackingUnavailable:
                return  # unavailable again
            if found.brought:
                self._print_line(f"          also published: {found.brought} of {sweep_dir.name}")
            if found.missing:
                return  # unavailable again

    def _send(self) -> None:
        self._tried_s = time.monotonic()
        try:
            if self._store is None:
                store = open_store(self.target.uri, self.target.experiment, self.target.output_dir)
                self._journal.read(store)
                self._store = store
            if self._parent_id is None and self._trials > 1:
                self._parent_id = runs.open_parent(
                    self._store, self._sweep_id, self._title, self._trials
                )
            while self._waiting:
                try:
                    self._send_one(self._store, *self._waiting[0])
                    self.published += 1
                except RefusedByTracking as reason:
                    self.refused += 1
                    record, path = self._waiting[0]
                    self._print_line(
                        f"warning: MLflow refuses {record.title} ({reason}); it is in {path}"
                    )
                del self._waiting[0]
            self.away = ""
        except TrackingUnavailable as reason:
            self._lose(reason)

    def _send_one(self, store: Store, record: Record, path: Path) -> None:
        if self._journal.has(path):
            return
        again = self._resumed or bool(self.away)
        run_id = runs.publish(store, record, path, self._parent_id, again=again)
        self._journal.add(path, run_id)

    def _lose(self, reason: Exception) -> None:
        if not self.away:
            where = self.target.output_dir / self._sweep_id
            self._print_line(f"warning: MLflow is unavailable ({reason}); records are in {where}")
        self.away = str(reason)

    def closing_lines(self, invalid: int) -> Iterator[str]:
        """Lines about where the runs are and which are missing; `invalid` ones are not ranked."""
        if self._waiting:
            yield (
                f"MLflow    {len(self._waiting)} of {self.published + len(self._waiting)} trials "
                f"are not published ({self.away}); once it is back, the next sweep publishes "
                "them, or "
                f"python -m runner.publish {self._sweep_id}"
            )
        if self.refused:
            yield (
                f"MLflow    {self.refused} trials were refused; python -m runner.publish "
                f"{self._sweep_id} tries again"
            )
        if self._store is None or not self.published:
            return
        label = "MLflow    "
        if command := ui_command(self._store):
            yield f"{label}{command}"
            label = " " * len(label)
        hidden = f" ({counted(invalid, 'invalid trial')} hidden by its filter)" if invalid else ""
        yield f"{label}{ui_link(self._store, self._sweep_id)}{hidden}"
        for axis in self._axes:
            yield f"          over {axis}: {curves_link(self._store, self._sweep_id, axis)}"
