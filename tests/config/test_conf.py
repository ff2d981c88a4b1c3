"""conf/: each file states its purpose, each model of torchvision exists and runs."""

from __future__ import annotations

import importlib.util
from dataclasses import fields, is_dataclass

import pytest
import torchvision
from fakes.program import ROOT

from runner.config.schema import Config, types_of

CONF = ROOT / "conf"
_SPEC = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
generate = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(generate)
MODELS = {path.stem: path for path in (CONF / "model").glob("*.yaml")}


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_yaml_opens_with_its_purpose_and_a_command(path):
    head = [line for line in path.read_text().splitlines() if line.startswith("# ")]
    assert any("python -m runner" in line for line in head[:2])


def test_conf_model_holds_exactly_the_models_of_torchvision():
    named = {name for name, path in MODELS.items() if "\nsource:" not in path.read_text()}
    assert named - {"custom", "simulated"} == set(torchvision.models.list_models())


def test_the_reference_is_generated_from_the_schema_and_these_files():
    """After a change of either: python docs/generate.py."""
    assert generate.PAGE.read_text() == generate.page()


def test_the_reference_names_every_key_that_the_schema_types():
    page, facts = generate.PAGE.read_text(), {"engine.name", "when_busy.action"}
    facts |= {"pipeline.name", "load.name"}
    keys = set()
    for name, kind in types_of(Config).items():
        keys |= {f"{name}.{one.name}" for one in fields(kind)} if is_dataclass(kind) else {name}
    assert {key for key in keys if f"| `{key}` |" not in page} == facts  # chosen by presets
