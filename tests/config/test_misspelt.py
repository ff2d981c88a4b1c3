"""Flags of other tools and lists with blanks: what was meant is named."""

from __future__ import annotations

import pytest

from runner.config.hydra_door import flags_last
from runner.contract import UsageError


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("--model resnet18", "model=resnet18"),
        ("--model=resnet18", "model=resnet18"),
        ("--batch-size 8", "input.batch_size=8"),
        ("--imgsz=640", "input.size=640"),
        ("--iters 50", "timing.iterations=50"),
        ("--dry-run", "dry_run=true"),
        ("--quiet", "quiet=true"),
        ("--verbose model=resnet18", "verbose=true"),
        ("--device cuda", "device=cuda"),
        ("--warmup model=resnet18", "timing.warmup=..."),
        ("input.batch_size=1, 4, 16", "input.batch_size=1,4,16"),
        ("model=resnet18, resnet50 input.size=64", "model=resnet18,resnet50"),
    ],
)
def test_what_was_meant_is_named(words, meant):
    with pytest.raises(UsageError) as raised:
        flags_last(words.split())
    assert f"did you mean {meant}?" in str(raised.value)


def test_all_are_told_at_once_and_one_that_means_nothing_too():
    with pytest.raises(UsageError) as raised:
        flags_last(["--batch-size", "8", "--zzz", "--quiet", "a=1,", "2"])
    assert len(raised.value.problems) == 4
    assert "--zzz is not a flag; keys are given as key=value" in str(raised.value)


@pytest.mark.parametrize("words", ["--cfg job model=resnet18", "--info all", "-m a=1", "a=1,2"])
def test_what_hydra_knows_is_left_alone(words):
    assert sorted(flags_last(words.split())) == sorted(words.split())
