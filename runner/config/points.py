"""The values of all points of a sweep, most of them without composing a configuration.

Points that choose the same options and set the same keys share one composition: between two of
them only plain values differ, and these are set in it. Everything else goes Hydra's long way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from omegaconf import DictConfig, ListConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.config.grid import Point
from runner.config.parse import Values, plain, values_of

Compose = Callable[[Sequence[str]], DictConfig]
SETTLED = re.compile(r"\$\{(now|oc\.env):[^$]*\}")  # refers to no other key
MOST_SHARED = 500  # compositions kept, of some 100 KiB each


class Points:
    """Iterates over the values of all points, as often as it is asked to.

    `compose` goes the long way, `is_group` says whether a key names a group of files.
    """

    def __init__(
        self, points: Sequence[Point], compose: Compose, is_group: Callable[[str], bool]
    ) -> None:
        self._points, self._compose, self._is_group = points, compose, is_group
        self._parser = OverridesParser.create()
        self._given = cache(self._read)  # the same few overrides stand in many points
        self._shared: dict[tuple[str, ...], _Shared] = {}

    def __iter__(self) -> Iterator[Values]:
        for point in self._points:
            yield self._values(point)

    def _values(self, point: Point) -> Values:
        given = [self._given(text) for text in point]
        alike = tuple(
            one.key if one.is_plain else text for one, text in zip(given, point, strict=True)
        )
        shared = self._shared.get(alike)
        if shared is not None:
            try:
                return shared.values([one for one in given if one.is_plain])
            except OmegaConfBaseException:
                pass  # what is wrong is told the long way
        config = self._compose(point)
        values = values_of(config)
        if shared is None and len(self._shared) < MOST_SHARED:
            self._shared[alike] = _Shared(config, values)
        return values

    def _read(self, text: str) -> _Given:
        override = self._parser.parse_override(text)
        key, value = override.key_or_group, override.value()
        parts = value if isinstance(value, list) else [value]
        is_plain = (
            override.type is OverrideType.CHANGE
            and override.package is None
            and not key.startswith("hydra.")
            and not self._is_group(key)
            and all(part is None or isinstance(part, (int, float, str)) for part in parts)
            and "$" not in text
        )
        return _Given(key, value, is_plain)


@dataclass(frozen=True)
class _Given:
    """An override; a plain one sets a key that is there to what needs no resolving."""

    key: str
    value: Any
    is_plain: bool


class _Shared:
    """One composition, in which the values of a point after the other are set."""

    def __init__(self, config: DictConfig, values: Values) -> None:
        self._config, self._values = config, values
        self._references = list(_references(config))

    def values(self, given: Sequence[_Given]) -> Values:
        """The values of a point. Raises OmegaConfBaseException for what is wrong with them."""
        for one in given:
            OmegaConf.update(self._config, one.key, one.value)
        values = dict(self._values)
        copied = set()
        for key in [*(one.key for one in given), *self._references]:
            *groups, name = key.split(".")
            place, path = values, ""
            for group in groups:
                path = f"{path}.{group}"
                if path not in copied:
                    copied.add(path)
                    place[group] = dict(place[group])
                place = place[group]
            place[name] = plain(OmegaConf.select(self._config, key, throw_on_missing=True))
        return values


def _references(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """The keys whose values refer to others, which may be among those that differ."""
    for name in map(str, config):
        key, node = f"{prefix}{name}", config._get_node(name)
        if key == "hydra" or not isinstance(node, Node):
            continue
        if isinstance(node, ListConfig):
            if any(OmegaConf.is_interpolation(node, index) for index in range(len(node))):
                yield key
        elif node._is_interpolation():
            if not SETTLED.fullmatch(str(node._value())):
                yield key
        elif isinstance(node, DictConfig) and not node._is_none():
            yield from _references(node, f"{key}.")
