"""The grid that a sweep's overrides span, and what is wrong with it when it can't be composed."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner.config.explain import explain
from runner.config.parse import trial_of, values_of
from runner.config.schema import CONF
from runner.host.devices import possible_devices
from runner.trial.rules import Problem, UsageError

SWEEP_WIDE = (
    *("sweep", "nightly", "tracking", "output_dir", "isolation", "device_lock", "dry_run"),
    "report",
)
MOST_ROUNDS = 3  # times sweep.repeats, that a budget gives an uncertain trial
MOST_TRIALS = 20_000  # the grid is checked as a whole before the first one
Point = tuple[str, ...]


def axes(
    params: Mapping[str, object], arguments: Sequence[str], folders: Sequence[Path] = (CONF,)
) -> list[list[str]]:
    """The overrides along each axis of a sweep; `arguments` win over a file's `params`.

    `repeat` comes first, whatever its place: repeats are rounds over the whole sweep. `folders`
    hold the files that a group's glob(...) is matched with.
    Raises UsageError, with all that can't be read or spans no grid.
    """
    found: dict[str, list[str]] = {}
    problems = []
    for name, value in params.items():
        if not isinstance(value, (str, int, float)):
            key = f"hydra.sweeper.params.{name}"
            remedy = 'expected one string with commas, as in "224,640"'
            problems.append(Problem(key, f"{key} is {value}", remedy))
    parser = OverridesParser.create()
    for text in [*(f"{name}={value}" for name, value in params.items()), *arguments]:
        try:
            override = parser.parse_override(text)
            found[override.key_or_group] = _values(override, folders)
        except UsageError as error:
            problems += error.problems
        except HydraException as error:
            problems.append(explain(error, text))
    if problems:
        raise UsageError(*problems)
    return [found[name] for name in sorted(found, key=lambda name: name != "repeat")]


def _values(override: Override, folders: Sequence[Path]) -> list[str]:
    key, line, group = override.get_key_element(), str(override.input_line), override.key_or_group
    if group == "repeat":
        key = "repeat"  # however it was added: repeats are rounds
    if problem := _unusable(override, folders):
        raise UsageError(problem)
    value = override.value()
    if isinstance(value, Glob):
        options = {path.stem for folder in folders for path in (folder / group).glob("*.yaml")}
        if not (names := value.filter(sorted(options))):
            found = f"{line} matches none of {len(options)} files' names"
            raise UsageError(Problem(group, found))
        return [f"{key}={name}" for name in names]
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    try:
        values = [f"{key}={value}" for value in override.sweep_string_iterator()]
    except ValueError as error:  # a range with a step of 0
        raise UsageError(Problem(group, f"{line} spans no grid ({error})")) from error
    if not values:
        raise UsageError(Problem(group, f"{line} is empty", "give at least one value"))
    return values


def _unusable(override: Override, folders: Sequence[Path]) -> Problem | None:
    """Why an override that can be read is none for a sweep."""
    line, group = str(override.input_line), override.key_or_group
    if not group:
        return Problem(line, f"{line!r} names no key", "expected key=value")
    if override.is_delete():
        return Problem(group, f"{line} takes a key away, but every key is needed")
    is_group = any((folder / group).is_dir() for folder in folders)
    if is_group and "${" in line:
        return Problem(
            group,
            f"{line} names a file by a variable, but files are chosen before variables are known",
            f"let the shell put it in, as in {group}=$NAME",
        )
    if is_group and override.value() is None:
        return Problem(group, f"{line} names nothing", "expected one of its files' names")
    is_sweep = override.is_sweep_override() and not isinstance(override.value(), Glob)
    if is_sweep and not override.is_discrete_sweep():
        return Problem(
            group,
            f"{line} spans no finite grid",
            "expected values with commas, range(start,stop,step) or choice(a,b)",
        )
    return None


def is_sweep_wide(override: str) -> bool:
    """Whether a key, or an override of it, holds for the sweep and not for each of its trials."""
    return override.lstrip("+").partition("=")[0].partition(".")[0] in SWEEP_WIDE


def points(axes: Sequence[Sequence[str]]) -> list[Point]:
    """All combinations, the last axis varying fastest. Raises UsageError for too many."""
    if (count := math.prod(map(len, axes))) > MOST_TRIALS:
        remedy = f"expected at most {MOST_TRIALS}: split it, or give fewer values"
        raise UsageError(Problem("sweep", f"this sweep spans {count} trials", remedy))
    return list(itertools.product(*axes))


def with_repeats(
    axes: Sequence[list[str]], repeats: int, budget: str | None = None
) -> list[list[str]]:
    """The axes with one more for `repeats` processes per trial, the first and slowest.

    With a budget there are more, of which it takes what fits.
    Raises UsageError when the processes are also named one by one.
    """
    key, found = "sweep.repeats", f"sweep.repeats is {repeats}"
    if budget is not None:
        key, found = "nightly.budget", f"nightly.budget is {budget}, which plans the processes"
        repeats *= MOST_ROUNDS
    if repeats <= 1:
        return list(axes)
    if repeats > MOST_TRIALS:
        raise UsageError(Problem(key, found, f"expected at most {MOST_TRIALS}"))
    if any(axis[0].startswith("repeat=") for axis in axes):
        raise UsageError(Problem(key, f"{found}, but repeat is given as well", "give one"))
    return [[f"repeat={number}" for number in range(repeats)], *axes]


def in_rounds(points: Sequence[Point], rounds: int, seed: int) -> list[Point]:
    """The points, round after round, each in an order of its own that `seed` decides.

    A drift of the machine then falls on all trials alike, and no trial always follows
    the same neighbour.
    """
    size = len(points) // rounds
    ordered = []
    for number in range(rounds):
        points_of_round = list(points[number * size : (number + 1) * size])
        random.Random(f"{seed} {number}").shuffle(points_of_round)
        ordered += points_of_round
    return ordered


def diagnosis(
    axes: Sequence[Sequence[str]], error: Exception, folders: Sequence[Path] = (CONF,)
) -> UsageError:
    """Everything wrong with a grid of which Hydra refused a point with `error`.

    Hydra stops at its first error. Here each override is tried alone, and then, in a
    trial of the good ones, each good value in its turn: all problems, in time that
    grows with the values and not with their combinations.
    """
    found: list[Problem] = []
    good: list[list[str]] = []
    others = ",".join(f'"file://{folder}"' for folder in folders if folder != CONF)
    base = [f"hydra.searchpath=[{others}]"] if others else []
    GlobalHydra.instance().clear()  # the main one has no further use
    with initialize_config_dir(str(CONF), version_base=None):
        for axis in axes:
            good.append([])
            for override in axis:
                refused = _compose([override, *base])
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
            config = _compose([*overrides, *base])
            if not isinstance(config, DictConfig):
                continue
            try:
                trial_of(values_of(config), possible_devices(), Path.cwd())
            except UsageError as refusal:
                found += refusal.problems
    return UsageError(*(found or [Problem("", str(error))]))


def _compose(overrides: list[str]) -> DictConfig | Exception:
    try:
        return compose("config", overrides)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        return error
