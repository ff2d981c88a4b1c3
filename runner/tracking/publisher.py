"""The publisher: brings a sweep's records to MLflow as they come, though it may be away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from runner.records.record import Record
from runner.tracking import runs
from runner.tracking.store import Store, TrackingUnavailable, open_store
from runner.tracking.view import ui_command, ui_link

RETRY_S = 60.0  # after MLflow was lost, before it is tried again: each try may take as long


class Publisher:
    """Opens, loses, regains and closes MLflow for one sweep of so many trials.

    Nothing raises because MLflow is away: that is told once by `tell`, and what could not be
    sent waits. A sweep of one trial has no parent run.
    """

    def __init__(
        self,
        uri: str | None,
        experiment: str,
        output_dir: Path,
        *,
        sweep_id: str,
        name: str | None,
        trials: int,
        tell: Callable[[str], None],
    ) -> None:
        self._uri, self._experiment, self._output_dir = uri, experiment, output_dir
        self._sweep_id, self._name, self._trials, self._tell = sweep_id, name, trials, tell
        self._store: Store | None = None
        self._parent_id: str | None = None
        self._waiting: list[tuple[Record, Path]] = []
        self._published = 0
        self._away = ""  # why MLflow could not be used last time; empty while it can
        self._tried_s = 0.0

    def open(self) -> None:
        """Open store, experiment and parent run, before anything is timed."""
        self._send()

    def publish(self, record: Record, path: Path) -> None:
        """Bring a record to MLflow, and those that wait; leave it waiting while MLflow is away."""
        self._waiting.append((record, path))
        if not self._away or time.monotonic() - self._tried_s > RETRY_S:
            self._send()

    def close(self, status: str) -> None:
        """Bring what still waits, and close the parent run: FINISHED, FAILED or KILLED."""
        if self._away and self._waiting:
            self._send()  # it may be back
        if self._store is None or self._parent_id is None:
            return
        try:
            runs.close_parent(self._store, self._parent_id, status)
        except TrackingUnavailable as reason:
            self._lose(reason)

    def _send(self) -> None:
        self._tried_s = time.monotonic()
        try:
            if self._store is None:
                self._store = open_store(self._uri, self._experiment, self._output_dir)
            if self._parent_id is None and self._trials > 1:
                self._parent_id = runs.open_parent(
                    self._store, self._sweep_id, self._name, self._trials
                )
            while self._waiting:
                record, path = self._waiting[0]
                runs.publish(self._store, record, path, self._parent_id, again=bool(self._away))
                del self._waiting[0]
                self._published += 1
            self._away = ""
        except TrackingUnavailable as reason:
            self._lose(reason)

    def _lose(self, reason: Exception) -> None:
        if not self._away:
            where = self._output_dir / self._sweep_id
            self._tell(f"warning: MLflow can't be used ({reason}); records are in {where}")
        self._away = str(reason)

    def closing_lines(self, invalid: int) -> Iterator[str]:
        """Where the runs are seen, and which are not there; `invalid` ones have no rank."""
        if self._waiting:
            yield (
                f"MLflow    {len(self._waiting)} of {self._published + len(self._waiting)} trials "
                f"are not there ({self._away}); their records are below the folder above"
            )
        if self._store is None or not self._published:
            return
        if command := ui_command(self._store):
            yield f"MLflow    {command}"
        yield f"          {ui_link(self._store, self._sweep_id)}"
        if invalid:
            yield (
                f"          {invalid} invalid trial{'s' if invalid > 1 else ''} left out of "
                "that ranking; take the verdict out of its filter to see all"
            )
