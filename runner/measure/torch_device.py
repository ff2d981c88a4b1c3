"""torch's devices for the timing methods: cpu, cuda, xpu and mps."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from runner.contract import MeasureError
from runner.host.torch_private import spin, streams_of
from runner.measure.device import UNCAPTURED, Event

CAPTURE_ERRORS = range(900, 908)  # CUDA's errors of stream capture; driver_types.h
CAPTURE_WARMUPS = 3  # passes on a side stream before capturing, as torch requires


class TorchDevice:
    """A device of torch: cpu, cuda, xpu or mps.

    `eager`: the timed work consists of torch's operators, one by one.
    """

    def __init__(self, device: torch.device, eager: bool = True) -> None:
        self._device, self._eager = device, eager
        self._module = None if device.type == "cpu" else torch.get_device_module(device)
        self._cycles_per_ms: float | None = None
        self._flushed: torch.Tensor | None = None
        self.now_ns = time.perf_counter_ns

    @property
    def own_bytes(self) -> int:
        """Bytes of device memory that measuring itself takes, for flushing the cache."""
        return 0 if self._flushed is None else self._flushed.nbytes

    def reset_peak_memory(self) -> None:
        """Reset the peak of memory in use, where torch tracks it."""
        if self._device.type in ("cuda", "xpu"):
            self._module.reset_peak_memory_stats(self._device)  # type: ignore[union-attr]

    def synchronize(self) -> None:
        """Block until all streams are idle; a no-op on the CPU."""
        if self._module is not None:
            self._module.synchronize()

    def event(self) -> Event:
        """A timing event of the current stream. Raises TypeError on a CPU, which has none."""
        if self._module is None:
            raise TypeError("a cpu has no events; time it with the host clock (timing.method=wall)")
        event: Event = self._module.Event(enable_timing=True)
        return event

    def occupy(self, busy_ms: float) -> None:
        """Let the GPU spin for about `busy_ms`. Raises MeasureError for any but CUDA."""
        if self._device.type != "cuda":
            raise MeasureError(f"a {self._device.type} device can't be kept busy from torch")
        if self._cycles_per_ms is None:
            self._cycles_per_ms = self._calibrated()
        spin(max(1, round(busy_ms * self._cycles_per_ms)))

    def other_streams(self, forward: Callable[[], object]) -> int:
        """Number of streams a pass uses beside the current one; unknown for compiled code."""
        if self._device.type != "cuda" or not self._eager:
            return 0
        return len(streams_of(forward) - {torch.cuda.current_stream().cuda_stream})

    def _calibrated(self) -> float:
        """Cycles of the spin per millisecond, at the clock the GPU runs at now."""
        cycles = 10_000_000
        start, end = self.event(), self.event()
        for _ in range(2):  # the first one loads the kernel
            start.record()
            spin(cycles)
            end.record()
            end.synchronize()
        return cycles / start.elapsed_time(end)

    def capture(self, forward: Callable[[], object]) -> Callable[[], object]:
        """Capture `forward` as a CUDA graph, after warm-ups on a side stream.

        Raises MeasureError where there are no graphs or this network can't be captured, and
        torch.OutOfMemoryError where the graph's memory does not fit.
        """
        if self._device.type != "cuda":
            raise MeasureError(f"a {self._device.type} device has no graph support in torch")
        current = torch.cuda.current_stream()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(CAPTURE_WARMUPS):
                forward()
        current.wait_stream(side)
        self.synchronize()  # a broken GPU fails here, and not as a failed capture
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                forward()
        except RuntimeError as error:
            torch.cuda.set_stream(current)  # a failed capture leaves its own stream current
            # ending the capture may raise another error on top of the one that broke it
            causes = [error, error.__context__]
            for cause in causes:
                code = getattr(cause, "error_code", CAPTURE_ERRORS.start)
                if isinstance(cause, torch.OutOfMemoryError) or code not in CAPTURE_ERRORS:
                    raise cause from None  # type: ignore[misc]
            first_line = str(causes[-1] or error).partition("\n")[0]
            raise MeasureError(
                f"this network can't be captured as a CUDA graph ({first_line}): {UNCAPTURED}"
            ) from error
        return graph.replay

    def flush_cache(self) -> None:
        """Zero twice the bytes of the last-level cache. Raises MeasureError where it is unknown."""
        if self._flushed is None:
            self._flushed = torch.empty(
                2 * cache_bytes(self._device), dtype=torch.int8, device=self._device
            )
        self._flushed.zero_()

    def settings(self) -> dict[str, Callable[[], Any]]:
        """Settings in force in this process, read back from torch; any of them may raise."""

        def on_cuda(read: Callable[[], Any]) -> Callable[[], Any]:
            return read if self._device.type == "cuda" else lambda: None

        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        return {
            "device": lambda: str(self._device),
            "device_name": on_cuda(lambda: torch.cuda.get_device_name(self._device)),
            "inference_mode": torch.is_inference_mode_enabled,
            "threads": torch.get_num_threads,
            "interop_threads": torch.get_num_interop_threads,
            # allow_tf32 raises once a network has set these newer flags, which reflect it
            "tf32_matmul": on_cuda(lambda: matmul.fp32_precision == "tf32"),
            "tf32_cudnn": on_cuda(lambda: cudnn.conv.fp32_precision == "tf32"),  # type: ignore[attr-defined]
            "cudnn_enabled": on_cuda(lambda: cudnn.enabled),
            "cudnn_benchmark": on_cuda(lambda: cudnn.benchmark),
            "cudnn_deterministic": on_cuda(lambda: cudnn.deterministic),
            "deterministic": torch.are_deterministic_algorithms_enabled,
        }

    def peak_mib(self) -> float:
        """Peak of memory in use since the reset, less what measuring itself took.

        Of the device's allocator; on a CPU of the whole process. Raises MeasureError for a device
        whose peak torch does not track.
        """
        if self._device.type == "cpu":
            unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, else KiB
            peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        elif self._device.type in ("cuda", "xpu"):
            peak_bytes = self._module.max_memory_allocated(self._device)  # type: ignore[union-attr]
        else:
            raise MeasureError(f"torch does not track peak memory on {self._device.type}")
        return float(peak_bytes - self.own_bytes) / 2**20

    def selected(self) -> AbstractContextManager[object]:
        """The context in which this device is torch's current one."""
        if self._device.type in ("cuda", "xpu"):
            context: AbstractContextManager[object] = self._module.device(self._device)  # type: ignore[union-attr]
            return context
        return nullcontext()


def cache_bytes(device: torch.device) -> int:
    """Bytes of the device's last-level cache. Raises MeasureError where they are unknown."""
    found = 0
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device).L2_cache_size
    elif device.type == "cpu":
        found = max(
            map(_cpu_cache_bytes, Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")),
            default=0,
        )
    if not found:
        raise MeasureError(
            f"the size of the {device.type}'s cache is unknown here; use timing.cache=warm"
        )
    return found


def _cpu_cache_bytes(index: Path) -> int:
    """Bytes from a text like `32768K`; 0 if it is empty."""
    try:
        text = (index / "size").read_text(encoding="ascii").strip()
    except OSError:
        return 0
    factor = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:], 1)
    return int(text.rstrip("KMG")) * factor
