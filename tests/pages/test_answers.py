"""The sentences: who is fastest, at what batch, how many warm-ups, is it worth it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.trials import make_trial, timed

from runner.pages.answers import answers, warmups_of
from runner.verdict.judge import judged

MODELS = {"resnet18": 10.0, "vgg11": 20.0, "alexnet": 5.0}


def sweep(processes=1, **factors):
    """Records of three models at two batches; a batch of 8 takes 4 times as long as one image."""
    return [
        timed(
            replace(
                make_trial(model={"name": name}, input={"size": (640, 640), "batch_size": batch}),
                repeat=repeat,
            ),
            ms * factor * (1 + 0.005 * repeat),
            noise=0.002,
        )
        for repeat in range(processes)
        for name, ms in MODELS.items()
        for batch, factor in ((1, 1.0), (4, 2.5), (8, 4.0), (16, 7.8))
    ]


def test_the_fastest_at_each_input_is_named_with_its_lead():
    found = list(answers(sweep(processes=3)))
    assert found[0].startswith(
        "fastest at 640px, batch 1: alexnet, 5.02 ms; next resnet18, 10.05 ms, 2.00x slower "
    )
    assert found[0].endswith(" (1.98 to 2.02)")
    assert found[-1].startswith("based on suspect numbers (")
    good = [replace(record, verdict="valid") for record in sweep(processes=3)]
    assert not any("suspect" in one for one in answers(good))
    assert "indicative" not in found[0]
    few = "\n".join(answers(sweep()))
    assert few.count("one process each") == 1


def test_two_that_can_not_be_told_apart_are_said_to_be_so():
    records = [
        timed(replace(make_trial(model={"name": name}), repeat=repeat), ms, noise=0.002)
        for name, first in (("resnet18", 10.0), ("vgg11", 10.1))
        for repeat, ms in enumerate((first, first * 1.1, first * 0.9))
    ]
    assert "no significant difference to vgg11, 10.07 ms" in next(answers(records))


def test_the_best_throughput_and_the_knee_of_the_batch_are_told():
    text = "\n".join(answers(sweep()))
    assert "best throughput at 640px: alexnet, 410." in text
    assert "at batch 16" in text
    knees = next(line for line in answers(sweep()) if line.startswith("smallest batch"))
    assert "resnet18: 8 (199.92 images/s at 40.00 ms); vgg11: 8 " in knees


def test_latency_that_follows_a_power_of_the_size_says_which():
    records = [
        timed(make_trial(input={"size": (size, size)}), size**1.8 / 1000, noise=0.001)
        for size in (128, 256, 512, 1024)
    ]
    assert any("to the power of 1.80" in line for line in answers(records))
    assert not any("to the power" in line for line in answers(records[:2]))


def test_each_model_gets_the_warm_up_it_needs():
    slow = timed(make_trial(timing={"warmup": 20}), 10.0, n=100, noise=0.005)
    later = replace(slow, warmup_ms=[30.0] * 12 + slow.warmup_ms[12:])
    other = timed(make_trial(model={"name": "vgg11"}, timing={"warmup": 20}), 5.0, n=100)
    assert warmups_of([later, other]) == {"resnet18": 12, "vgg11": 1}
    never = replace(slow, warmup_ms=[], latency_ms=[float(200 - n) for n in range(150)])
    assert warmups_of([never]) == {"resnet18": None}


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (5.0, "bf16: worth it, 2.0"), (10.0, "bf16: no significant gain, 1.0"),
        (20.0, "bf16: not worth it, 2.00x slower"), (9.95, "bf16: no gain, 1.01"),
        (10.05, "bf16: no gain, 1.01x slower"),
    ],
)  # fmt: skip
def test_whether_a_precision_is_worth_it_is_said_with_its_error(ms, said):
    plain = make_trial()
    fast = make_trial(runtime={"precision": "bf16"})
    width = 0.0001 if 9.9 < ms < 10 or 10 < ms < 10.1 else 0.004
    records = [
        timed(replace(trial, repeat=repeat), middle * (1 + width * repeat), noise=0, figures=of)
        for trial, middle, of in ((plain, 10.0, {}), (fast, ms, {"rel_error": 0.004}))
        for repeat in range(3)
    ]
    (line,) = [line for line in answers(records) if line.startswith("bf16")]
    assert line.startswith(said)
    assert line.endswith(", relative error 4e-03")


def test_nothing_is_said_of_invalid_numbers():
    spoilt = [replace(record, verdict="invalid") for record in sweep()]
    assert list(answers(spoilt)) == ["no answers: all numbers are invalid"]
    assert list(answers([])) == []


def test_an_invalid_process_among_good_ones_costs_itself_only():
    one, *others = sweep(processes=3)
    found = list(answers([replace(one, verdict="invalid"), *others]))
    assert found[0].startswith("fastest at 640px, batch 1: alexnet")
    assert "resnet18" in found[0]
    assert found[-2] == (
        "not ranked, because invalid: 1 of 3 processes of resnet18 640px b1 w2 wall"
    )


def test_the_best_throughput_has_the_same_caveat_and_names_what_is_next():
    lines = [one for one in answers(sweep(processes=3)) if one.startswith("best throughput")]
    assert lines[0].startswith("best throughput at 640px: alexnet, ")
    assert "images/s at batch 16; next alexnet" in lines[0] or "can't be told" in lines[0]
    (alone,) = [one for one in answers(sweep()) if one.startswith("best throughput")]
    assert "(" not in alone


def test_a_timing_method_is_no_candidate():
    records = [
        timed(make_trial(model={"name": name}, timing={"method": method}), ms, noise=0.002)
        for name, ms in (("resnet18", 10.0), ("vgg11", 20.0))
        for method, ms in (("event", ms), ("queued", ms * 0.99))
    ]
    found = next(answers(records))
    assert found.startswith("fastest at 64px, batch 1: resnet18, ")
    assert "next vgg11" in found
    same = [one for one in records if one.trial.model.name == "vgg11"]
    assert not any(line.startswith("fastest") for line in answers(same))


def test_the_warm_up_that_is_needed_is_what_the_verdict_says():
    slow = timed(make_trial(timing={"warmup": 3}), 10.0, n=100, noise=0.002)
    samples = [14.0] * 12 + slow.latency_ms[12:]
    record = judged(replace(slow, latency_ms=samples, verdict=None, reasons=[], summary={}))
    (need,) = [one["need"] for one in record.reasons if one["code"] == "WARMUP_SHORT"]
    assert warmups_of([record]) == {"resnet18": need}
    reasons = [*record.reasons, {"code": "CPU_CONTENDED", "level": "suspect", "found": "x"}]
    assert warmups_of([replace(record, reasons=reasons)]) == {}
