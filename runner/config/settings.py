"""The settings of a whole sweep from the words of a command line, before anything is planned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner.config import grid
from runner.config.parse import Settings, settings_of, values_of, wide_problems
from runner.config.schema import CONF, register_schema
from runner.trial.rules import UsageError


def settings_for(words: Sequence[str]) -> Settings:
    """What holds for the sweep of these words, the axes' first values taken.

    Raises UsageError, with all that is wrong with them.
    """
    register_schema()
    given = get_args_parser().parse_args(
        [word for word in words if word not in ("-m", "--multirun")]
    )
    own = [Path(given.config_dir).absolute()] if given.config_dir else []
    axes = grid.axes({}, given.overrides, [CONF, *own])
    search = [f'hydra.searchpath=["file://{folder}"]' for folder in own]
    try:
        with initialize_config_dir(str(CONF), version_base=None):
            values = values_of(compose("config", [*(axis[0] for axis in axes), *search]))
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise grid.diagnosis(axes, error, [CONF, *own]) from error
    if problems := list(wide_problems(values)):
        raise UsageError(*problems)
    return settings_of(values)
