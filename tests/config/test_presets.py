"""What was typed wins over what a sweep's file says."""

from __future__ import annotations

import pytest

from runner.config.presets import won_back
from runner.contract import CONF

MINE = """# @package _global_
timing:
  iterations: 77
  warmup: 3
tracking:
  kind: server
  uri: http://nowhere
model:
  kwargs: {kernel_ms: 7, launches: 3}
hydra:
  sweeper:
    params:
      input.size: "32,64"
"""
COSTS = ("kernel_ms=46.0", "launches=160")  # conf/model/simulated.yaml's own


@pytest.fixture
def mine(tmp_path):
    for name, text in (
        ("sweep/mine", MINE),
        ("timing/short", "iterations: 11\n"),
        ("timing/long", "iterations: 22\n"),
        ("sweep/damaged", "{"),
    ):
        file = tmp_path / "mine" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return [CONF, tmp_path / "mine"]


@pytest.mark.parametrize(
    ("words", "won"),
    [
        ("sweep=mine timing=short", ["timing.iterations=11"]),
        ("sweep=mine timing=short timing.iterations=5", []),
        ("sweep=mine timing=short timing.warmup=5", ["timing.iterations=11"]),
        ("sweep=mine tracking=off", ["tracking.kind=off", "tracking.uri=null"]),
        (
            "sweep=mine model=simulated",
            ["model.kwargs.kernel_ms=46.0", "model.kwargs.launches=160"],
        ),
        ("sweep=mine model=simulated model.kwargs.launches=9", ["model.kwargs.kernel_ms=46.0"]),
        ("sweep=mine model=simulated model.kwargs={launches:9}", []),
        ("sweep=mine model=resnet18", []),
        ("sweep=mine", []),
        ("timing=short", []),
        ("sweep=damaged timing=short", []),
        ("sweep=nowhere timing=short", []),
    ],
)
def test_the_keys_that_both_files_have_are_given_once_more(mine, words, won):
    given = words.split()
    typed = {word.partition("=")[0]: [word] for word in given}
    assert sorted(won_back(given, typed, mine)) == won
    assert won_back(given, {"sweep": ["sweep=mine"]}, mine) == []  # the rest is the sweep's own


def test_a_preset_on_the_command_line_holds_for_every_trial(mine, program):
    words = ("--config-dir", "mine", "sweep=mine", "model=simulated", "tracking=off")
    assert program(*words, "sweep.id=file").code == 0
    ran = program(*words, "timing=short,long", "sweep.id=typed")
    assert ran.code == 0, ran.out + ran.err
    timed = {
        (one.sweep_id, one.trial.timing.iterations, one.trial.timing.warmup)
        for one in ran.records()
    }
    assert timed == {("file", 77, 3), ("typed", 11, 3), ("typed", 22, 3)}
