"""One request after the other, from JPEGs to answers, as a whole or phase by phase."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import Any

import torch

from runner.contract import ModelError, Problem
from runner.measure.device import Device
from runner.models.workload import Workload, converted
from runner.pipelines import images, stages
from runner.trial.description import Trial
from runner.trial.phases import PHASES

MAX_PASSES = 30  # phase by phase, or as many as there are images
BUDGET_S = 5.0  # after which no further one starts, beyond
MIN_PASSES = 3


class Requests:
    """The requests of a trial; `answer` carries one out, as a service would.

    The images are in memory, and each request takes the next ones. Close it to end its workers.
    Raises ModelError for a network that does not take a batch of images.
    """

    def __init__(self, trial: Trial, workload: Workload, device: torch.device) -> None:
        pipeline, self._size = trial.pipeline, trial.input.batch_size
        self._jpegs = images.jpegs_of(trial)
        self._next = itertools.cycle(self._jpegs)
        self.rounds = -(-len(self._jpegs) // self._size)  # requests that take every image
        self._decode, self._transform = stages.decoder_of(trial), stages.transform_of(trial)
        if pipeline.images is not None:
            for jpeg in self._jpegs:
                self._decode(jpeg)  # a broken one ends the trial here, and costs no sample
        self._network, self._answer = workload.call, stages.answer_of(trial.model.task)
        self._device, self._pinned = device, pipeline.pinned
        self._on_device = pipeline.transforms_on == "device"
        self._fit = _fit_to(workload)
        self._as_list = trial.model.task == "detection"
        self._workers = _workers(pipeline.workers) if pipeline.workers else None
        self._overlap = pipeline.overlap
        self._ahead: list[Future[Any]] = []
        self._lock = threading.Lock()
        self.facts = images.facts(self._jpegs, pipeline.images is None) | {
            "transforms": lambda: " ".join(str(self._transform).split())
        }

    def close(self) -> None:
        """End the workers."""
        if self._workers is not None:
            self._workers.shutdown(cancel_futures=True)

    def answer(self, requests: int = 1) -> object:
        """Carry out so many requests together, each of input.batch_size images."""
        if not self._overlap:
            return self.answer_to(self.taken(requests))
        ready = [one.result() for one in self._ahead or self._begun(self.taken(requests))]
        self._ahead = self._begun(self.taken(requests))
        return self._finish(ready)

    def answer_to(self, jpegs: Sequence[images.Jpeg]) -> object:
        """Carry out the request that brings these images, as a whole."""
        if self._workers is None:
            return self._finish([self._prepare(jpeg) for jpeg in jpegs])
        return self._finish([one.result() for one in self._begun(jpegs)])

    def phase_by_phase(self, jpegs: Sequence[images.Jpeg], device: Device) -> dict[str, float]:
        """Carry out that request, waiting for the device after each phase: milliseconds of each."""
        value: Any = jpegs
        found: dict[str, float] = {}
        for name, step in self._phases():
            began_ns = device.now_ns()
            value = step(value)
            device.synchronize()
            found[name] = (device.now_ns() - began_ns) / 1e6
        return found

    def _phases(self) -> Iterator[tuple[str, Callable[[Any], Any]]]:
        to_device = self._device.type != "cpu"
        yield "decode", partial(self._each, self._decode)
        if self._on_device:
            yield "h2d", self._copy_images
        yield "preprocess", lambda ready: self._collate(self._each(self._transform, ready))
        if to_device and not self._on_device:
            yield "h2d", self._copy
        yield "forward", lambda batch: self._network(self._fit(batch))
        if to_device:
            yield "d2h", _to_host
        yield "postprocess", self._answer

    def taken(self, requests: int) -> list[images.Jpeg]:
        """The next images."""
        with self._lock:  # of several instances of a service
            return list(itertools.islice(self._next, requests * self._size))

    def _begun(self, jpegs: Sequence[images.Jpeg]) -> list[Future[Any]]:
        assert self._workers is not None
        return [self._workers.submit(self._prepare, jpeg) for jpeg in jpegs]

    def _prepare(self, jpeg: images.Jpeg) -> Any:
        """What a worker does with one image."""
        with torch.inference_mode():
            image = self._decode(jpeg)
            return image if self._on_device else self._transform(image)

    def _finish(self, ready: list[Any]) -> object:
        """What follows in the thread that runs the network."""
        if self._on_device:
            batch = self._collate([self._transform(one) for one in self._copy_images(ready)])
        else:
            batch = self._collate(ready)
            if self._device.type != "cpu":
                batch = self._copy(batch)
        output = self._network(self._fit(batch))
        return self._answer(output if self._device.type == "cpu" else _to_host(output))

    def _each(self, step: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
        """A step for each image, by the workers if they take it."""
        if self._workers is None or (self._on_device and step is self._transform):
            return [step(value) for value in values]
        return list(self._workers.map(_in_inference(step), values))

    def _collate(self, ready: list[torch.Tensor]) -> Any:
        return ready if self._as_list else torch.stack(ready)

    def _copy_images(self, ready: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [self._copy(image) for image in ready]

    def _copy(self, batch: Any) -> Any:
        def copied(tensor: torch.Tensor) -> torch.Tensor:
            source = tensor.pin_memory() if self._pinned else tensor
            return source.to(self._device, non_blocking=self._pinned)

        return converted(batch, copied)


def phases_of(requests: Requests, device: Device, budget_s: float) -> dict[str, list[float]]:
    """Milliseconds of each phase in some requests, and `whole_ms` of the same ones as a whole.

    Of each image once, if possible; for at most `budget_s` once MIN_PASSES are done.
    """
    series: dict[str, list[float]] = {}
    until_ns = device.now_ns() + min(budget_s, BUDGET_S) * 1e9
    for number in range(max(MAX_PASSES, requests.rounds)):
        if number >= MIN_PASSES and device.now_ns() > until_ns:
            break
        jpegs = requests.taken(1)
        for name, ms in requests.phase_by_phase(jpegs, device).items():
            series.setdefault(f"{name}_ms", []).append(ms)
        began_ns = device.now_ns()
        requests.answer_to(jpegs)
        series.setdefault("whole_ms", []).append((device.now_ns() - began_ns) / 1e6)
    return series


def medians_of(series: dict[str, list[float]]) -> dict[str, float]:
    """The median of each phase in milliseconds, their sum, and the median of the whole."""
    found = {name: median(values) for name, values in series.items()}
    total = sum(found[f"{name}_ms"] for name in PHASES if f"{name}_ms" in found)
    return found | {"phases_sum_ms": total}


def problems(trial: Trial) -> Iterator[Problem]:
    """Problems of a pipeline, found without building the network."""
    folder = trial.pipeline.images
    if folder is not None and (problem := images.problem_of(folder)):
        yield problem
    if trial.pipeline.decoder == "torchvision" and not stages.has_torchvision_decoder():
        found = "pipeline.decoder is torchvision, but this torchvision no longer decodes JPEGs"
        yield Problem("pipeline.decoder", found, "use pipeline.decoder=pil")


def _workers(count: int) -> ThreadPoolExecutor:
    """Threads that decode and transform, each of which computes alone."""
    workers, ready = ThreadPoolExecutor(count, "images"), threading.Barrier(count + 1)
    threads = torch.get_num_threads()

    def alone() -> None:
        torch.get_num_threads()  # the first call in a thread gives it torch's own number
        torch.set_num_threads(1)
        ready.wait()

    begun = [workers.submit(alone) for _ in range(count)]
    ready.wait()
    for one in begun:
        one.result()
    torch.set_num_threads(threads)  # MKL has one number for all threads
    return workers


def _in_inference(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def stepped(value: Any) -> Any:
        with torch.inference_mode():
            return step(value)

    return stepped


def _to_host(output: Any) -> Any:
    return converted(output, lambda tensor: tensor.cpu())


def _fit_to(workload: Workload) -> Callable[[Any], Any]:
    """Converts a batch into the type and memory order of the inputs that were made for the trial.

    Raises ModelError for a network with other inputs than one batch of images.
    """
    (first, *others) = workload.inputs
    examples = first if isinstance(first, list) else [first]
    if others or not all(isinstance(one, torch.Tensor) and one.dim() in (3, 4) for one in examples):
        raise ModelError(
            "pipeline=e2e takes networks with one batch of images as their input; "
            "use pipeline=forward"
        )
    dtype, layout = examples[0].dtype, torch.contiguous_format
    if examples[0].dim() == 4 and not examples[0].is_contiguous():
        layout = torch.channels_last
    return partial(converted, convert=lambda tensor: tensor.to(dtype, memory_format=layout))
