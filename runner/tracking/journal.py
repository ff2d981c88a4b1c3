"""A journal of the records of a sweep that are in MLflow: `mlflow.jsonl`, one line each.

It saves thousands of queries and is only a cache: without it, or with
another store, each record is searched there by its identity.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from runner.contract import Unreadable
from runner.host.secrets import redact
from runner.records.reading import checked, parsed, read_bytes
from runner.tracking.store import Store, is_known

JOURNAL = "mlflow.jsonl"


@dataclass(frozen=True)
class _Target:
    """A line that names the store of the lines below it."""

    store: str
    experiment_id: str


@dataclass(frozen=True)
class _Sent:
    """A line for a sent record: its folder, when it was written, its run."""

    folder: str
    written_ns: int
    run: str


_Line: type[_Target | _Sent] = _Target | _Sent  # type: ignore[assignment]


class Journal:
    """The records of one sweep that were sent to the open store."""

    def __init__(self, sweep_dir: Path) -> None:
        self._path = sweep_dir / JOURNAL
        self._sent: dict[str, _Sent] = {}  # by the folder of the trial

    def begin(self) -> None:
        """Create the journal, so that the sweep is known to belong in MLflow."""
        with suppress(OSError):
            self._path.touch()

    def read(self, store: Store) -> None:
        """Read which records the store already has. Raises TrackingUnavailable."""
        own = "embedded" if store.embedded else redact(store.uri)
        target, last = _Target(own, store.experiment_id), None
        sent = list[_Sent]()
        for line in _lines_of(self._path):
            if isinstance(line, _Target):
                last, sent = line, []
            else:
                sent.append(line)
        if last == target and (not sent or is_known(store, sent[-1].run)):
            self._sent = {line.folder: line for line in sent}
        else:
            self._append(target)  # another store than last time, or a new one

    def has(self, record: Path) -> bool:
        """Whether the store has a record in its current version on disk."""
        sent = self._sent.get(record.parent.name)
        return sent is not None and sent.written_ns == record.stat().st_mtime_ns

    def run_of(self, record: Path) -> str | None:
        """The id of the run of a record that has been sent."""
        sent = self._sent.get(record.parent.name)
        return sent.run if sent else None

    def add(self, record: Path, run_id: str) -> None:
        """Note that a record was sent."""
        sent = _Sent(record.parent.name, record.stat().st_mtime_ns, run_id)
        self._sent[sent.folder] = sent
        self._append(sent)

    def _append(self, line: _Target | _Sent) -> None:
        if self._path.exists() and not self._path.is_file():
            return  # for example a pipe without a reader
        with suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(line)) + "\n")  # on a full disk the store is queried again


def unsent(sweep_dir: Path) -> list[Path]:
    """The records of a sweep that its journal does not list, without querying a store."""
    sent = {
        line.folder: line.written_ns
        for line in _lines_of(sweep_dir / JOURNAL)
        if isinstance(line, _Sent)
    }
    records = sorted(sweep_dir.glob("*/record.json"))
    return [one for one in records if sent.get(one.parent.name) != one.stat().st_mtime_ns]


def _lines_of(path: Path) -> list[_Target | _Sent]:
    """All valid lines; truncated or damaged ones are skipped."""
    if not path.exists():
        return []
    found = []
    with suppress(Unreadable):
        for line in read_bytes(path).splitlines():
            with suppress(Unreadable):
                found.append(checked(parsed(line, str(path)), _Line, str(path)))
    return found
