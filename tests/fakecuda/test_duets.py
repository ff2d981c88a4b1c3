"""A duet on fake GPUs, of kernels that take longer on one side."""

from __future__ import annotations

import json
import shutil

import pytest
from fakecuda import networks

pytestmark = pytest.mark.slow
WORDS = (
    *("model=custom", "model.target=chains.Chain", "device=cuda", "tracking=off", "input.size=32"),
    *("timing.iterations=20", "timing.warmup=2", "timing.inner=1"),
)
DUET = "runner.duet"


@pytest.fixture
def played(on_fake_gpus, tmp_path):
    """A duet of two scripts of the fake GPU."""
    shutil.copy(networks.__file__, tmp_path / "chains.py")

    def run(*scripts, words=()):
        sides = []
        for number, script in enumerate(scripts):
            path = tmp_path / f"{number}.script"
            path.write_text(script)
            sides.append(f"\"model.kwargs={{script:'{path}'}}\"")
        ran = on_fake_gpus(*sides, *WORDS, *words, "sweep.id=d", door=DUET, script=scripts[0])
        (path,) = (tmp_path / "outputs/d").glob("*/duet.json")
        return ran, json.loads(path.read_text())

    return run


def test_kernels_that_take_longer_are_a_slower_side(played):
    ran, duet = played("kernel elementwise 200\n", "kernel elementwise 210\n")
    assert ran.code == 3, ran.out + ran.err
    assert duet["verdict"] == "slower"
    assert duet["ratio"] == pytest.approx(1.05, abs=0.002)
    assert (duet["device"], len(duet["rounds"])) == ("cuda", 6)
    assert "Traceback" not in ran.out + ran.err
