"""conf/: every line explained, every model of torchvision there, every family able to run."""

from __future__ import annotations

import re

import pytest
import torchvision
import yaml
from fakes.program import ROOT

from runner.config.schema import Config, register_schema

CONF = ROOT / "conf"
MODELS = {path.stem: path for path in (CONF / "model").glob("*.yaml")}


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_yaml_opens_with_a_command_and_explains_each_line(path):
    lines = path.read_text().splitlines()
    head = [line for line in lines if line.startswith("# ")]
    assert any("python -m runner" in line for line in head[:2])
    inside_text = False
    for line in lines:
        if inside_text and (line.startswith(" " * 6) or not line):
            continue
        inside_text = bool(re.search(r":\s*\|", line))
        if ": " in line and not line.lstrip().startswith("#"):
            assert "#" in line or "header:" in line, f"{path.name}: unexplained: {line}"


def test_conf_model_holds_exactly_the_models_of_torchvision():
    named = {name for name, path in MODELS.items() if "\nsource:" not in path.read_text()}
    assert named - {"custom", "simulated"} == set(torchvision.models.list_models())


def test_the_schema_types_every_key_of_the_configuration():
    register_schema()
    given = yaml.safe_load((CONF / "config.yaml").read_text())
    del given["defaults"], given["hydra"]
    assert set(given) <= set(Config.__dataclass_fields__)
