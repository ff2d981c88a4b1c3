"""Whether what makes a network faster does so, and whether runner reports what it really takes.

    python benchmarks/faster.py --model resnet18 --size 128 --threads 1 --pairs 3

Runs each variant (bf16, channels_last, torch.compile, ONNX Runtime, OpenVINO) in turn by a plain
loop written here, which imports nothing of runner, and by `python -m runner`. Prints, as medians
over the pairs, how many times as fast as eager fp32 each is by either, and the ratio of the
latency runner reports to the loop's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from processes import RUNNER, cost_of, machine, print_table

WARMUP = 20
VARIANTS = {  # by what it is called here -> how runner is told
    "eager": (),
    "bf16": ("runtime.precision=bf16",),
    "channels_last": ("runtime.channels_last=true",),
    "compile": ("runtime.compile=default",),
    "onnxruntime": ("engine=onnxruntime",),
    "openvino": ("engine=openvino",),
}


def call_of(variant: str, chosen: argparse.Namespace) -> Callable[[], object]:
    """The variant as one writes it by hand."""
    import torch
    import torchvision

    torch.set_num_threads(chosen.threads)
    network = torchvision.models.get_model(chosen.model, weights=None).eval()
    images = torch.randn(1, 3, chosen.size, chosen.size)
    if variant == "onnxruntime":
        import onnxruntime

        file = Path(tempfile.mkdtemp()) / "network.onnx"
        torch.onnx.export(network, (images,), file, dynamo=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = chosen.threads
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        feeds = {session.get_inputs()[0].name: images.numpy()}
        return lambda: session.run(None, feeds)
    if variant == "openvino":
        import openvino

        settings = {"INFERENCE_NUM_THREADS": chosen.threads, "INFERENCE_PRECISION_HINT": "f32"}
        converted = openvino.convert_model(network, example_input=images)
        converted.reshape(list(images.shape))
        compiled = openvino.Core().compile_model(converted, "CPU", settings)
        request = compiled.create_infer_request()
        return lambda: request.infer([images.numpy()], share_inputs=True, share_outputs=True)
    if variant == "bf16":
        network, images = network.to(torch.bfloat16), images.to(torch.bfloat16)
    if variant == "channels_last":
        network = network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    if variant == "compile":
        network = torch.compile(network)
    return lambda: network(images)


def by_hand(variant: str, chosen: argparse.Namespace) -> None:
    """Time a variant in this process and print its median in ms."""
    import torch

    with torch.inference_mode():
        call, taken_ms = call_of(variant, chosen), []
        for count in range(WARMUP + chosen.iterations):
            start_ns = time.perf_counter_ns()
            call()
            if count >= WARMUP:
                taken_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    print(json.dumps(statistics.median(taken_ms)))


def by_runner(variant: str, chosen: argparse.Namespace, folder: Path, pair: int) -> float:
    """The median that runner reports, in ms."""
    sweep_id = f"{variant}-{pair}"
    words = (f"model={chosen.model}", f"input.size={chosen.size}", f"sweep.id={sweep_id}")
    counts = (f"timing.iterations={chosen.iterations}", f"timing.warmup={WARMUP}")
    threads = (f"runtime.threads={chosen.threads}", "device=cpu", "tracking=off")
    cost_of([*RUNNER, *words, *counts, *threads, *VARIANTS[variant]], folder)
    (path,) = (folder / "outputs" / sweep_id).glob("*/record.json")
    return float(json.loads(path.read_text())["summary"]["p50_ms"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--only", choices=VARIANTS, nargs="*", default=list(VARIANTS))
    parser.add_argument("--by-hand", choices=VARIANTS, help="time one in this process")
    chosen = parser.parse_args()
    if chosen.by_hand:
        by_hand(chosen.by_hand, chosen)
        return
    variants = ["eager", *(name for name in chosen.only if name != "eager")]
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(chosen.pairs):
            for name in variants:
                words = [sys.executable, __file__, *sys.argv[1:], f"--by-hand={name}"]
                plain_ms = float(cost_of(words, Path(folder)).output.splitlines()[-1])
                taken[name].append((plain_ms, by_runner(name, chosen, Path(folder), pair)))
    rows = []
    for name, pairs in taken.items():
        speed_ups = [
            statistics.median(
                base[side] / own[side] for base, own in zip(taken["eager"], pairs, strict=True)
            )
            for side in (0, 1)
        ]
        ratio = statistics.median(ours / plain for plain, ours in pairs)
        plain_ms, runner_ms = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        figures = (plain_ms, runner_ms, *speed_ups, ratio)
        rows.append([name, *(f"{value:.{2 if value > 3 else 3}f}" for value in figures)])
    columns = ["variant", "by hand, ms", "runner, ms"]
    print_table([*columns, "x eager by hand", "x eager by runner", "runner / by hand"], rows)
    print(f"\n{chosen.model} {chosen.size}px, {chosen.threads} threads, {chosen.pairs} pairs")
    print(machine())


if __name__ == "__main__":
    main()
