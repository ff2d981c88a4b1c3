"""The sweeper's shortcuts through Hydra give what Hydra itself gives."""

from __future__ import annotations

import sys

import pytest
from fakes.program import ROOT
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from runner.config.schema import CONF, register_schema

sys.path.append(str(ROOT / "runner" / "_plugins"))
from hydra_plugins.runner_sweeper import FilesOnce


@pytest.fixture
def hydra():
    register_schema()
    with initialize_config_dir(str(CONF), version_base=None):
        yield
    GlobalHydra.instance().clear()


ALIKE = [
    ["model=vit_b_16", "timing=quick", "input.size=224"],
    ["model=vit_b_16", "timing=quick", "input.size=256"],  # the same files, other values
    ["input.size=[48,64]", "model=custom", "model.kwargs={width: 3}", "timing=naive_cold"],
    ["model=simulated", "++model.kwargs.kernel_ms=3", "+model.kwargs.mine=3", "device=simulated"],
    ["model=custom", "model.target=a.b", "model.kwargs.width=7"],
    ["model={min_size: 3}", "timing.max_seconds=null", "input.fill='ones'"],
    ["timing=adaptive", "tracking=off", "hydra.sweep.subdir=here"],
    ["input.size=64", "hydra.job.name=other"],
    [],
]


@pytest.mark.parametrize("sweep", [[], ["sweep=nightly"], ["hydra.sweep.dir=elsewhere"]])
def test_a_point_is_composed_as_hydra_composes_it(hydra, sweep):
    path = create_config_search_path(str(CONF))
    ours, theirs = FilesOnce(path), ConfigLoaderImpl(path)
    arguments = ("config", ["sweep.id=same", "input.size=8,9", *sweep], RunMode.MULTIRUN)
    master = theirs.load_configuration(*arguments)
    for _ in range(2):  # nothing of one point stays behind in the next
        for point in ALIKE:
            anew = theirs.load_sweep_config(master, point)
            composed = ours.load_sweep_config(master, point)
            assert composed == anew
            assert OmegaConf.to_container(composed) == OmegaConf.to_container(anew)


def test_files_besides_our_own_are_merged_too(hydra, tmp_path):
    (tmp_path / "timing").mkdir()
    (tmp_path / "timing" / "mine.yaml").write_text("warmup: 3")
    path = create_config_search_path(str(CONF))
    given = ["sweep.id=same", f"hydra.searchpath=[file://{tmp_path}]"]
    master = ConfigLoaderImpl(path).load_configuration("config", given, RunMode.MULTIRUN)
    composed = FilesOnce(path).load_sweep_config(master, ["timing=mine"])
    assert composed.timing.warmup == 3


@pytest.mark.parametrize("override", ["input.sise=3", "timing.warmup=many", "~input.size", "a=b"])
def test_what_hydra_refuses_is_refused(hydra, override):
    path = create_config_search_path(str(CONF))
    master = ConfigLoaderImpl(path).load_configuration("config", [], RunMode.MULTIRUN)
    with pytest.raises(HydraException):
        FilesOnce(path).load_sweep_config(master, ["input.fill=ones", override]).input.size  # noqa: B018
