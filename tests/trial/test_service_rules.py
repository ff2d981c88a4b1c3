"""What a pipeline or a load can't be: each with its key, what was found and the way out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.trials import make_trial

from runner.trial.description import Load, Pipeline
from runner.trial.rules import problems

E2E = {"name": "e2e"}
SERVER = {"name": "server", "rate": 20.0}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pipeline": {"name": "whole"}}, "pipeline.name is whole; expected one of forward, e2e"),
        ({"pipeline": E2E | {"decoder": "opencv"}}, "pipeline.decoder is opencv; expected one of"),
        ({"pipeline": {"workers": 2}}, "pipeline.workers is 2, but pipeline is forward"),
        ({"pipeline": E2E | {"workers": -1}}, "pipeline.workers is -1; expected a whole number"),
        ({"pipeline": E2E | {"overlap": True}}, "pipeline.overlap is true, but no workers prepare"),
        ({"pipeline": E2E | {"pinned": True}}, "pipeline.pinned is true, but on device=cpu nothin"),
        ({"pipeline": E2E | {"transforms_on": "device"}}, "pipeline.transforms_on is device, but"),
        ({"pipeline": E2E, "model": {"task": "video"}}, "pipeline=e2e decodes single images, whi"),
        ({"pipeline": E2E, "model": {"inputs": "a.b"}}, "model.inputs is a.b, but pipeline=e2e"),
        ({"pipeline": E2E, "input": {"fill": "zeros"}}, "input.fill is zeros, but pipeline=e2e"),
        (
            {"pipeline": E2E, "timing": {"method": "naive"}},
            "timing.method=naive, but pipeline=e2e is timed from request to answer; use",
        ),
        ({"load": {"name": "burst"}}, "load.name is burst; expected one of none, single_stream"),
        ({"load": {"rate": 5.0}}, "load.rate is 5.0, but load is none; add load=server"),
        ({"load": {"name": "server"}}, "load=server needs load.rate; give queries a second"),
        ({"load": SERVER | {"rate": 0.0}}, "load.rate is 0.0; expected queries a second above 0"),
        ({"load": SERVER | {"rate": float("nan")}}, "load.rate is nan; expected queries a second"),
        ({"load": SERVER | {"queries": 0}}, "load.queries is 0; expected a whole number from 1"),
        ({"load": SERVER | {"target_ms": -1.0}}, "load.target_ms is -1.0; expected milliseconds"),
        ({"load": SERVER | {"percentile": 100.0}}, "load.percentile is 100.0; expected at least"),
        ({"load": SERVER | {"percentile": 0.99}}, "load.percentile is 0.99; expected at least 50"),
        ({"load": SERVER | {"max_wait_ms": 2.0}}, "load.max_wait_ms is 2, but load.max_batch=1"),
        ({"load": {"name": "single_stream", "max_batch": 4}}, "load.max_batch is 4, but load is"),
        ({"load": {"name": "offline", "target_ms": 4.0}}, "load.target_ms is 4.0, but load is off"),
        (
            {"load": SERVER | {"max_batch": 4}, "engine": {"name": "openvino"}},
            "load.max_batch is 4, but engine=openvino is made for one shape; use engine=eager",
        ),
        (
            {"load": SERVER | {"instances": 2}, "runtime": {"compile": "default"}},
            "load.instances is 2, but torch.compile takes one caller at a time",
        ),
        ({"load": SERVER, "timing": {"target": 0.1}}, "timing.target=0.1, but load=server is not"),
        (
            {"load": SERVER, "pipeline": E2E | {"overlap": True, "workers": 1}},
            "pipeline.overlap is true, but with load=server queries are separate",
        ),
    ],
)
def test_each_problem_names_its_key_what_was_found_and_what_to_do(change, sentence):
    found = list(problems(make_trial(**change)))
    assert any(str(problem).startswith(sentence) for problem in found), list(map(str, found))
    assert all(problem.remedy for problem in found)


@pytest.mark.parametrize(
    "change",
    [
        {"pipeline": E2E | {"workers": 2, "overlap": True}},
        {"load": SERVER | {"max_batch": 8, "max_wait_ms": 2.0, "instances": 2}},
        {"load": SERVER, "pipeline": E2E},
        {"load": {"name": "offline", "max_batch": 8}},
        {"load": {"name": "single_stream"}, "engine": {"name": "openvino"}},
    ],
)
def test_what_goes_together_has_no_problem(change):
    assert list(problems(make_trial(**change))) == []


def test_a_trial_without_pipeline_or_load_keeps_its_key_and_a_default_adds_nothing():
    plain = make_trial()
    assert replace(plain, pipeline=Pipeline(), load=Load()).key == plain.key
    served = make_trial(load=SERVER)
    assert served.key != plain.key
    assert make_trial(load=SERVER | {"queries": Load().queries}).key == served.key
    assert make_trial(pipeline=E2E).key != make_trial(pipeline=E2E | {"workers": 1}).key


def test_a_title_says_the_rate_and_the_pipeline():
    assert make_trial(load=SERVER).title == "resnet18 64px b1 w2 20/s"
    offline = make_trial(load={"name": "offline"}, pipeline=E2E)
    assert offline.title == "resnet18 64px b1 w2 offline e2e"
