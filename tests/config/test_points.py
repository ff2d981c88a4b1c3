"""The points of a sweep, shared where they can be: each has the values that Hydra gives it."""

from __future__ import annotations

import random

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode

from runner.config import grid
from runner.config.points import Points
from runner.config.schema import register_schema
from runner.config.values import values_of
from runner.contract import CONF

SHIPPED = sorted(path.stem for path in (CONF / "sweep").glob("*.yaml"))
WORDS = [
    ["model=resnet18,vit_b_16", "input.size=224,256,[224,448]", "timing.warmup=0,20,'3'"],
    ["model=simulated", "model.kwargs.kernel_ms=1,2.5,null", "device=auto,simulated"],
    ["model=custom", "model.target=a.b,c.d", "+model.kwargs.width=3,4", "model.task=video"],
    ["model.default_size=32,64", "input.batch_size=1,2"],  # input.size refers to it
    ["timing=quick,naive", "timing.iterations='${timing.warmup}',7", "timing.warmup=3,4"],
    ["model.kwargs={a: 1},{b: 2}", "runtime.cudnn_benchmark=true,false"],
    ["sweep.name=x", "input.fill=ones,'zeros'", "timing.max_seconds=1,null,2.5"],
]


@pytest.fixture
def hydra():
    register_schema()
    with initialize_config_dir(str(CONF), version_base=None):
        yield ConfigLoaderImpl(create_config_search_path(str(CONF)))
    GlobalHydra.instance().clear()


def composed(hydra, words):
    """The points of a sweep, our values of them, and what composes one as Hydra does."""
    wide = [word for word in words if word.startswith("sweep=")]
    master = hydra.load_configuration("config", wide, RunMode.MULTIRUN)
    str(master.hydra.sweep.dir)  # settles the time in it, as the sweeper does
    arguments = [word for word in words if word not in wide]
    params = dict(master.hydra.sweeper.params)
    points = grid.points(grid.axes(params, arguments))

    def compose(point):
        return hydra.load_sweep_config(master, list(point))

    counted = []

    def count(point):
        counted.append(point)
        return compose(point)

    composed = Points(count, [CONF])
    return points, map(composed.values, points), compose, counted


@pytest.mark.parametrize("words", [[f"sweep={name}"] for name in SHIPPED] + WORDS, ids=str)
def test_the_values_of_a_point_are_those_that_hydra_composes(hydra, words):
    points, ours, compose, _ = composed(hydra, words)
    found = dict(zip(points, ours, strict=True))
    for point in random.Random(7).sample(points, min(len(points), 6)):
        assert found[point] == values_of(compose(point))


def test_points_that_differ_in_plain_values_share_one_composition(hydra):
    words = ["model=resnet18,vit_b_16", "input.size=224,256,288", "timing.warmup=range(0,9)"]
    points, ours, _, composed_long = composed(hydra, words)
    assert len(list(ours)) == len(points) == 54
    assert len(composed_long) == 2


def test_values_of_one_point_are_not_those_of_another(hydra):
    _, ours, _, _ = composed(hydra, ["input.size=[1,2],3", "input.batch_size=1,2"])
    first, *others = list(ours)
    assert first["input"]["size"] == [1, 2]
    assert [values["input"]["size"] for values in others] == [[1, 2], 3, 3]


@pytest.mark.parametrize("words", [["timing.warmup=1,2,many"], ["input.batch_size=1,2.5"]])
def test_a_value_of_the_wrong_type_is_refused_as_hydra_refuses_it(hydra, words):
    _, ours, _, _ = composed(hydra, words)
    with pytest.raises(HydraException, match="Error merging override"):
        list(ours)
