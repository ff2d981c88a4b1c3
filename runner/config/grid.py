"""The grid that the overrides of a sweep span."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, RangeSweep
from hydra.errors import HydraException

from runner.config.explain import explain, no_such_file
from runner.contract import CONF, Problem, UsageError
from runner.host.secrets import know

SWEEP_WIDE = (
    *("sweep", "nightly", "tracking", "output_dir", "isolation", "device_lock", "dry_run"),
    *("report", "table", "when_busy", "format", "quiet", "verbose"),
)
REPEAT = "repeat"
MAX_ROUNDS = 3  # a budget gives an uncertain trial at most so many times sweep.repeats
MAX_NAME_LENGTH = 255  # characters of a file name
MAX_TRIALS = 20_000  # the grid is checked as a whole before the first one
NESTING = "expected at most a few dozen nested brackets"
OWN = {  # keys of Hydra that runner decides itself
    "hydra.sweep": "records are in output_dir/<sweep.id>: give these",
    "hydra.run": "records are in output_dir/<sweep.id>: give these",
    "hydra/sweeper": "runner uses its own sweeper: omit it",
    "hydra.sweeper._target_": "runner uses its own sweeper: omit it",
    "hydra.mode": "everything is a sweep, checked before it runs: omit it",
}
Point = tuple[str, ...]
Axes = Mapping[str, Sequence[str]]


def axes(
    params: Mapping[str, object], arguments: Sequence[str], folders: Sequence[Path] = (CONF,)
) -> Axes:
    """The overrides along each axis of a sweep by its key; `arguments` win over a file's `params`.

    `repeat` comes first, whatever its place: repeats are rounds over the whole sweep. `folders`
    hold the files that a group's glob(...) is matched with. A key that stands twice among the
    arguments is refused: Hydra would take the last, or merge the two.
    Raises UsageError, with all that can't be read or is not a valid range.
    """
    found: dict[str, list[str]] = {}
    problems = []
    for name, value in params.items():
        if not isinstance(value, (str, int, float)):
            key = f"hydra.sweeper.params.{name}"
            remedy = 'expected one string with commas, as in "224,640"'
            problems.append(Problem(key, f"{key} is {value}", remedy))
    parser = OverridesParser.create()
    given: dict[str, str] = {}
    of_file = [f"{name}={value}" for name, value in params.items()]
    for number, text in enumerate([*of_file, *arguments]):
        try:
            override = parser.parse_override(text)
            know({override.key_or_group: override.value()})
            found[override.key_or_group] = _values(override, folders)
        except UsageError as error:
            problems += error.problems
        except HydraException as error:
            problems.append(explain(error, text))
        except RecursionError:
            problems.append(Problem(text, f"{text} is nested too deeply", NESTING))
        else:
            key = override.key_or_group
            if key in given:
                what = f"{given[key]} and {text} give {key} twice"
                problems.append(Problem(key, what, "give one, or both values with a comma"))
            if number >= len(of_file):  # the command line may override the file
                given[key] = text
    if problems:
        raise UsageError(*problems)
    return {name: found[name] for name in sorted(found, key=lambda name: name != REPEAT)}


def _values(override: Override, folders: Sequence[Path]) -> list[str]:
    key, line, group = override.get_key_element(), str(override.input_line), override.key_or_group
    if group == REPEAT:
        key = REPEAT  # with or without `+`
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
    if isinstance(value, RangeSweep) and not _count(value) <= MAX_TRIALS:
        remedy = f"expected at most {MAX_TRIALS}: give fewer, or a step"
        raise UsageError(Problem(group, f"{line} expands to too many values", remedy))
    try:
        values = [f"{key}={value}" for value in override.sweep_string_iterator()]
    except ValueError as error:  # a range with a step of 0
        raise UsageError(Problem(group, f"{line} is not a valid range ({error})")) from error
    if not values:
        raise UsageError(Problem(group, f"{line} is empty", "give at least one value"))
    return values


def _count(span: RangeSweep) -> float:
    """The number of values of a range, without creating them."""
    start, stop, step = float(span.start or 0), float(span.stop or 0), float(span.step)
    return abs(stop - start) / abs(step) if step else 0.0  # Hydra says what is wrong with 0


def _unusable(override: Override, folders: Sequence[Path]) -> Problem | None:
    """Why a valid override can't be used in a sweep."""
    line, group = str(override.input_line), override.key_or_group
    if not group:
        return Problem(line, f"{line!r} has no key", "expected key=value")
    if len(group) > MAX_NAME_LENGTH:
        return Problem(group, f"{group} is not a key", "expected one of those that --cfg job lists")
    for own, remedy in OWN.items():
        if group == own or group.startswith(f"{own}."):
            return Problem(group, f"{line} can't be set", remedy)
    if override.is_delete():
        return Problem(group, f"{line} removes a key, but every key is required")
    chooses = is_group(group, folders)
    if chooses and "${" in line:
        return Problem(
            group,
            f"{line} chooses a file through a variable, but files are chosen before variables "
            "are resolved",
            f"let the shell expand it, as in {group}=$NAME",
        )
    if chooses and isinstance(value := override.value(), list):
        names = ",".join(map(str, value))
        found = f"{line} would merge these files, the last one winning"
        return Problem(group, found, f"to time each, use {group}={names}")
    if chooses and override.value() is None:
        return Problem(group, f"{line} chooses nothing", "expected one of its files' names")
    is_sweep = override.is_sweep_override() and not isinstance(override.value(), Glob)
    if is_sweep and not override.is_discrete_sweep():
        return Problem(
            group,
            f"{line} is not a finite list of values",
            "expected values with commas, range(start,stop,step) or choice(a,b)",
        )
    return None


def is_group(key: str, folders: Sequence[Path]) -> bool:
    """Whether a key chooses a file from a folder of that name (a Hydra group)."""
    return len(key) <= MAX_NAME_LENGTH and any((folder / key).is_dir() for folder in folders)


def without_unknown_files(axes: Axes, folders: Sequence[Path]) -> tuple[Axes, list[Problem]]:
    """The axes without choices of files that don't exist, and a problem for each of those."""
    left: dict[str, list[str]] = {}
    problems = []
    for key, words in axes.items():
        for word in words:
            name, _, value = word.lstrip("+").partition("=")
            own = [folder / name for folder in folders if is_group(name, folders)]
            options = {path.stem for folder in own for path in folder.glob("*.yaml")}
            if (
                name[:6] == "hydra/"
                or not options
                or value in (options | {"null"})
                or not re.fullmatch(r"[\w.-]+", value)
            ):
                left.setdefault(key, []).append(word)
            else:
                problems.append(no_such_file(name, value, sorted(options)))
    return left, problems


def is_sweep_wide(override: str) -> bool:
    """Whether a key applies to the whole sweep and not to each trial."""
    return override.lstrip("+").partition("=")[0].partition(".")[0] in SWEEP_WIDE


def points(axes: Axes) -> list[Point]:
    """All combinations, the last axis varying fastest. Raises UsageError for too many."""
    if (count := math.prod(map(len, axes.values()))) > MAX_TRIALS:
        remedy = f"expected at most {MAX_TRIALS}: split it, or give fewer values"
        raise UsageError(Problem("sweep", f"this sweep has {count} trials", remedy))
    return list(itertools.product(*axes.values()))


def with_repeats(axes: Axes, repeats: int, budget: str | None = None) -> Axes:
    """The axes with `repeat`, the slowest, in front: `repeats` processes for each trial.

    With a budget there are more, and the budget selects those that fit.
    Raises UsageError when `repeat` is given as well.
    """
    key, found = "sweep.repeats", f"sweep.repeats is {repeats}"
    if budget is not None:
        key, found = "nightly.budget", f"nightly.budget is {budget}, which plans the processes"
        repeats *= MAX_ROUNDS
    if repeats <= 1:
        return axes
    if repeats > MAX_TRIALS:
        raise UsageError(Problem(key, found, f"expected at most {MAX_TRIALS}"))
    if REPEAT in axes:
        raise UsageError(Problem(key, f"{found}, but repeat is given as well", "give one"))
    return {REPEAT: [f"{REPEAT}={number}" for number in range(repeats)], **axes}


def in_rounds(points: Sequence[Point], rounds: int, seed: int) -> list[Point]:
    """The points, round after round, each in an order of its own that `seed` decides.

    A drift of the machine then affects all trials alike, and no trial always follows
    the same neighbour.
    """
    size = len(points) // rounds
    ordered = []
    for number in range(rounds):
        points_of_round = list(points[number * size : (number + 1) * size])
        random.Random(f"{seed} {number}").shuffle(points_of_round)
        ordered += points_of_round
    return ordered
