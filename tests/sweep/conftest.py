"""Plans of command lines, made in this process."""

from __future__ import annotations

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from runner.config.schema import register_schema
from runner.config.spanned import grid_of
from runner.contract import CONF
from runner.sweep.plan import make_plan


@pytest.fixture
def plan(tmp_path):
    """The plan of a command line on a simulated device, which needs no torch."""
    register_schema()

    def of(*words):
        given = ["model=simulated", "sweep.id=mine", f"output_dir={tmp_path}/outputs", *words]
        master = loader.load_configuration("config", given, RunMode.MULTIRUN)
        return make_plan(grid_of(loader, master, {}, given), tmp_path)

    with initialize_config_dir(str(CONF), version_base=None):
        loader = ConfigLoaderImpl(create_config_search_path(str(CONF)))
        yield of
    GlobalHydra.instance().clear()
