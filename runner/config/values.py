"""From the nodes of a configuration to plain values; nothing below uses OmegaConf."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.config.explain import first_line
from runner.config.schema import Config, types_of
from runner.contract import Problem, UsageError

Values = dict[str, Any]
"""The keys of a configuration and their values, a dictionary for each group."""


def values_of(cfg: DictConfig) -> Values:
    """All keys of a composed configuration but Hydra's own, as plain values.

    Raises UsageError for keys that are missing or refer to something undefined.
    """
    if missing := list(_missing_keys(cfg)) or list(_unresolved(cfg)):
        raise UsageError(*missing)
    return {str(key): plain(cfg[key]) for key in cfg if key != "hydra"}


def plain(value: Any) -> Any:
    """A node of a configuration as dictionaries, lists and values, references resolved."""
    is_config = isinstance(value, (DictConfig, ListConfig))
    return OmegaConf.to_container(value, resolve=True) if is_config else value


def known(values: Values, schema: type) -> Values:
    """The values for the fields of a dataclass; unknown keys are reported elsewhere."""
    names = types_of(schema)
    return {name: value for name, value in values.items() if name in names}


def _unresolved(cfg: DictConfig, prefix: str = "") -> Iterator[Problem]:
    """Problems of values that refer to something undefined, such as an unset variable."""
    for key, given in cfg.items_ex(resolve=False):
        if key == "hydra" and not prefix:
            continue
        try:
            value = cfg[key]
        except OmegaConfBaseException as error:
            name = f"{prefix}{key!s}"
            found = f"{name} is {given}, which has no value: {first_line(str(error))}"
            yield Problem(name, found)
            continue
        if isinstance(value, DictConfig):
            yield from _unresolved(value, f"{prefix}{key!s}.")


def _missing_keys(cfg: DictConfig) -> Iterator[Problem]:
    deleted = "was removed from the configuration"
    for part in fields(Config):
        if part.name not in cfg:
            yield Problem(part.name, f"{part.name} {deleted}", "do not remove it")
        elif is_dataclass(hint := types_of(Config)[part.name]):
            for name in (inner.name for inner in fields(hint)):
                key = f"{part.name}.{name}"
                if OmegaConf.is_missing(cfg[part.name], name):  # `in` treats these as absent
                    yield Problem(key, f"{key} has no value", f"give one, as in {key}=VALUE")
                elif name not in cfg[part.name]:
                    yield Problem(key, f"{key} {deleted}", "do not remove it")
