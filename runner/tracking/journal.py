"""Which records of a sweep are in MLflow: `mlflow.jsonl` in its folder, a line for each.

It spares the store thousands of questions, and is no truth of its own: without it, or with
another store, each record is looked for there by its identity.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.host.secrets import redact
from runner.tracking.store import Store, is_known

JOURNAL = "mlflow.jsonl"


class Journal:
    """What has been sent of one sweep to the store that is open."""

    def __init__(self, sweep_dir: Path) -> None:
        self._path = sweep_dir / JOURNAL
        self._sent: dict[str, int] = {}  # the folder of a trial -> when its record was written

    def begin(self) -> None:
        """Leave a mark that the sweep is to go to MLflow, though nothing may get there."""
        with suppress(OSError):
            self._path.touch()

    def read(self, store: Store) -> None:
        """Learn what the store has already. Raises TrackingUnavailable."""
        target = {
            "store": "embedded" if store.embedded else redact(store.uri),
            "experiment_id": store.experiment_id,
        }
        lines = _lines_of(self._path)
        last = max((n for n, line in enumerate(lines) if "store" in line), default=None)
        sent = [] if last is None else lines[last + 1 :]
        same = last is not None and lines[last] == target
        if same and (not sent or is_known(store, sent[-1]["run"])):
            self._sent = {line["folder"]: line["written_ns"] for line in sent}
        else:
            self._append(target)  # another store than last time, or one that was made anew

    def has(self, record: Path) -> bool:
        """Whether the store has a record as it is on disk now."""
        return self._sent.get(record.parent.name) == record.stat().st_mtime_ns

    def add(self, record: Path, run_id: str) -> None:
        """Note that a record is there."""
        written_ns = record.stat().st_mtime_ns
        self._sent[record.parent.name] = written_ns
        self._append({"folder": record.parent.name, "written_ns": written_ns, "run": run_id})

    def _append(self, line: dict[str, Any]) -> None:
        with suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")  # on a full disk it is asked for once more


def unsent(sweep_dir: Path) -> list[Path]:
    """The records of a sweep that its journal does not name as they are, without asking a store."""
    sent = {
        line["folder"]: line["written_ns"]
        for line in _lines_of(sweep_dir / JOURNAL)
        if "folder" in line
    }
    records = sorted(sweep_dir.glob("*/record.json"))
    return [one for one in records if sent.get(one.parent.name) != one.stat().st_mtime_ns]


def _lines_of(path: Path) -> list[dict[str, Any]]:
    """All whole lines; the last may have been cut by a kill or a full disk."""
    found = []
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return []
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict) and ("store" in values or {"folder", "run"} <= values.keys()):
            found.append(values)
    return found
