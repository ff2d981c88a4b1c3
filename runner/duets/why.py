"""Why one side takes longer than the other: both profiled, apart from any timing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from runner.contract import SideFailed
from runner.duets.duet import NOT_RECORDED, Hosts, Player
from runner.duets.link import LIMIT_S
from runner.profiles.match import Explanation, explained
from runner.profiles.tree import Profile
from runner.records.reading import checked, of_version, read_values
from runner.records.store import write_whole

WHY = "why.json"  # in the folder of a duet
VERSION = 1


def explanation_of(players: Sequence[Player], hosts: Hosts, folder: Path) -> Explanation:
    """Profile both sides, one after the other, and align them; the result is in why.json.

    Raises SideFailed if a side can't be profiled.
    """
    folder.mkdir(parents=True, exist_ok=True)
    old, new = (_profile(player, hosts, folder) for player in players)
    found = explained(old, new)
    profiles = {"old": asdict(old), "new": asdict(new)}
    write_whole({"version": VERSION, "found": asdict(found), "profiles": profiles}, folder / WHY)
    return found


def load_explanation(folder: Path) -> Explanation | None:
    """The explanation of an earlier start; None without one. Raises Unreadable."""
    path = folder / WHY
    if not path.exists():
        return None
    values = read_values(path)
    of_version(values, VERSION, path)
    return checked(values["found"], Explanation, str(path))


def _profile(player: Player, hosts: Hosts, folder: Path) -> Profile:
    side = player.side
    link = hosts.link(side)
    link.begin("profile", player.trial, folder / f"profile-{side.role}.log")
    try:
        values = link.wait(player.trial.timing.timeout_s or LIMIT_S)
    except TimeoutError as error:
        link.close()
        raise SideFailed(f"{side.name} can't be profiled: {error}") from error
    if why := values.get("why"):
        raise SideFailed(f"{side.name} can't be profiled: {why}")
    found = checked(values["profile"], Profile, f"the profile of {side.name}")
    if player.own_code is not None and found.own_code != player.own_code:
        raise SideFailed(f"{side.name} can't be profiled: {NOT_RECORDED}")
    return found
