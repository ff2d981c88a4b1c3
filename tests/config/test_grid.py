from __future__ import annotations

import pytest

from runner.config.grid import axes, points
from runner.contract import UsageError


def test_a_grid_is_the_product_of_its_axes_the_last_one_fastest():
    found = points(axes({}, ["model=a,b", "input.size=64,[64,96]"]))
    assert found == [
        ("model=a", "input.size=64"),
        ("model=a", "input.size=[64,96]"),
        ("model=b", "input.size=64"),
        ("model=b", "input.size=[64,96]"),
    ]


def test_repeats_are_rounds_over_the_whole_sweep():
    found = axes({}, ["model=a,b", "repeat=0,1"])
    assert next(iter(found.items())) == ("repeat", ["repeat=0", "repeat=1"])


def test_the_command_line_wins_over_the_sweep_file():
    assert axes({"input.size": "64,96"}, ["input.size=32"]) == {"input.size": ["input.size=32"]}


def test_ranges_and_choices_are_swept():
    assert axes({}, ["timing.warmup=range(0,3)"]) == {
        "timing.warmup": ["timing.warmup=0", "timing.warmup=1", "timing.warmup=2"]
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("input.size=interval(1,3)", "is not a finite list"),
        ("~timing", "every key is required"),
        ("=3", "has no key"),
        ("input.size=[640", "can't be read"),
    ],
)
def test_what_spans_no_grid_is_refused(text, reason):
    with pytest.raises(UsageError, match=reason):
        axes({}, [text])
