"""Two call trees aligned: what grew, what shrank, what is new, gone, or replaced.

Nodes are matched from the root down by their names. Where names differ below a common ancestor,
as kernels do between versions and shapes, what is left on both sides is matched as a group there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from runner.profiles.tree import Node, Profile

NOISE = 3.0  # standard errors within which a difference of two profiles is none
MAD_TO_SIGMA = 1.4826  # consistent for normal data; Rousseeuw & Croux 1993
OF_A_MEDIAN = 1.2533  # its standard error over that of a mean
MIN_SHARE = 0.02  # of the whole change: what grew or shrank by less is not listed


@dataclass(frozen=True)
class Part:
    """A difference at one place: microseconds and calls of a pass on both sides.

    `kind` is grew, shrank, new, gone or replaced; `where` is the path of scopes and operators,
    `what` the name, of a replaced group `old -> new`. `share` is its part of the whole change.
    """

    kind: str
    what: str
    where: tuple[str, ...]
    old_us: float
    new_us: float
    old_calls: float
    new_calls: float
    share: float | None = None

    @property
    def change_us(self) -> float:
        """How much longer the new side takes there."""
        return self.new_us - self.old_us


@dataclass(frozen=True)
class Explanation:
    """Why a side takes longer or less: its parts, the largest first.

    Times are those of profiles, in which each operator takes longer than it does when timed.
    `unit` is gpu or cpu; `explained` is the share of the change that the parts make together, None
    if the profiles do not differ.
    """

    unit: str
    old_us: float
    new_us: float
    old_launches: float
    new_launches: float
    parts: tuple[Part, ...]
    by_operator: tuple[Part, ...]
    explained: float | None

    @property
    def change_us(self) -> float:
        """The whole change."""
        return self.new_us - self.old_us


def explained(old: Profile, new: Profile) -> Explanation:
    """Align two profiles by the times of their kernels, or of the host where no side has any."""
    unit = "gpu_us" if old.by_gpu or new.by_gpu else "cpu_us"
    found = list(_parts(old.root, new.root, (), unit))
    whole = _whole_us(new.root, unit) - _whole_us(old.root, unit)
    least = MIN_SHARE * abs(whole)
    parts = [
        _shared(one, whole)
        for one in found
        if abs(one.change_us) >= least or one.kind not in ("grew", "shrank")
    ]
    parts.sort(key=lambda one: -abs(one.change_us))
    total = sum(one.change_us for one in parts)
    return Explanation(
        unit=unit.removesuffix("_us"),
        old_us=_whole_us(old.root, unit),
        new_us=_whole_us(new.root, unit),
        old_launches=_launches(old.root),
        new_launches=_launches(new.root),
        parts=tuple(parts),
        by_operator=tuple(_shared(one, whole) for one in _by_operator(found)),
        explained=total / whole if whole else None,
    )


def _shared(part: Part, whole_us: float) -> Part:
    return replace(part, share=part.change_us / whole_us if whole_us else None)


def _parts(old: Node, new: Node, path: tuple[str, ...], unit: str) -> Iterator[Part]:
    """The differences of two matched nodes and of what lies below them."""
    here = (*path, old.name)
    if _differ(getattr(old, unit), getattr(new, unit)):
        old_us, new_us = _us(old, unit), _us(new, unit)
        kind = "grew" if new_us > old_us else "shrank"
        yield Part(kind, old.name, path, old_us, new_us, old.calls, new.calls)
    before = {child.name: child for child in old.children}
    after = {child.name: child for child in new.children}
    for name in before.keys() & after.keys():
        yield from _parts(before[name], after[name], here, unit)
    gone = [child for name, child in before.items() if name not in after]
    fresh = [child for name, child in after.items() if name not in before]
    yield from _unmatched(gone, fresh, here, unit)


def _unmatched(
    gone: Sequence[Node], fresh: Sequence[Node], path: tuple[str, ...], unit: str
) -> Iterator[Part]:
    """What only one side has below a common ancestor; both together have replaced each other."""
    old_us, new_us = (sum(_whole_us(one, unit) for one in side) for side in (gone, fresh))
    old_calls, new_calls = (sum(one.calls for one in side) for side in (gone, fresh))
    if gone and fresh:
        what = f"{_named(gone, unit)} -> {_named(fresh, unit)}"
        yield Part("replaced", what, path, old_us, new_us, old_calls, new_calls)
        return
    for node in gone:
        yield Part("gone", node.name, path, _whole_us(node, unit), 0.0, node.calls, 0.0)
    for node in fresh:
        yield Part("new", node.name, path, 0.0, _whole_us(node, unit), 0.0, node.calls)


def _named(nodes: Sequence[Node], unit: str) -> str:
    """The names of a group, the longest first."""
    ordered = sorted(nodes, key=lambda one: -_whole_us(one, unit))
    return ", ".join(one.name for one in ordered[:3]) + (", ..." if len(ordered) > 3 else "")


def _by_operator(parts: Sequence[Part]) -> list[Part]:
    """The differences of each name over all its places, the largest first."""
    names: dict[tuple[str, str], list[Part]] = {}
    for part in parts:
        names.setdefault((part.what, part.kind), []).append(part)
    found = [
        Part(
            kind,
            what,
            (),
            sum(one.old_us for one in some),
            sum(one.new_us for one in some),
            sum(one.old_calls for one in some),
            sum(one.new_calls for one in some),
        )
        for (what, kind), some in names.items()
        if len(some) > 1
    ]
    return sorted(found, key=lambda one: -abs(one.change_us))


def _differ(old: Sequence[float], new: Sequence[float]) -> bool:
    """Whether the times of passes differ by more than they vary."""
    change = abs(float(np.median(new)) - float(np.median(old)))
    return change > NOISE * math.hypot(_error(old), _error(new))


def _error(us: Sequence[float]) -> float:
    """The standard error of a median, which single disturbed passes do not change."""
    spread = float(np.median(abs(np.asarray(us) - np.median(us))))
    return OF_A_MEDIAN * MAD_TO_SIGMA * spread / math.sqrt(len(us))


def _us(node: Node, unit: str) -> float:
    """The typical time of a node in a pass, without its children."""
    return float(np.median(getattr(node, unit)))


def _whole_us(node: Node, unit: str) -> float:
    return sum(_us(one, unit) for one in node.walk())


def _launches(node: Node) -> float:
    return sum(one.launches for one in node.walk())
