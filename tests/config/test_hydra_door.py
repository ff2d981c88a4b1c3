"""Hydra's door: what it changes is put back, and the help says what Hydra would compose."""

from __future__ import annotations

import os
import sys

import pytest
from omegaconf import OmegaConf

from runner.config.hydra_door import composer, flags_last, help_text, parsed, run_hydra
from runner.contract import CONF


def test_argv_and_environment_are_as_before(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest", "mine"])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def never(_):
        raise AssertionError("the sweeper launches, not Hydra")

    with pytest.raises(SystemExit):
        run_hydra(["--hydra-help"], never)
    assert sys.argv == ["pytest", "mine"]
    assert "HYDRA_FULL_ERROR" not in os.environ


@pytest.mark.parametrize("words", [[], ["model=vit_b_16", "timing.warmup=7"]], ids=str)
def test_the_help_shows_the_keys_as_hydra_composes_them(words):
    text = help_text(parsed(["--help", *words]), words)
    keys = text.partition("== Keys (key=value) ==\n")[2].partition("\n== Flags ==")[0]
    with composer([CONF]) as compose:
        composed = compose(words)
    assert keys.strip() == OmegaConf.to_yaml(composed).strip()


def test_the_help_lists_groups_of_a_users_folder_too(tmp_path):
    (tmp_path / "timing").mkdir()
    (tmp_path / "timing" / "mine.yaml").write_text("warmup: 3")
    text = help_text(parsed(["--help", "--config-dir", str(tmp_path)]), [])
    assert "timing: adaptive, default, mine, naive, naive_cold, precise, quick\n" in text


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (["model=resnet18"], True),
        (["hydra.searchpath=[pkg://mine]"], False),
        (["--config-name", "mine"], False),
    ],
)
def test_files_are_known_unless_others_may_be_added(words, known):
    assert parsed(words).all_files is known


def test_the_version_is_ours(program):
    ran = program("--version")
    assert (ran.code, ran.out.split()[0]) == (0, "runner")


@pytest.mark.parametrize(
    ("words", "ordered"),
    [
        ("a=1 --config-dir conf b=2", "a=1 b=2 --config-dir conf"),
        ("--cfg job a=1 -m b=2", "a=1 b=2 --cfg job -m"),
        ("--config-dir a=1 a=1", "a=1 --config-dir a=1"),
        ("a=1 b=2", "a=1 b=2"),
    ],
)
def test_flags_may_stand_between_overrides(words, ordered):
    assert flags_last(words.split()) == ordered.split()
