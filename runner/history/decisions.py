"""Decisions of people about trials and nights: a file that is reviewed like code.

A YAML list, to which `python -m runner.nightly --accept` and the like append:

    - accept: resnet50 640px b1 w20 event   # a trial, or "*": its baseline starts anew
      since: nightly-2026-11-25
      reason: larger head, agreed in review 123
    - flag: nightly-2026-11-20              # a night that is not used as a baseline
      reason: the air conditioning was off
    - retire: vgg11 640px b1 w20 event      # a trial that is no longer timed
      reason: nobody ships it
    - alias: net2 640px b1 w20 event        # a trial, by its new name
      of: net1 640px b1 w20 event
      reason: renamed
    - baseline: nightly-2026-10-01          # a night: creep is measured against it and earlier ones
      reason: release 1.2

Trials are named by title or key.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from runner.contract import Undecided, Unreadable
from runner.records.nights import Fingerprint, Night
from runner.records.printable import printable, shortened
from runner.records.reading import read_bytes

NEEDS = {  # kind of a decision -> its required keys
    "accept": ("since", "reason"),
    "flag": ("reason",),
    "retire": ("reason",),
    "alias": ("of", "reason"),
    "baseline": ("reason",),
}
MORE = ("by", "at")
ALL = "*"
LONGEST = 200  # characters of a wrong entry that are shown


@dataclass(frozen=True)
class Decisions:
    """The entries in their order, and the text they were read from."""

    entries: tuple[Mapping[str, str], ...] = ()
    text: str = ""

    def of(self, kind: str) -> list[Mapping[str, str]]:
        """The entries of a kind."""
        return [entry for entry in self.entries if kind in entry]

    @property
    def flagged(self) -> dict[str, str]:
        """Nights that are not used as a baseline, and why."""
        return {entry["flag"]: entry["reason"] for entry in self.of("flag")}

    @property
    def baseline(self) -> str | None:
        """The night that was pinned last."""
        pinned = self.of("baseline")
        return pinned[-1]["baseline"] if pinned else None

    def about(self, kind: str, identity: str, title: str) -> list[Mapping[str, str]]:
        """The entries of a kind about a trial."""
        names = (identity, title, ALL)
        return [entry for entry in self.of(kind) if entry[kind] in names]

    def renamed(self, night: Night, titles: Mapping[str, str]) -> dict[str, str]:
        """Old identities in a night with their new ones; `titles` are those of tonight."""
        now = {name: identity for identity, title in titles.items() for name in (identity, title)}
        then = {n: identity for identity, title in night.planned.items() for n in (identity, title)}
        return {
            then[entry["of"]]: now[entry["alias"]]
            for entry in self.of("alias")
            if entry["of"] in then and entry["alias"] in now
        }


def read(path: Path) -> Decisions:
    """The decisions in a file; none where there is no file. Raises Undecided."""
    if not os.path.exists(path):
        return Decisions()
    try:
        text = read_bytes(path).decode()
        entries = yaml.safe_load(text) or []
    except Unreadable as error:
        raise Undecided(str(error)) from error
    except (ValueError, yaml.YAMLError) as error:
        raise Undecided(f"{path} can't be read: {shortened(str(error), LONGEST)}") from error
    except RecursionError as error:
        raise Undecided(f"{path} can't be read: it is nested too deeply") from error
    if not isinstance(entries, list):
        raise Undecided(f"{path} is not a list; expected entries as in docs/nightly.md")
    return Decisions(
        tuple(_checked(entry, number, path) for number, entry in enumerate(entries, 1)), text
    )


def _checked(entry: object, number: int, path: Path) -> Mapping[str, str]:
    where = f"entry {number} of {path}"
    kinds = [kind for kind in NEEDS if isinstance(entry, dict) and kind in entry]
    if len(kinds) != 1 or not isinstance(entry, dict):
        shown = printable(shortened(str(entry), LONGEST))
        raise Undecided(f"{where} is {shown}; expected one of {', '.join(NEEDS)}")
    for key, value in entry.items():
        if isinstance(value, dict | list | bool):
            shown = printable(shortened(str(value), LONGEST))
            raise Undecided(f"{where}: {printable(str(key))} is {shown}; expected a text")
    needed = NEEDS[kinds[0]]
    if missing := [key for key in needed if not entry.get(key)]:
        raise Undecided(f"{where} lacks {', '.join(missing)}")
    if unknown := set(entry) - {kinds[0], *needed, *MORE}:
        raise Undecided(f"{where} has {', '.join(map(str, unknown))}, which is not a key of it")
    return {str(key): printable(str(value)) for key, value in entry.items()}


def append(path: Path, entry: Mapping[str, str]) -> None:
    """Add an entry at the end of the file. Raises Undecided or OSError."""
    _checked(dict(entry), len(read(path).entries) + 1, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(yaml.safe_dump([dict(entry)], sort_keys=False, allow_unicode=True))


def fingerprint(text: str) -> Fingerprint:
    """A fingerprint by which a later night detects edits of old entries."""
    data = text.encode()
    return Fingerprint(len(data), hashlib.sha256(data).hexdigest())


def still_holds(text: str, then: Fingerprint) -> bool:
    """Whether the file still begins with what an earlier night has read."""
    data = text.encode()[: then.bytes]
    return fingerprint(data.decode(errors="replace")) == then
