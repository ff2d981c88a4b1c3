"""The one place that calls Hydra through private or global interfaces.

`get_args_parser` is private: nothing public splits a command line into flags and overrides the
way Hydra does. sys.argv, which `hydra.main` reads, and HYDRA_FULL_ERROR are global:
without the latter it prints errors and exits instead of raising them. Both are restored. Read in
hydra-core 1.3.8.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner.config.misspelt import misspelt
from runner.config.schema import register_schema
from runner.contract import CONF, Problem, UsageError
from runner.trial.near import near

CONFIG = "config.yaml"
REFUSALS = (HydraException, OmegaConfBaseException, YAMLError, UnicodeDecodeError)
"""Exceptions that Hydra raises for overrides and files of a user."""
UNUSED_FLAGS = {
    "experimental_rerun": "sweep.resume=latest resumes a sweep",
    "package": "omit it: conf/config.yaml sets the place of each key",
}
COMPLETIONS = ("install=", "uninstall=", "query=")


@dataclass(frozen=True)
class Words:
    """A parsed command line: its overrides, configuration folders and relevant flags.

    `all_files`: no other folder has configuration files.
    """

    overrides: tuple[str, ...]
    folders: tuple[Path, ...]
    asks_help: bool
    asks_config: bool
    all_files: bool


def flags_last(words: Sequence[str]) -> list[str]:
    """The words with all overrides before all flags; Hydra ignores overrides after a flag.

    Raises UsageError for unknown flags and for lists with blanks. A flag without
    its value ends the program with code 2.
    """
    parser = get_args_parser()
    parser.prog = "runner"
    if problems := [*misspelt(words, set(parser._option_string_actions))]:
        raise UsageError(*problems)
    overrides = parser.parse_intermixed_args(words).overrides
    left = list(overrides)
    flags = [word for word in words if not (left and word == left[0] and left.pop(0))]
    return [*overrides, *flags]


def parsed(words: Sequence[str]) -> Words:
    """Parse a command line. Raises UsageError; an unknown flag exits with code 2."""
    for word in words:
        if not word.isprintable():
            found = f"{word!a} contains control characters or invalid UTF-8"
            raise UsageError(Problem("words", found, "expected printable text"))
    # everything is a sweep: -m changes nothing and may stand anywhere
    parser = get_args_parser()
    parser.prog = "runner"
    given = parser.parse_intermixed_args(
        [word for word in words if word not in ("-m", "--multirun")]
    )
    actions = [name for name in ("cfg", "info", "shell_completion", "run") if getattr(given, name)]
    if len(actions) > 1:
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in actions)
        raise UsageError(Problem("flags", f"{flags} are given together", "give one of them"))
    if given.resolve and not (given.cfg or given.help):
        raise UsageError(
            Problem("--resolve", "--resolve is given alone", "it is only valid with --cfg")
        )
    for flag, remedy in UNUSED_FLAGS.items():
        if getattr(given, flag):
            found = f"--{flag.replace('_', '-')} does nothing here"
            raise UsageError(Problem("flags", found, remedy))
    if given.shell_completion and not any(w.startswith(COMPLETIONS) for w in given.overrides):
        found = "--shell-completion is given without a shell"
        raise UsageError(Problem("flags", found, "give a shell, as in install=bash"))
    own = [Path(given.config_dir).absolute()] if given.config_dir else []
    if own and not own[0].is_dir():
        found = f"--config-dir is {given.config_dir}, which is not a folder"
        folders = [path.name for path in Path.cwd().iterdir() if path.is_dir()]
        hint = f"{near(given.config_dir, folders)}expected one with configuration files"
        raise UsageError(Problem("--config-dir", found, hint))
    # unless a file or flag adds folders that are not known here
    other_config = given.config_path or given.config_name or (own and (own[0] / CONFIG).exists())
    all_files = not other_config and not any("hydra.searchpath" in w for w in given.overrides)
    return Words(tuple(given.overrides), (CONF, *own), given.help, bool(given.cfg), all_files)


def run_hydra(words: Sequence[str], task: Callable[[DictConfig], None]) -> None:
    """Run Hydra, which passes the command line to the sweeper."""
    register_schema()
    argv, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = ["runner", *(word for word in words if word not in ("-m", "--multirun"))]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        hydra.main(version_base=None, config_path=str(CONF), config_name="config")(task)()
    finally:
        sys.argv = argv
        del os.environ["HYDRA_FULL_ERROR"]
        if full_error is not None:
            os.environ["HYDRA_FULL_ERROR"] = full_error


@contextmanager
def composer(folders: Sequence[Path]) -> Iterator[Callable[[Sequence[str]], DictConfig]]:
    """Composes overrides with the files in these folders, apart from any sweep."""
    register_schema()
    others = ",".join(f'"file://{folder}"' for folder in folders if folder != CONF)
    search = [f"hydra.searchpath=[{others}]"] if others else []
    with initialize_config_dir(str(CONF), version_base=None):
        yield lambda overrides: compose("config", [*overrides, *search])


def help_text(words: Words, overrides: Sequence[str]) -> str:
    """The help of conf/config.yaml. Hydra's own lists the groups by copying its files 80 times."""
    register_schema()
    main = OmegaConf.load(CONF / CONFIG)
    assert isinstance(main, DictConfig)
    if overrides:
        with composer(words.folders) as compose:
            keys = compose(overrides)
    else:
        keys = _defaults(main)
    return Template(main.hydra.help.template).substitute(
        APP_CONFIG_GROUPS="\n".join(_groups(words.folders)), CONFIG=OmegaConf.to_yaml(keys)
    )


def _defaults(main: DictConfig) -> DictConfig:
    """All keys with their defaults, without Hydra's own, which would double the time."""
    keys = ConfigStore.instance().load("schema.yaml").node
    for chosen in main.defaults:
        if isinstance(chosen, str):
            group, _, name = chosen.partition("/")
        else:
            ((group, name),) = chosen.items()
        if name and not group.startswith("override "):
            keys.merge_with({group: OmegaConf.load(CONF / group / f"{name}.yaml")})
    own = [str(key) for key in main if key not in ("defaults", "hydra")]
    keys.merge_with(OmegaConf.masked_copy(main, own))
    return keys


def _groups(folders: Sequence[Path]) -> Iterator[str]:
    """A line for each group with its options, read from the folders."""
    names = {path.name for folder in folders for path in folder.iterdir() if path.is_dir()}
    for name in sorted(names - {"hydra"}):
        options = {path.stem for folder in folders for path in (folder / name).glob("*.yaml")}
        yield f"{name}: {', '.join(sorted(options))}"
