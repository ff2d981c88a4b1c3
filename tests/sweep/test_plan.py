"""The plan of a sweep: what is run, in which order, under which names."""

from __future__ import annotations

import json

import pytest

from runner.contract import UsageError


def test_trials_without_repeats_keep_the_order_that_was_typed(plan):
    made = plan("input.size=128,64", "timing.warmup=5,2")
    assert [(one.input.size[0], one.timing.warmup) for one in made.trials] == [
        (128, 5), (128, 2), (64, 5), (64, 2),
    ]  # fmt: skip
    assert made.order_seed is None
    assert made.title == "simulated x 2 sizes x 2 warm-up counts"


def test_repeats_are_rounds_each_in_another_order_that_a_seed_decides(plan):
    words = ("input.size=range(64,72)", "sweep.repeats=3")
    made = plan(*words)
    rounds = [made.trials[at : at + 8] for at in (0, 8, 16)]
    assert [{one.repeat for one in trials} for trials in rounds] == [{0}, {1}, {2}]
    orders = [[one.input.size for one in trials] for trials in rounds]
    assert orders[0] != orders[1] != orders[2]
    assert [one.folder for one in plan(*words).trials] == [one.folder for one in made.trials]
    other = plan(*words, f"sweep.order_seed={made.order_seed + 1}")
    assert [one.folder for one in other.trials] != [one.folder for one in made.trials]


def test_manifest_jobs_and_listing_tell_of_the_same_trials(plan):
    made = plan("input.size=64,128")
    folders = [one.folder for one in made.trials]
    assert [one.folder for one in made.manifest(["runner"]).trials] == folders
    assert [job.planned.folder for job in made.jobs(["runner"])] == folders
    *lines, last = made.listing()
    assert [line.split()[1] for line in lines] == folders
    assert last == "2 trials; dry run, nothing was timed"
    assert [one["folder"] for one in json.loads(made.as_json())["trials"]] == folders


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["input.size=64,64"], "occurs 2 times in this sweep"),
        (["isolation=none", "sweep.repeats=2"], "isolation=none runs everything in this process"),
        (["dry_run=true,false"], "dry_run is swept, but applies to the whole sweep"),
        (["input.size=0", "timing.warmup=-1"], "input.size is 0"),
    ],
)
def test_what_can_not_be_run_as_a_whole_is_refused(plan, words, found):
    with pytest.raises(UsageError) as raised:
        plan(*words)
    assert any(found in str(problem) for problem in raised.value.problems)
