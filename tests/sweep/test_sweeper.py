"""The sweeper is Hydra's door: what the program plans is what Hydra would have composed."""

from __future__ import annotations

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from runner.config.schema import register_schema
from runner.config.spanned import grid_of
from runner.config.values import values_of
from runner.contract import CONF, UsageError


@pytest.fixture
def loader():
    """Hydra's own loader."""
    register_schema()
    with initialize_config_dir(str(CONF), version_base=None):
        yield ConfigLoaderImpl(create_config_search_path(str(CONF)))
    GlobalHydra.instance().clear()


def planned(loader, *words, params=None):
    """The master configuration, as Hydra hands it over, and the grid of the words."""
    given = ["sweep.id=same", *words]  # an id of the clock would differ from second to second
    master = loader.load_configuration("config", given, RunMode.MULTIRUN)
    return master, grid_of(loader, master, params or {}, given)


@pytest.mark.parametrize(
    "words",
    [
        ["model=vit_b_16", "timing=quick", "input.size=224,256"],
        ["input.size=[48,64]", "model=custom", "model.kwargs={width: 3}", "timing=naive_cold"],
        ["model=simulated", "++model.kwargs.kernel_ms=3,4", "+model.kwargs.mine=3"],
        ["model=custom", "model.target=a.b", "model.kwargs.width=7,8"],
        ["model={min_size: 3}", "timing.max_seconds=null", "input.fill='ones'"],
        ["timing=adaptive", "tracking=off", "hydra.job.name=other", "input.size=64"],
        ["model=timm", "model.name=resnet18,resnet34"],  # without a name it composes to nothing
        [],
    ],
    ids=" ".join,
)
def test_a_point_has_the_values_that_hydra_composes(loader, words):
    axes = [word.split("=", 1) for word in words]
    master, grid = planned(loader, *words)
    first = [
        f"{key}={value.split(',')[0] if value[:1] not in '[{' else value}" for key, value in axes
    ]
    anew = loader.load_sweep_config(master, ["sweep.id=same", *first])
    assert next(iter(grid.points)) == values_of(anew)


def test_files_besides_our_own_are_merged_too(loader, tmp_path):
    (tmp_path / "timing").mkdir()
    (tmp_path / "timing" / "mine.yaml").write_text("warmup: 3")
    search = f"hydra.searchpath=[file://{tmp_path}]"
    master = loader.load_configuration("config", [search, "sweep.id=same"], RunMode.MULTIRUN)
    (values,) = grid_of(loader, master, {}, ["timing=mine"]).points
    assert values["timing"]["warmup"] == 3


@pytest.mark.parametrize("override", ["input.sise=3", "timing.warmup=many", "a=b"])
def test_what_hydra_refuses_is_refused(loader, override):
    master = loader.load_configuration("config", ["sweep.id=same"], RunMode.MULTIRUN)
    with pytest.raises(UsageError, match=override.partition("=")[0].rpartition(".")[2]):
        list(grid_of(loader, master, {}, ["input.fill=ones", override]).points)


def test_the_points_of_a_sweep_of_thousands_are_composed_once_for_each_choice(loader, monkeypatch):
    master = loader.load_configuration("config", ["sweep.id=same"], RunMode.MULTIRUN)
    composed = []
    load = loader.load_sweep_config

    def count(config, words):
        composed.append(words)
        return load(config, words)

    monkeypatch.setattr(loader, "load_sweep_config", count)
    words = ["model=resnet18,vit_b_16", "input.size=224,256", "seed=range(0,1000)"]
    assert len(list(grid_of(loader, master, {}, words).points)) == 4000
    assert len(composed) == 2
