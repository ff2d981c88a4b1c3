"""All that is wrong with a grid that can't be composed: Hydra stops at its first error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner.config.explain import explain
from runner.config.grid import Axes
from runner.config.hydra_door import composer
from runner.config.parse import trial_of
from runner.config.schema import CONF
from runner.config.values import values_of
from runner.contract.errors import Problem, UsageError
from runner.host.devices import possible_devices


def diagnosis(axes: Axes, error: Exception, folders: Sequence[Path] = (CONF,)) -> UsageError:
    """Everything wrong with a grid of which Hydra refused a point with `error`.

    Hydra stops at its first error. Here each override is tried alone, and then, in a
    trial of the good ones, each good value in its turn: all problems, in time that
    grows with the values and not with their combinations.
    """
    found: list[Problem] = []
    good: list[list[str]] = []
    GlobalHydra.instance().clear()  # the main one has no further use
    with composer(folders) as compose:
        for axis in axes.values():
            good.append([])
            for override in axis:
                refused = _refusal(compose, [override])
                if isinstance(refused, DictConfig):
                    good[-1].append(override)
                else:
                    found.append(explain(refused, override, folders))
        good = [axis for axis in good if axis]
        first = [axis[0] for axis in good]
        varied = [
            [*first[:place], value, *first[place + 1 :]]
            for place, axis in enumerate(good)
            for value in axis[1:]
        ]
        for overrides in [first, *varied]:
            config = _refusal(compose, overrides)
            if not isinstance(config, DictConfig):
                continue
            try:
                trial_of(values_of(config), possible_devices(), Path.cwd())
            except UsageError as refusal:
                found += refusal.problems
    return UsageError(*(found or [Problem("", str(error))]))


def _refusal(
    compose: Callable[[Sequence[str]], DictConfig], overrides: Sequence[str]
) -> DictConfig | Exception:
    """What these overrides compose to, or what Hydra has against them."""
    try:
        return compose(overrides)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        return error
