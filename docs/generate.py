"""Writes docs/configuration.md from conf/ and the schema: `python docs/generate.py`.

A test compares the file with what this module returns.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from runner.config.schema import Config, types_of

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
PAGE = ROOT / "docs" / "configuration.md"
GROUPS = {  # group -> title, the file with its defaults
    "model": ("Model", "model/custom"),
    "input": ("Input", ""),
    "timing": ("Timing", "timing/default"),
    "runtime": ("Runtime", "runtime/default"),
    "engine": ("Engine", "engine/onnxruntime"),
    "pipeline": ("Pipeline", "pipeline/e2e"),
    "load": ("Load", "load/server"),
    "sweep": ("Sweep", ""),
    "table": ("Table", ""),
    "nightly": ("Nightly", ""),
    "tracking": ("Tracking", "tracking/sqlite"),
    "when_busy": ("Busy machines", "when_busy/wait"),
}
PRESETS = (
    "timing",
    "sweep",
    "engine",
    "pipeline",
    "load",
    "tracking",
    "when_busy",
    "hydra/launcher",
)
ONLY_IN_SCHEMA = {  # keys without a line in these files
    "model.name": "name of the model in its source, as with model=timm",
    "model.source": "source of the network, set by `model=`: torchvision, timm, custom, ...",
    "model.file": "file of a network, with model=torchscript, exported, onnx or engine",
    "model.inputs": "import path of a callable that creates the inputs, from "
    "(batch_size, (height, width), device)",
    "model.weights": "null (random), DEFAULT, or a name as in IMAGENET1K_V2, which downloads them",
    "model.min_size": "smallest side the model takes, in pixels",
    "model.max_size": "largest side the model takes, in pixels",
    "model.size_multiple": "input sides must be multiples of it",
    "model.square": "true: the model takes square inputs only",
    "model.size_argument": "argument of the model's constructor that sets the input size",
    "sweep.search": "capacity or max_batch, set by their files in conf/sweep/",
    "sweep.name": "name of the sweep, set by its file in conf/sweep/",
}
DEFAULTS = {"model": "resnet50", "engine": "auto", "pipeline": "forward", "load": "none",
            "timing": "default", "tracking": "sqlite",
            "when_busy": "warn"}  # fmt: skip
HEAD = """# Configuration

<!-- Written by docs/generate.py from conf/ and the schema; a test keeps it up to date. -->

Every key can be given on the command line as `key=value`. Commas (`480,640`) and `range(1,9)`
sweep it; a list is one value. `python -m runner --cfg job` prints all keys with their current
values, and Tab completes models and keys after `eval "$(runner -sc install=bash)"`.

Put your own configuration files in a folder, such as `mine/sweep/ours.yaml` or
`mine/timing/long.yaml`, and use `--config-dir mine`. A preset needs only the values that
differ from the default. A sweep's file may set any key; the command line overrides it.
"""


def page() -> str:
    """The text of docs/configuration.md."""
    known = comments(CONF / "config.yaml") | ONLY_IN_SCHEMA
    lines = [HEAD, "## General", "", *table(top_level(known))]
    for group, (title, file) in GROUPS.items():
        values = known | (comments(CONF / f"{file}.yaml", f"{group}.") if file else {})
        lines += [f"## {title}", "", *choices(group), *table(rows(group, file, values))]
    lines += ["## Presets", "", "Each is a file in `conf/`.", ""]
    for group in PRESETS:
        lines += [f"### {group}", "", "| option | purpose |", "|---|---|"]
        for path in sorted((CONF / group).glob("*.yaml")):
            lines.append(f"| `{group}={path.stem}` | {purpose(path)} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def comments(path: Path, prefix: str = "") -> dict[str, str]:
    """The comment of each dotted key in a YAML file."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not (match := re.match(r"( *)([a-z_]+):(.*)", line)):
            continue
        indent, name, rest = len(match[1]), match[2], match[3]
        above = [(depth, key) for depth, key in above if depth < indent] + [(indent, name)]
        if "#" in rest:
            dotted = ".".join(key for _, key in above)
            found[f"{prefix}{dotted}"] = rest.split("# ", 1)[1]
    return found


def choices(group: str) -> Iterator[str]:
    """The sentence about the options of a group."""
    if group in DEFAULTS:
        yield f"`{group}=OPTION` chooses a preset (default `{DEFAULTS[group]}`); see below."
        if group == "model":
            others = sorted(path.stem for path in (CONF / group).glob("*.yaml") if _other(path))
            yield f"Options are all of torchvision's models by name, and {', '.join(others)}."
        yield ""


def _other(path: Path) -> bool:
    return "\nsource:" in path.read_text(encoding="utf-8") or path.stem in ("custom", "simulated")


def top_level(known: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """Key, default, type and meaning of the keys outside of groups."""
    given = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))
    for name, kind in types_of(Config).items():
        if not is_dataclass(kind):
            yield name, shown(given.get(name)), words(kind), known[name]


def rows(group: str, file: str, known: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """Key, default, type and meaning of the keys of a group."""
    text = (CONF / (f"{file}.yaml" if file else "config.yaml")).read_text(encoding="utf-8")
    given = yaml.safe_load(text)
    values: dict[str, Any] = given if file else given[group]
    part = types_of(Config)[group]
    for one in fields(part):
        key = f"{group}.{one.name}"
        if key in known:
            kind = (
                "pixels, or [height, width]"
                if key == "input.size"
                else words(types_of(part)[one.name])
            )
            yield key, shown(values.get(one.name, _default(one))), kind, known[key]


def _default(one: Field[Any]) -> object:
    return None if one.default is MISSING else one.default


def table(lines: Iterator[tuple[str, ...]]) -> Iterator[str]:
    """A Markdown table of keys."""
    yield "| key | default | type | meaning |"
    yield "|---|---|---|---|"
    for key, default, kind, meaning in lines:
        yield f"| `{key}` | {default} | {kind} | {meaning.replace('|', chr(92) + '|')} |"
    yield ""


def shown(value: object) -> str:
    """A value as YAML writes it."""
    return "`" + yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip() + "`"


def words(kind: object) -> str:
    """A type in words."""
    if typing.get_origin(kind) is typing.Annotated:
        return words(typing.get_args(kind)[0])
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return " or ".join(words(one) for one in typing.get_args(kind))
    if typing.get_origin(kind) in (list, tuple):
        return "list"
    names = {int: "whole number", float: "number", bool: "true or false", str: "text"}
    return names.get(kind, "null" if kind is types.NoneType else "mapping")  # type: ignore[call-overload]


def purpose(path: Path) -> str:
    """The first sentence of a YAML file, without its command."""
    first = next(line for line in path.read_text(encoding="utf-8").splitlines()
                 if line.startswith("# ") and "@package" not in line)  # fmt: skip
    return first.removeprefix("# ").partition(":  ")[0]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
