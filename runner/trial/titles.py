"""Titles of trials, and the settings that distinguish them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from runner.contract import counted
from runner.trial.description import Input, Load, Pipeline, Runtime, Timing, Trial

OF_LOADS = {  # keys that mean something, by load
    "single_stream": ("queries", "target_ms", "percentile"),
    "offline": ("queries", "max_batch", "instances"),
    "server": (
        *("rate", "queries", "target_ms", "percentile", "arrivals"),
        *("max_batch", "max_wait_ms", "instances"),
    ),
}
LOADS_OWN = {name for names in OF_LOADS.values() for name in names}
MAX_NAMED = 3  # models of a sweep; beyond that only their number is shown
IN_TITLE = ("size", "batch_size", "warmup", "method", "rate", "load", "pipeline")
SETTINGS = {  # reserved names: a model argument with one of them is shown with its group
    *(part.name for group in (Input, Timing, Runtime, Pipeline, Load) for part in fields(group)),
    *("pipeline", "load"),
    *("model", "weights", "engine", "providers", "inputs", "device", "seed", "repeat", "process"),
    *("batch", "batch size", "warm-up", "warm-up count"),  # columns and counts
}


def keys_of(trial: Trial) -> dict[str, Any]:
    """The dotted keys of the command line with scalar values, numbers as numbers."""
    model = trial.model
    found: dict[str, Any] = {"model": model.label, "model.weights": model.weights or "random"}
    if model.kwargs:
        found["model.kwargs"] = str(model.kwargs)
    for name in ("source", "inputs", "file"):
        if (value := getattr(model, name)) is not None:
            found[f"model.{name}"] = value
    height, width = trial.input.pixels
    found["input.size"] = height if height == width else trial.input.size_label
    for group in ("input", "timing", "runtime"):
        for name, value in vars(getattr(trial, group)).items():
            if name not in ("size", "timeout_s"):  # the latter is not measured
                found[f"{group}.{name}"] = value
    found["engine"] = trial.engine.name
    if trial.engine.providers:
        found["engine.providers"] = ", ".join(trial.engine.providers)
    for name, given in (("pipeline", trial.is_e2e), ("load", trial.is_load)):
        if given:
            found |= {
                name if key == "name" else f"{name}.{key}": value
                for key, value in vars(getattr(trial, name)).items()
                if value is not None
            }
    return found | {name: getattr(trial, name) for name in ("device", "repeat", "seed")}


def varying_keys(trials: Sequence[Trial]) -> list[str]:
    """The keys of the command line in which trials differ."""
    found = [keys_of(trial) for trial in trials]
    names = dict.fromkeys(name for keys in found for name in keys)
    return [name for name in names if len({str(keys.get(name)) for keys in found}) > 1]


def shown(value: object) -> str:
    """A value as the command line spells it."""
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def settings(trial: Trial) -> dict[str, str]:
    """The settings of a trial that its title does not contain, by the last part of their keys."""
    model = trial.model
    others: dict[str, object] = {"weights": model.weights}
    others |= {_argument(name): value for name, value in model.kwargs.items()}
    others |= vars(trial.input) | vars(trial.timing) | vars(trial.runtime)
    others |= {"engine": trial.engine.name, "providers": trial.engine.providers}
    others |= {name: value for name, value in vars(trial.pipeline).items() if name != "name"}
    of_load = OF_LOADS.get(trial.load.name, ())
    others |= {name: value for name, value in vars(trial.load).items() if name in of_load}
    others |= {"inputs": model.inputs}
    others |= {"device": trial.device, "seed": trial.seed}
    return {name: shown(value) for name, value in others.items() if name not in IN_TITLE}


def _argument(name: str) -> str:
    """The name of a model argument among the settings: `kwargs.size` beside our own size."""
    return f"kwargs.{name}" if name in SETTINGS else name


def varying(trials: Sequence[Trial]) -> tuple[str, ...]:
    """The settings that differ between trials and are not in their titles: `("cache",)`.

    Settings of a model are compared only between trials of that model.
    """
    of_models: dict[str, list[dict[str, str]]] = {}
    for trial in trials:
        of_models.setdefault(trial.model.label, []).append(settings(trial))
    everything = [one for group in of_models.values() for one in group]
    own = {_argument(name) for trial in trials for name in trial.model.kwargs}
    real = [one for one in everything if one["device"] != "simulated"]

    def differs(name: str) -> bool:
        if name in LOADS_OWN:  # other loads do not have it
            return len({one[name] for one in everything if name in one}) > 1
        groups = of_models.values() if name in own else [real if name == "device" else everything]
        return any(len({one.get(name) for one in group}) > 1 for group in groups)

    return tuple(
        name for name in dict.fromkeys(name for one in everything for name in one) if differs(name)
    )


def short_titles(trials: Sequence[Trial], but: Sequence[str] = ()) -> list[str]:
    """A short name that distinguishes each trial from the others: `resnet50 bf16`.

    Keys of AXES in `but` are omitted, because an axis already shows them.
    """
    named = {
        "model": [trial.model.label for trial in trials],
        "input.size": [f"{trial.input.size_label}px" for trial in trials],
        "input.batch_size": [f"b{trial.input.batch_size}" for trial in trials],
        "timing.warmup": [f"w{trial.timing.warmup}" for trial in trials],
        "timing.method": [trial.timing.method for trial in trials],
        "pipeline": [trial.pipeline.name for trial in trials],
        "load.rate": [trial.served for trial in trials],
    }
    others = [settings(trial) for trial in trials]
    for name in varying(trials):
        values = [one.get(name, "-") for one in others]
        # a number or boolean is meaningless without its name
        plain = any(
            value.lower() in ("true", "false", "-") or value[:1].isdigit() for value in values
        )
        named[name] = [f"{name}={value}" for value in values] if plain else values
    differing = [cells for name, cells in named.items() if len(set(cells)) > 1 and name not in but]
    if not differing:
        return named["model"]
    return [" ".join(words) for words in zip(*differing, strict=True)]


def summary_of(trials: Sequence[Trial], name: str | None = None) -> str:
    """The title of a sweep, by its axes: `resnet18, mobilenet_v3_small x 4 sizes`.

    One whose file has a `name` begins with it: `batch: resnet18 x 6 batch sizes`.
    """
    models = list(dict.fromkeys(trial.model.label for trial in trials))
    head = ", ".join(models) if len(models) <= MAX_NAMED else f"{len(models)} models"
    nouns = {
        "size": len({trial.input.size for trial in trials}),
        "batch size": len({trial.input.batch_size for trial in trials}),
        "warm-up count": len({trial.timing.warmup for trial in trials}),
        "method": len({trial.timing.method for trial in trials}),
        "pipeline": len({trial.pipeline.name for trial in trials}),
        "load": len({trial.load.name for trial in trials}),
        "rate": len({trial.load.rate for trial in trials if trial.load.rate}),
    }
    others = [settings(trial) for trial in trials]
    values = {name: len({one[name] for one in others if name in one}) for name in varying(trials)}
    processes = len({trial.repeat for trial in trials})
    parts = [
        *(counted(number, noun) for noun, number in nouns.items() if number > 1),
        *(
            f"{number} values of {name}"
            if "_" in name or name.endswith("s")
            else counted(number, name)
            for name, number in values.items()
        ),
        *([counted(processes, "process")] if processes > 1 else []),
    ]
    return (f"{name}: " if name else "") + " x ".join([head, *parts])


def full_title(trial: Trial, names: Sequence[str]) -> str:
    """The title with the named settings: `resnet50 640px b1 w20 event r1 cache=flush`."""
    own = settings(trial)
    return " ".join([trial.title, *(f"{name}={own.get(name, '-')}" for name in names)])
