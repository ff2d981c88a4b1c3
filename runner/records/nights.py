"""Nights: the sweeps of one name that a scheduler has started, a folder `<name>-<date>` each."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from runner.records.brief import Brief, briefs
from runner.records.manifest import load_manifest

VERDICTS = "gate.json"  # in a night's folder: what was said of it
VERSION = 1  # of that file


@dataclass(frozen=True)
class Night:
    """One night: what was `planned` (title by identity), its processes, what was `said` of it.

    `said` has the verdict of each trial by its identity; `question` is that the suite as a whole
    had moved. Both are empty before the night was judged.
    """

    sweep_id: str
    planned: Mapping[str, str]
    processes: tuple[Brief, ...]
    said: Mapping[str, str] = field(default_factory=dict)
    question: bool = False
    notes: tuple[str, ...] = ()

    @cached_property
    def by_trial(self) -> Mapping[str, list[Brief]]:
        """The processes of each trial."""
        found: dict[str, list[Brief]] = defaultdict(list)
        for one in self.processes:
            found[one.identity].append(one)
        return dict(found)

    @property
    def began_s(self) -> float:
        """When its first process began, in seconds since 1970; 0 without any."""
        return min((one.began_s for one in self.processes), default=0.0)


def nights_of(output_dir: Path, name: str) -> list[Path]:
    """The folders of all nights, the oldest first."""
    dated = re.compile(rf"{re.escape(name)}-\d{{4}}-\d{{2}}-\d{{2}}")
    return sorted(path for path in output_dir.glob(f"{name}-*") if dated.fullmatch(path.name))


def load_night(sweep_dir: Path) -> Night:
    """A night from its folder. Raises UnreadableRecord where nobody knows what was planned."""
    manifest = load_manifest(sweep_dir)
    found, notes = briefs(sweep_dir)
    titles = {one.identity: one.title for one in found}
    for planned in manifest.trials:
        titles.setdefault(planned.identity, planned.trial_title)
    said, question = _said(sweep_dir / VERDICTS)
    return Night(sweep_dir.name, titles, tuple(found), said, question, tuple(notes))


def _said(path: Path) -> tuple[dict[str, str], bool]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        verdicts = {one["identity"]: one["verdict"] for one in values["trials"]}
        return verdicts, bool(values["health"]["question"])
    except (OSError, ValueError, LookupError, TypeError):
        return {}, False  # it was never judged, or is judged again
