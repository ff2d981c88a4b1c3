"""Files in sweep/ and the other groups, the user's own too: what they say is in force."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import pytest
import yaml

from runner.config.schema import Config

GIVEN: dict[str, Any] = {  # a value for every key, none of them the default
    "model": {
        "name": "vgg11",
        "task": "detection",
        "target": "a.b",
        "weights": "V9",
        "kwargs": {"width": 3},
        "default_size": 96,
        "min_size": 2,
        "max_size": 1000,
        "size_multiple": 2,
        "size_argument": "image_size",
        "square": True,
        "source": "custom",
        "inputs": "a.c",
        "file": "net.pt",
    },
    "input": {"size": [64, 96], "batch_size": 4, "frames": 8, "fill": "ones"},
    "timing": {
        "method": "wall",
        "warmup": 3,
        "iterations": 50,
        "max_seconds": 9.0,
        "inner": 2,
        "target": 0.5,
        "cache": "flush",
        "timeout_s": 60.0,
    },
    "runtime": {
        "threads": 1,
        "cudnn_benchmark": True,
        "precision": "bf16",
        "channels_last": True,
        "compile": "default",
        "compile_cache": "cold",
        "deterministic": True,
        "interop_threads": 1,
    },
    "engine": {"name": "onnxruntime", "providers": ["CPU"]},
    "pipeline": {
        "name": "e2e",
        "images": "photos",
        "decoder": "torchvision",
        "transforms": "v2",
        "transforms_on": "device",
        "pinned": True,
        "workers": 2,
        "overlap": True,
    },
    "load": {
        "name": "server",
        "rate": 20.0,
        "queries": 500,
        "target_ms": 50.0,
        "percentile": 99.9,
        "arrivals": "constant",
        "max_batch": 8,
        "max_wait_ms": 2.0,
        "instances": 2,
    },
    "tracking": {"kind": "server", "uri": "http://host", "experiment": "mine"},
    "nightly": {
        "budget": "2h",
        "window": 7,
        "history": "mlflow",
        "accept": "other.yaml",
        "allow_inconclusive": 0.5,
        "confirm_budget": "2h",
        "old": "/old/python",
        "webhook": "http://host/hook",
    },
    "sweep": {
        "id": "mine",
        "name": "Mine",
        "repeats": 3,
        "order_seed": 7,
        "resume": None,
        "retry": "failed",
        "extend": True,
        "search": "capacity",
        "max_batch": 64,
    },
    "device": "cpu",
    "repeat": 2,
    "seed": 5,
    "isolation": "none",
    "device_lock": "off",
    "dry_run": True,
    "report": False,
    "table": {"columns": ["p50", "p99"]},
    "when_busy": {"action": "refuse", "limit": "5m"},
    "format": "json",
    "quiet": False,
    "verbose": True,
    "output_dir": "elsewhere",
}


def written(folder, group: str, name: str, content: dict | str, package: bool = True) -> None:
    path = folder / "mine" / group / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    path.write_text("# @package _global_\n" * (package and group == "sweep") + text)


def leaves(values: dict, prefix: str = ""):
    for name, value in values.items():
        if isinstance(value, dict) and name != "kwargs":
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def test_the_values_below_cover_the_schema():
    for name, hint in get_type_hints(Config).items():
        keys = {part.name for part in fields(hint)} if is_dataclass(hint) else None
        assert keys is None or keys == set(GIVEN[name])
    assert set(GIVEN) == set(get_type_hints(Config))


def test_every_key_of_a_sweep_file_is_in_force_and_loses_to_the_command_line(program, tmp_path):
    written(tmp_path, "sweep", "all", GIVEN)
    ran = program("--config-dir", "mine", "sweep=all", "--cfg", "job")
    assert ran.code == 0, ran.err
    shown = dict(leaves(GIVEN)) | {"nightly.webhook": "***"}  # which is a secret
    assert dict(leaves(yaml.safe_load(ran.out))) == shown
    ran = program("--config-dir", "mine", "sweep=all", "input.batch_size=2", "--cfg", "job")
    assert yaml.safe_load(ran.out)["input"]["batch_size"] == 2


def test_a_sweep_file_decides_what_is_run_and_where(program, tmp_path):
    plain = {
        "input": {"batch_size": 4},
        "device": "cpu",
        "output_dir": "elsewhere",
        "sweep": {"repeats": 2, "id": "mine"},
        "hydra": {"sweeper": {"params": {"model": "simulated", "device": "simulated"}}},
    }
    written(tmp_path, "sweep", "plain", plain)
    ran = program("--config-dir", "mine", "sweep=plain", "tracking=off", "timing.iterations=5")
    assert ran.code == 0, ran.out + ran.err
    assert len(list(tmp_path.glob("elsewhere/mine/*/record.json"))) == 2
    assert "b4" in ran.out
    assert not (tmp_path / "outputs").exists()


def test_what_holds_for_the_whole_sweep_may_stand_among_its_params(program, tmp_path):
    params = {
        "model": "simulated",
        "sweep.repeats": "3",
        "sweep.id": "params",
        "output_dir": "elsewhere",
        "tracking": '"off"',
        "timing.iterations": "5",
    }
    written(tmp_path, "sweep", "params", {"hydra": {"sweeper": {"params": params}}})
    ran = program("--config-dir", "mine", "sweep=params")
    assert ran.code == 0, ran.out + ran.err
    assert len(list(tmp_path.glob("elsewhere/params/*/record.json"))) == 3
    assert not (tmp_path / "outputs").exists()
    ran = program("--config-dir", "mine", "sweep=params", "sweep.repeats=1", "sweep.id=again")
    assert len(list(tmp_path.glob("elsewhere/again/*/record.json"))) == 1


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("input: {batch_size: 4}\n", "needs the first line '# @package _global_'"),
        ({"input": {"batchsize": 4}}, "input.batchsize is not a key; did you mean input.batch_si"),
        ({"input": {"batch_size": "four"}}, "input.batch_size: Value 'four' of type 'str'"),
        ("# @package _global_\ninput: {batch_size: 4\n", "is not YAML (expected ',' or '}'"),
        ({"hydra": {"sweeper": {"params": {"input.size": [64, 96]}}}}, "expected one string with"),
    ],
    ids=["no package", "typo", "type", "YAML", "list"],
)
def test_a_faulty_sweep_file_is_named_with_its_fault(program, tmp_path, content, fault):
    written(tmp_path, "sweep", "mine", content, package=not isinstance(content, str))
    ran = program("--config-dir", "mine", "sweep=mine", "dry_run=true")
    assert ran.code == 2, ran.out + ran.err
    assert fault in ran.err
    assert fault.startswith("expected one string") or "mine/sweep/mine.yaml" in ran.err
    assert "does not exist" not in ran.err
    assert "Traceback" not in ran.err


def test_files_of_ones_own_are_among_the_names_that_are_there(program, tmp_path):
    written(tmp_path, "sweep", "mine", {})
    ran = program("--config-dir", "mine", "sweep=mne", "dry_run=true")
    assert "sweep=mne does not exist; similar: mine" in ran.err
    assert "methods, mine, nightly" in ran.err


def test_a_broken_file_of_another_group_is_named_too(program, tmp_path):
    written(tmp_path, "timing", "mine", "warmup: [3\n")
    ran = program("--config-dir", "mine", "timing=mine")
    assert ran.code == 2
    assert "mine/timing/mine.yaml is not YAML" in ran.err


def test_a_preset_of_ones_own_needs_only_what_differs(program, tmp_path):
    written(tmp_path, "timing", "mine", {"warmup": 3, "iterations": 12})
    ran = program("--config-dir", "mine", "timing=mine", "--cfg", "job")
    timing = yaml.safe_load(ran.out)["timing"]
    assert (timing["warmup"], timing["iterations"], timing["method"]) == (3, 12, "auto")


def test_a_group_can_be_swept_by_a_pattern(program, tmp_path):
    ran = program("model=glob(resnet*,exclude=resnet1*)", "dry_run=true")
    assert ran.code == 0, ran.err
    assert "2 trials" in ran.out
    assert "resnet34" in ran.out
    written(tmp_path, "timing", "mine", {"warmup": 3})
    assert "1 trial;" in program("--config-dir", "mine", "timing=glob(m*)", "dry_run=true").out


def test_repeats_are_rounds_however_they_are_spelled(program):
    ran = program("++repeat=0,1", "model=simulated", "timing.warmup=1,2", "dry_run=true")
    rounds = [" r1 " in f"{line} " for line in ran.out.splitlines()[:-1]]
    assert rounds == [False, False, True, True]


def test_the_command_line_may_repeat_what_a_sweep_file_says(program, tmp_path):
    written(tmp_path, "sweep", "same", {"hydra": {"sweeper": {"params": {"seed": "1"}}}})
    words = ("sweep=same", "model=simulated", "tracking=off", "dry_run=true", "seed=1")
    ran = program("--config-dir", "mine", *words)
    assert ran.code == 0, ran.out + ran.err
