"""What trials are called: full titles, and the settings that tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.trial.description import Trial

IN_TITLE = ("size", "batch_size", "warmup", "method")


def keys_of(trial: Trial) -> dict[str, Any]:
    """The dotted keys of the command line with scalar values, numbers as numbers."""
    model, values = trial.model, trial.values()
    found: dict[str, Any] = {"model": model.label, "model.weights": model.weights or "random"}
    if model.kwargs:
        found["model.kwargs"] = str(model.kwargs)
    for name in ("source", "inputs", "file"):
        if (value := getattr(model, name)) is not None:
            found[f"model.{name}"] = value
    height, width = trial.input.size
    found["input.size"] = height if height == width else trial.input.size_label
    for group in ("input", "timing", "runtime"):
        for name, value in values[group].items():
            if name not in ("size", "timeout_s"):  # the latter is nothing that is measured
                found[f"{group}.{name}"] = value
    found["engine"] = trial.engine.name
    if trial.engine.providers:
        found["engine.providers"] = ", ".join(trial.engine.providers)
    return found | {name: values[name] for name in ("device", "repeat", "seed")}


def shown(value: object) -> str:
    """A value as the command line spells it."""
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def settings(trial: Trial) -> dict[str, str]:
    """The settings of a trial that its title does not name, by the last word of their keys."""
    values = trial.values()
    model = values["model"]
    others = {"weights": model["weights"], **model["kwargs"]}
    others |= values["input"] | values["timing"] | values["runtime"]
    others |= {"engine": trial.engine.name, "providers": values["engine"]["providers"]}
    others |= {"inputs": model["inputs"]}
    others |= {"device": trial.device, "seed": trial.seed}
    return {name: shown(value) for name, value in others.items() if name not in IN_TITLE}


def varying(trials: Sequence[Trial]) -> tuple[str, ...]:
    """The settings that differ between trials and that their titles do not name: `("cache",)`."""
    all_settings = [settings(trial) for trial in trials]
    names = dict.fromkeys(name for one in all_settings for name in one)
    return tuple(name for name in names if len({one.get(name) for one in all_settings}) > 1)


def full_title(trial: Trial, names: Sequence[str]) -> str:
    """The title with the named settings: `resnet50 640px b1 w20 event cache=flush`."""
    own = settings(trial)
    return " ".join([trial.title, *(f"{name}={own.get(name, '-')}" for name in names)])
