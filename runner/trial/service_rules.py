"""The rules for pipelines and load; each yields problems as those of runner/trial/rules.py do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields

from runner.contract import Problem
from runner.trial.description import Load, Pipeline, Trial
from runner.trial.titles import LOADS_OWN, OF_LOADS, shown

PIPELINES = ("forward", "e2e")
DECODERS = ("torchvision", "pil")
TRANSFORMS = ("weights", "v2")
PLACES = ("cpu", "device")
OF_IMAGES = ("classification", "quantized", "segmentation", "detection")  # tasks of pipeline=e2e
LOADS = ("none", "single_stream", "offline", "server")
ARRIVALS = ("poisson", "constant")
MAX_QUERIES, MAX_RATE = 10_000_000, 1e6
MAX_TOGETHER, MAX_INSTANCES, MAX_WORKERS = 4096, 256, 1024


def service_problems(trial: Trial, device_known: bool) -> Iterator[Problem]:
    """All problems of a trial's pipeline and load, but for unknown words."""
    yield from _numbers(trial)
    yield from _out_of_place(trial)
    if trial.is_e2e:
        yield from _of_e2e(trial)
        if device_known and trial.device_kind == "cpu":
            yield from _without_transfer(trial.pipeline)
    if trial.is_load:
        yield from _of_load(trial)
    if trial.is_e2e or trial.is_load:
        yield from _timed_otherwise(trial)


def _numbers(trial: Trial) -> Iterator[Problem]:
    load, pipeline = trial.load, trial.pipeline
    for key, count, least, most in (
        ("pipeline.workers", pipeline.workers, 0, MAX_WORKERS),
        ("load.queries", load.queries, 1, MAX_QUERIES),
        ("load.max_batch", load.max_batch, 1, MAX_TOGETHER),
        ("load.instances", load.instances, 1, MAX_INSTANCES),
    ):
        if not least <= count <= most:
            remedy = f"expected a whole number from {least} to {most}"
            yield Problem(key, f"{key} is {count}", remedy)
    if load.rate is not None and not 0 < load.rate <= MAX_RATE:
        remedy = f"expected queries a second above 0, at most {MAX_RATE:.0f}"
        yield Problem("load.rate", f"load.rate is {load.rate}", remedy)
    if load.target_ms is not None and not (math.isfinite(load.target_ms) and load.target_ms > 0):
        remedy = "expected milliseconds above 0, or null for no target"
        yield Problem("load.target_ms", f"load.target_ms is {load.target_ms}", remedy)
    if not 50 <= load.percentile < 100:
        remedy = "expected at least 50 and less than 100, as in 99 or 99.9"
        yield Problem("load.percentile", f"load.percentile is {load.percentile}", remedy)
    if not (math.isfinite(load.max_wait_ms) and load.max_wait_ms >= 0):
        remedy = "expected milliseconds of at least 0"
        yield Problem("load.max_wait_ms", f"load.max_wait_ms is {load.max_wait_ms}", remedy)


def _out_of_place(trial: Trial) -> Iterator[Problem]:
    """Keys that mean nothing with this pipeline or load."""
    plain, load = Pipeline(), trial.load
    for part in fields(Pipeline):
        value = getattr(trial.pipeline, part.name)
        if trial.pipeline.name == "forward" and value != getattr(plain, part.name):
            key = f"pipeline.{part.name}"
            found = f"{key} is {shown(value)}, but pipeline is forward, which begins with tensors"
            yield Problem(key, found, "add pipeline=e2e")
    for name in sorted(LOADS_OWN) if load.name in LOADS else ():
        value, loads = getattr(load, name), [one for one, keys in OF_LOADS.items() if name in keys]
        if load.name not in loads and value != getattr(Load(), name):
            key = f"load.{name}"
            remedy = (
                f"add load={' or '.join(loads)}, or omit it; to compare loads, give each its own "
                "command with the same sweep.id and sweep.extend=true"
            )
            yield Problem(key, f"{key} is {shown(value)}, but load is {load.name}", remedy)


def _of_e2e(trial: Trial) -> Iterator[Problem]:
    model, pipeline = trial.model, trial.pipeline
    if model.task not in OF_IMAGES:
        found = f"pipeline=e2e decodes single images, which model={model.label} does not take"
        yield Problem("pipeline", found, f"use pipeline=forward, or a model of {OF_IMAGES[0]}")
    if model.inputs is not None:
        found = f"model.inputs is {model.inputs}, but pipeline=e2e makes its inputs of JPEGs"
        yield Problem("model.inputs", found, "omit one of them")
    if trial.input.fill != "randn":
        found = f"input.fill is {trial.input.fill}, but pipeline=e2e makes its inputs of JPEGs"
        yield Problem("input.fill", found, "omit one of them")
    if pipeline.overlap and not pipeline.workers:
        found = "pipeline.overlap is true, but no workers prepare the next batch"
        yield Problem("pipeline.overlap", found, "add pipeline.workers=1 or more")
    if pipeline.overlap and trial.is_load:
        found = f"pipeline.overlap is true, but with load={trial.load.name} queries are separate"
        yield Problem("pipeline.overlap", found, "use load.instances=2 instead")
    if pipeline.images is not None and not pipeline.images.strip():
        yield Problem("pipeline.images", "pipeline.images is empty", "expected a folder, or null")


def _without_transfer(pipeline: Pipeline) -> Iterator[Problem]:
    for name, plain in (("pinned", False), ("transforms_on", "cpu")):
        if (value := getattr(pipeline, name)) != plain:
            key = f"pipeline.{name}"
            found = f"{key} is {shown(value)}, but on device=cpu nothing is copied to a device"
            yield Problem(key, found, "omit it, or use a GPU")


def _of_load(trial: Trial) -> Iterator[Problem]:
    load, engine = trial.load, trial.engine.name
    if load.name == "server" and load.rate is None:
        remedy = "give queries a second, as in load.rate=20, or search by sweep=capacity"
        yield Problem("load.rate", "load=server needs load.rate", remedy)
    if load.max_wait_ms > 0 and load.max_batch == 1:
        found = f"load.max_wait_ms is {load.max_wait_ms:g}, but load.max_batch=1 waits for nothing"
        yield Problem("load.max_wait_ms", found, "add load.max_batch=8, or omit it")
    if engine != "eager" and (load.max_batch > 1 or load.instances > 1):
        name = "max_batch" if load.max_batch > 1 else "instances"
        found = f"load.{name} is {getattr(load, name)}, but engine={engine} is made for one shape"
        found += " and one caller" if name == "instances" else ""
        yield Problem(f"load.{name}", found, f"use engine=eager, or load.{name}=1")
    if trial.runtime.compile != "off" and load.instances > 1:
        found = f"load.instances is {load.instances}, but torch.compile takes one caller at a time"
        yield Problem("load.instances", found, "use load.instances=1, or omit runtime.compile")


def _timed_otherwise(trial: Trial) -> Iterator[Problem]:
    """Settings of single passes that a request or a load can't have."""
    timing = trial.timing
    what = f"load={trial.load.name}" if trial.is_load else "pipeline=e2e"
    if timing.method != "wall":
        found = f"timing.method={timing.method}, but {what} is timed from request to answer"
        yield Problem("timing.method", found, "use timing.method=wall, or omit it")
    if timing.cache != "warm":
        found = f"timing.cache={timing.cache}, but {what} has its own inputs"
        yield Problem("timing.cache", found, "use timing.cache=warm, or omit it")
    if (timing.inner or 1) > 1:
        found = f"timing.inner={timing.inner}, but {what} times each request"
        yield Problem("timing.inner", found, "omit it")
    if trial.is_load and timing.target is not None:
        found = f"timing.target={timing.target}, but {what} is not stopped by its median"
        yield Problem("timing.target", found, "use load.target_ms, or omit it")
