"""The settings of a whole sweep from its overrides, before anything is planned."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner.config import grid
from runner.config.diagnosis import diagnosis
from runner.config.hydra_door import composer, parsed
from runner.config.presets import won_back
from runner.config.settings import Settings, settings_of, wide_problems
from runner.config.values import values_of
from runner.contract import UsageError


def settings_for(words: Sequence[str]) -> Settings:
    """The settings of the sweep, computed at the first value of each axis.

    Raises UsageError, with all that is wrong with them.
    """
    given = parsed(words)
    axes = grid.axes({}, given.overrides, given.folders)
    try:
        with composer(given.folders) as compose:
            words = [values[0] for values in axes.values()]
            values = values_of(compose([*words, *won_back(words, axes, given.folders)]))
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise diagnosis(axes, error, given.folders) from error
    if problems := list(wide_problems(values)):
        raise UsageError(*problems)
    return settings_of(values)
