"""The sweeper's shortcuts through Hydra give what Hydra itself gives."""

from __future__ import annotations

import sys

import pytest
from fakes.program import ROOT
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from runner.config.schema import CONF, register_schema

sys.path.append(str(ROOT / "runner" / "_plugins"))
from hydra_plugins.runner_sweeper import ComposedOnce


@pytest.fixture
def hydra():
    register_schema()
    with initialize_config_dir(str(CONF), version_base=None):
        yield
    GlobalHydra.instance().clear()


def test_what_is_read_once_composes_as_what_is_read_anew(hydra):
    path = create_config_search_path(str(CONF))
    ours = ComposedOnce(path)
    for _ in range(2):  # nothing of one point stays behind in the next
        for overrides in (
            [],
            ["model=vit_b_16", "timing=quick", "input.size=224"],
            ["model=custom", "model.kwargs={width: 3}", "timing=naive_cold"],
            ["sweep=nightly", "timing=adaptive", "tracking=off"],
            ["sweep=demo", "++model.kwargs.kernel_ms=3"],
            ["model=simulated", "runtime.threads=1", "sweep.id=x"],
        ):
            arguments = ("config", ["sweep.id=same", *overrides], RunMode.RUN)
            anew = ConfigLoaderImpl(path).load_configuration(*arguments)
            assert OmegaConf.to_container(ours.load_configuration(*arguments)) == (
                OmegaConf.to_container(anew)
            )
