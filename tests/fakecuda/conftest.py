"""A sweep over a network whose kernels can be counted, on fake GPUs."""

from __future__ import annotations

import shutil

import pytest
from fakecuda import networks

COUNT = ("timing.iterations=60", "timing.warmup=5", "timing.inner=1")
KERNELS = "kernel elementwise 200\n"  # of networks.Chain: ten of them, 2 ms


@pytest.fixture
def timed(on_fake_gpus, tmp_path):
    """A sweep over a network of `networks`, and over `scripts`; records in the order of these."""
    shutil.copy(networks.__file__, tmp_path / "chains.py")

    def run(network, *arguments, script=KERNELS, scripts=(), **more):
        paths = [tmp_path / f"{number}.script" for number in range(len(scripts))]
        for path, text in zip(paths, scripts, strict=True):
            path.write_text(text if "kernel" in text else KERNELS + text)
        if scripts:
            arguments = (*arguments, f"+model.kwargs.script={','.join(map(str, paths))}")
        ran = on_fake_gpus(
            "model=custom", f"model.target=chains.{network}", "device=cuda", "tracking=off",
            *COUNT, *arguments, "-m", script=script, **more,
        )  # fmt: skip
        if "isolation=none" not in arguments:  # which prints what else is in worker.log
            assert "Traceback" not in ran.out + ran.err, ran.out + ran.err
        sweep = sorted((tmp_path / "outputs").iterdir())[-1].name if ran.records() else None
        records = [record for record in ran.records() if record.sweep_id == sweep]
        places = {str(path): number for number, path in enumerate(paths)}
        records.sort(key=lambda record: places.get(record.trial.model.kwargs.get("script"), 0))
        return ran, records

    return run


def codes(record):
    """The level of each reason of a verdict."""
    return {reason["code"]: reason["level"] for reason in record.reasons}
