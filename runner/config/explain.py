"""Errors of Hydra and OmegaConf as sentences that a user can act on."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError

from runner.config.schema import GLOBAL, Config, types_of
from runner.contract import CONF, Problem

OTHERS_SAY = {  # words of other tools -> ours
    **dict.fromkeys(("dtype", "half", "fp16", "bf16", "amp", "tf32"), "runtime.precision"),
    **dict.fromkeys(("bs", "batch", "batchsize", "batch_sizes"), "input.batch_size"),
    **dict.fromkeys(("imgsz", "img_size", "image_size", "resolution"), "input.size"),
    **dict.fromkeys(("iters", "num_iters", "runs", "steps", "bench_iter"), "timing.iterations"),
    **dict.fromkeys(("warmups", "warm_iter", "num_warmup", "warmup_runs"), "timing.warmup"),
    **dict.fromkeys(("num_threads", "nthreads", "cpu_threads"), "runtime.threads"),
    **dict.fromkeys(("memory_format", "nhwc"), "runtime.channels_last"),
    **dict.fromkeys(("backend", "runtime_engine"), "engine"),
    **dict.fromkeys(("pretrained", "checkpoint"), "model.weights"),
    **dict.fromkeys(("torchcompile", "torch_compile", "compile_mode"), "runtime.compile"),
    "gpu": "device",
}
# of Hydra, for `+key` where `key` would do
THERE_ALREADY = ("An item is already at", "Multiple values for")


def unknown_key(key: str, prefix: str, allowed: list[str]) -> Problem:
    """An unknown key, with those that were probably meant."""
    leaf = key.rpartition(".")[2]
    near = keys_named(leaf)  # in any group; preferred over keys that only look similar
    near = near or ([OTHERS_SAY[leaf]] if leaf in OTHERS_SAY else [])
    near = near or [f"{prefix}{name}" for name in difflib.get_close_matches(leaf, allowed, n=1)]
    near = near or keys_named(leaf, nearly=True)
    where = f"{prefix.rstrip('.')} has" if prefix else "the keys are"
    those = f"({where}: {', '.join(allowed)})"
    if not near:
        return Problem(key, f"{key} is not a key {those}")
    return Problem(key, f"{key} is not a key", f"did you mean {' or '.join(near)}? {those}")


def keys_named(leaf: str, *, nearly: bool = False) -> list[str]:
    """Dotted keys of any group whose last part is `leaf`, or similar to it."""
    keys = {name: [name] for name, hint in types_of(Config).items() if not is_dataclass(hint)}
    for group, hint in types_of(Config).items():
        for part in fields(hint) if is_dataclass(hint) else ():
            keys.setdefault(part.name, []).append(f"{group}.{part.name}")
    nearest = difflib.get_close_matches(leaf, keys, n=1, cutoff=0.75 if nearly else 1.0)
    return [key for name in nearest for key in keys[name]]


def explain(error: Exception, override: str, folders: Sequence[Path] = ()) -> Problem:
    """The problem that Hydra or OmegaConf reports for `override`.

    `folders` hold the files that it may have chosen.
    """
    name, _, value = override.lstrip("+~").partition("=")
    if override[:1] == "+" and any(sign in str(error) for sign in THERE_ALREADY):
        found = f"{override} adds a key that already exists"
        return Problem(name, found, f"did you mean {override.lstrip('+')}?")
    chosen = (folder / name / f"{value}.yaml" for folder in folders)
    if (path := next(filter(os.path.isfile, chosen), None)) is not None:
        fault = _fault(error, name, path)
        return Problem(name, f"{override} can't be used: {fault.found}", fault.remedy)
    if not isinstance(error, (ConfigCompositionException, OmegaConfBaseException)):
        return _unreadable(error, override)
    if isinstance(error, MissingConfigException) and error.options is not None:
        ours = {path.stem for folder in folders for path in (folder / name).glob("*.yaml")}
        # none of Hydra's launchers can be used
        options = sorted(ours) if name == "hydra/launcher" else error.options
        return no_such_file(name, value, options)
    if str(error).startswith("In '"):  # the error is in the chosen file
        return Problem(name, f"{override} can't be used: {' '.join(str(error).split())}")
    chain = _chain(error)
    unknown = any(isinstance(link, (ConfigAttributeError, ConfigKeyError)) for link in chain)
    if unknown and not name.startswith("hydra"):
        return _of_key(ConfigKeyError(""), name)
    refused = next((link for link in chain if isinstance(link, OmegaConfBaseException)), chain[-1])
    return Problem(
        name, f"{name} is {value or 'empty'}", _expected(name) or first_line(str(refused))
    )


def _unreadable(error: Exception, override: str) -> Problem:
    """A word that is not an override."""
    if os.path.isfile(CONF / "model" / f"{override}.yaml"):
        return Problem(
            override,
            f"{override!r} is not of the form key=value",
            f"did you mean model={override}?",
        )
    reason = str(error).partition("\nSee ")[0].strip().splitlines()[-1]
    return Problem(
        override,
        f"{override!r} can't be read ({reason})",
        "expected key=value, with quotes around special characters, as in 'key=\"a b\"'",
    )


def no_such_file(name: str, value: str, options: Sequence[str]) -> Problem:
    """A missing file of a group, with those that exist."""
    near = difflib.get_close_matches(value, options, n=5, cutoff=0.5)
    all_of_them = ", ".join(sorted(options))
    if len(options) > 20:
        all_of_them = f"{len(options)} names, listed by --help"
    those, found = f"(available: {all_of_them})", f"{name}={value} does not exist"
    hints = [f"similar: {', '.join(near)} {those}"] if near else []
    if name == "model":
        hints.append("your own network: model=custom model.target=...")
    return Problem(name, found if near else f"{found} {those}", "; ".join(hints))


def _fault(error: Exception, group: str, path: Path) -> Problem:
    """What is wrong with a configuration file, with its name."""
    if isinstance(error, MarkedYAMLError):
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        return Problem(group, f"{path} is not YAML ({error.problem}, line {line})")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as damage:
        found = f"{path} is not UTF-8 ({damage.reason} at byte {damage.start})"
        return Problem(group, found, "save it as UTF-8")
    if text.startswith("\ufeff"):
        found = f"{path} begins with a byte-order mark, so its first line can't be parsed"
        return Problem(group, found, "save it as UTF-8 without one")
    if group == "sweep" and GLOBAL not in text:
        return Problem(
            group,
            f"{path} needs the first line {GLOBAL!r}; without it its keys are read as keys of "
            "sweep",
        )
    for link in _chain(error):
        if isinstance(link, OmegaConfBaseException) and link.full_key:
            of_key = _of_key(link, link.full_key)
            return Problem(group, f"{path}: {of_key.found}", of_key.remedy)
    return Problem(group, f"{path}: {first_line(str(error))}")


def _chain(error: BaseException) -> list[BaseException]:
    """The error and its causes, the original one last."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    return chain


def _of_key(error: OmegaConfBaseException, key: str) -> Problem:
    """The problem that OmegaConf reports for a key or its value."""
    if isinstance(error, (ConfigAttributeError, ConfigKeyError)):
        parent = key.rpartition(".")[0]
        schema = types_of(Config).get(parent, Config)
        if is_dataclass(schema):
            prefix = f"{parent}." if schema is not Config else ""
            return unknown_key(key, prefix, [part.name for part in fields(schema)])
    return Problem(key, f"{key}: {first_line(str(error))}", _expected(key) or "")


def _expected(key: str) -> str | None:
    hint: Any = Config
    for part in key.split("."):
        if not isinstance(hint, type) or not is_dataclass(hint):
            return None
        hint = types_of(hint).get(part)
    words = {
        int: "expected a whole number",
        int | None: "expected a whole number or null",
        float | None: "expected a number or null",
        bool: "expected true or false",
        str: "expected text",
        str | None: "expected text or null",
        list[str] | None: f"expected a list, as in {key}=[a,b], or null",
    }
    if is_dataclass(hint):
        names = [part.name for part in fields(hint)]
        return f"expected its keys one by one ({', '.join(f'{key}.{name}' for name in names)})"
    return words.get(hint)


def first_line(text: str) -> str:
    """The first line of an error's text."""
    return text.strip().splitlines()[0] if text.strip() else "no reason given"
