"""What all tests share: no GPU unless it is what they are about, and the real program."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakecuda import build
from fakes.networks import NETWORKS
from fakes.program import ROOT, Ran, run_in

from runner.records.locks import LOCK_DIR


def pytest_configure(config: pytest.Config) -> None:
    """Hide the GPUs from all tests but those that are about them: `pytest -m gpu`.

    The others say what a machine without one does, and must say it on every machine.
    """
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="session", autouse=True)
def _own_device_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests in several processes (`pytest -n 2`) would wait for each other's device."""
    with pytest.MonkeyPatch.context() as patch:
        if "PYTEST_XDIST_WORKER" in os.environ:
            patch.setenv(LOCK_DIR, str(tmp_path_factory.getbasetemp()))
        yield


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Ran]:
    """The real program in a folder of its own, with the user's networks.py in it."""
    (tmp_path / "networks.py").write_text(NETWORKS)
    return lambda *arguments, **variables: run_in(tmp_path, *arguments, **variables)


@pytest.fixture
def fake_gpus(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """The environment in which a new process has fake GPUs that do what a script says."""
    if why_not := build.missing():
        pytest.skip(f"no fake GPUs can be built here: {why_not}")
    built = build.build(ROOT / ".pytest_cache" / "fakecuda")
    script = tmp_path / "gpus.script"

    def environment(text: str = "") -> dict[str, str]:
        script.write_text(text)
        return build.environment(built, script, ROOT)

    return environment


@pytest.fixture
def on_fake_gpus(
    program: Callable[..., Ran], fake_gpus: Callable[[str], dict[str, str]]
) -> Callable[..., Ran]:
    """The real program in a folder of its own, on fake GPUs that do what `script` says."""
    return lambda *arguments, script="", **more: program(*arguments, **fake_gpus(script), **more)
