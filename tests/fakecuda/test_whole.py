"""The whole program with device=cuda: doctor, sweeps, verdicts, records, MLflow, pages, nights."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys

import pytest
from fakecuda.conftest import codes
from fakes.program import NO_LINES, ROOT, run_in
from fakes.tensorrt_twin import TENSORRT, TORCH_TENSORRT

pytestmark = pytest.mark.slow
SLOW = "cost kernel 400\ncost conv 400\n"  # few passes in the phases that last for a time
SHORT = ("timing.iterations=10", "timing.warmup=2", "timing.cache=warm")


def suite(folder, variables, *arguments):
    """A Python of its own on the fake GPUs, as none of this one's tests may see them."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=variables, capture_output=True, text=True,
        timeout=280, check=False,
    )  # fmt: skip


def test_networks_of_all_kinds(on_fake_gpus):
    models = "resnet50,fasterrcnn_resnet50_fpn,swin_v2_b,raft_large"
    ran = on_fake_gpus(
        f"model={models}", "input.size=128", "device=cuda", "tracking=off", *SHORT, "-m",
        script=SLOW,
    )  # fmt: skip
    assert ran.code == 0, ran.out + ran.err
    found = {record.trial.model.name: record for record in ran.records()}
    assert found.keys() == set(models.split(","))
    for name, record in found.items():
        assert codes(record).keys() <= {"FEW_SAMPLES"}, name
        assert record.environment["gpu"] == "NVIDIA Fake H100"
        assert record.figures["enqueue_ms"] > 0
        assert record.effective["finite"] is True
    # 53 convolutions, 53 batch norms, 49 ReLUs, 16 additions, 2 pools, 1 product: 174 kernels
    assert found["resnet50"].latency_ms == pytest.approx([0.005 + 173 * 0.4 + 0.03] * 10, abs=1e-4)
    # a detector waits for its results; raft launches more than the launch queue holds
    for name in ("fasterrcnn_resnet50_fpn", "raft_large"):
        assert found[name].figures["queued_ms"] is None
        assert found[name].why_null["figures.queued_ms"]


def test_the_sweep_over_precisions(on_fake_gpus):
    ran = on_fake_gpus(
        "sweep=precision", "model=resnet18", "input.size=64", "device=cuda", "tracking=off",
        "sweep.repeats=1", *SHORT, script=SLOW,
    )  # fmt: skip
    assert ran.code == 0, ran.out + ran.err
    found = {record.trial.runtime.precision: record for record in ran.records()}
    assert found.keys() >= {"fp32", "bf16", "amp_bf16"}
    assert found["bf16"].effective["dtype"] == "bfloat16"
    assert found["amp_bf16"].effective["dtype"] == "float32"
    assert found["fp32"].latency_ms[0] < found["bf16"].latency_ms[0]  # which casts its input


def test_one_trial_at_a_time_on_each_gpu_that_is_visible(program, fake_gpus):
    variables = fake_gpus(f"set gpus 3\n{SLOW}") | {"CUDA_VISIBLE_DEVICES": "2, 0"}
    ran = program(
        "model=resnet18", "input.size=64,96", "device=cuda", "hydra/launcher=gpus",
        "tracking=off", *SHORT, "-m", **variables,
    )  # fmt: skip
    assert ran.code == 0, ran.out + ran.err
    records = ran.records()
    assert {record.environment["gpu_uuid"][-2:] for record in records} == {"00", "02"}
    assert records[0].latency_ms == records[1].latency_ms


def test_whether_gpus_disturb_each_other_is_measured(fake_gpus, tmp_path):
    script = "set gpus 2\ncost kernel 4000\ncost conv 4000\n"
    ran = run_in(tmp_path, "--interference", "--json", door="runner.doctor", **fake_gpus(script))
    (check,) = json.loads(ran.out)["checks"]
    assert (ran.code, check["level"]) == (0, "ok"), ran.out + ran.err
    assert "1.000 times as long (1.000 to 1.000) on 2 cuda places" in check["found"]


MEASURE = """
from runner.launchers.interference import devices_here, measure
if __name__ == "__main__":
    found = measure(4, "cuda", devices_here(), print, rounds=2)
    print(len(found.alone_ms), len(found.together_ms), found.trusted, set(found.alone_ms))
"""


def test_and_of_four(fake_gpus, tmp_path):
    """In fewer rounds, as each takes four processes."""
    (tmp_path / "four.py").write_text(MEASURE)
    script = "set gpus 4\ncost kernel 4000\ncost conv 4000\n"
    done = suite(tmp_path, os.environ | fake_gpus(script), "four.py")
    # 69 kernels, of which the product of matrices is short
    assert done.stdout.startswith("2 2 True {"), done.stdout + done.stderr


def test_from_the_doctor_to_the_second_night(on_fake_gpus, fake_gpus, tmp_path):
    sizes = ("model=resnet18,mobilenet_v2", "input.size=64", "input.batch_size=1", "device=cuda")
    night = (*sizes, "sweep.repeats=2", "when_busy=warn", *SHORT)

    def run(door, *words, script=SLOW):
        ran = run_in(tmp_path, *words, door=door, **fake_gpus(script))
        assert "Traceback" not in ran.out + ran.err, ran.out + ran.err
        return ran

    checks = json.loads(run("runner.doctor", "--json").out)["checks"]
    found = {check["name"]: check for check in checks}
    assert found["cuda:0"]["level"] == "ok"
    assert found["cuda:0"]["found"] == "NVIDIA Fake H100, 80 GiB, 1980 of 1980 MHz"
    first = run("runner.nightly", "--night", "2026-11-01", *night)
    assert first.code == 6, first.out + first.err  # there is no night to compare with
    slower = "cost kernel 400\ncost conv 480\n"
    second = run("runner.nightly", "--night", "2026-11-02", *night, script=slower)
    assert second.code == 5, second.out + second.err  # one night is too few to call it more
    gate = json.loads((tmp_path / "outputs/nightly-2026-11-02/gate.json").read_text())
    assert {trial["verdict"] for trial in gate["trials"]} == {"suspect"}
    for page in ("nightly.html", "nightly-2026-11-02/night.html"):
        assert "nightly-2026-11-02" in (tmp_path / "outputs" / page).read_text()
    report = run("runner.report", "outputs/nightly-2026-11-02")
    assert report.code == 0, report.out + report.err
    runs = sqlite3.connect(tmp_path / "outputs/mlflow.db")
    told = dict(runs.execute(f"SELECT name, status {NO_LINES}"))
    gpus = runs.execute("SELECT count(*) FROM tags WHERE value = 'NVIDIA Fake H100'").fetchone()
    runs.close()
    assert len(told) >= 2 + 4  # sweeps and trials
    assert set(told.values()) == {"FINISHED"}
    assert gpus[0] >= 8  # every process of both nights


# the GPU of the oracles: large layers that fill it, and additions that are shorter than a launch
ORACLES = "set gpus 2\nkernel elementwise 2\ncost conv 300\n"


def test_the_tests_for_a_real_gpu(fake_gpus, tmp_path):
    """But for those that need true arithmetic or speeds, and those that the benchmarks run."""
    done = suite(
        ROOT, os.environ | fake_gpus(f"set gpus 2\n{SLOW}"),
        "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider",
        "tests/test_on_a_gpu.py", "tests/fakecuda/test_rules.py",
        "-k", "not precision_really and not compiled and not oracle",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
    assert "failed" not in done.stdout


def test_the_benchmarks_for_a_real_gpu(fake_gpus, tmp_path):
    output = tmp_path / "gpu.md"
    script = str(ROOT / "benchmarks/gpu.py")
    done = suite(tmp_path, os.environ | fake_gpus(ORACLES), script, "--output", str(output))
    text = output.read_text()
    assert done.returncode == 0, text + done.stderr[-2000:]
    rows = [line.split(" | ") for line in text.splitlines() if line.endswith(" yes |")]
    assert len(rows) >= 18
    assert " NO |" not in text
    assert text.count("| naive |") == 2
    assert "NVIDIA Fake H100" in text


def test_tensorrt_by_the_twins_of_its_packages(on_fake_gpus, tmp_path):
    (tmp_path / "tensorrt.py").write_text(TENSORRT)
    (tmp_path / "torch_tensorrt.py").write_text(TORCH_TENSORRT)
    lines = "engine\nleft INPUT FLOAT 1x3x32x32\nout OUTPUT FLOAT 1x10\n"
    (tmp_path / "net.engine").write_text(lines)
    words = ("device=cuda", "engine=tensorrt", "tracking=off", "input.size=32", *SHORT)
    ran = on_fake_gpus("model=resnet18", "sweep.id=net", *words, script=SLOW)
    assert ran.code == 0, ran.out + ran.err
    ran = on_fake_gpus(
        "model=engine", "model.file=net.engine", "sweep.id=file", *words, script=SLOW
    )
    assert ran.code == 0, ran.out + ran.err
    found = {record.sweep_id: record for record in ran.records()}
    assert found["net"].effective["engine"] == "torch_tensorrt 2.11.0"
    assert found["net"].effective["engine_parts"] == {"tensorrt": 1, "torch": 0}
    assert found["net"].trial.timing.method == "event"
    assert found["file"].effective["engine"] == "tensorrt 10.9.0"
    assert found["file"].effective["input_shapes"] == [[1, 3, 32, 32]]
    assert found["file"].title.startswith("net.engine 32px")
