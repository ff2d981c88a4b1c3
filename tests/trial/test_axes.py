"""The lines that trials lie on along the numbers a sweep varies."""

from __future__ import annotations

from fakes.trials import make_trial

from runner.trial.axes import lines, place

TRIALS = [
    make_trial(model={"name": name}, input={"size": (size, size), "batch_size": batch})
    for name in ("resnet18", "vgg11")
    for size in (128, 64)
    for batch in (1, 4)
]


def test_trials_alike_in_all_else_lie_on_a_line_in_its_order():
    found = lines(TRIALS, "input.size")
    assert len(found) == 4
    assert all([place(TRIALS[at], "input.size") for at in line] == [64, 128] for line in found)
    assert len(lines(TRIALS, "input.batch_size")) == 4
    assert lines(TRIALS, "timing.warmup") == []


def test_inputs_that_are_not_square_and_devices_apart_lie_on_none():
    wide = make_trial(input={"size": (48, 64)})
    other = make_trial(input={"size": (128, 128)}, device="cuda:1")
    here = make_trial(device="cuda")
    assert lines([wide, other, here], "input.size") == []
