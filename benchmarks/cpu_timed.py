"""A torchvision network that notes the CPU time of each forward pass, for bias.py.

python -m runner model=custom model.target=cpu_timed.make "+model.kwargs={name: ..., log: ...}"
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torchvision


class CpuTimed(torch.nn.Module):
    """Writes one line to `log` per call: CPU milliseconds, of all threads of the process."""

    def __init__(self, network: torch.nn.Module, log: Path) -> None:
        super().__init__()
        self.network = network
        self._log = log.open("w", buffering=1)  # by line: a worker ends without flushing

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """What the network gives for `images`; its CPU time goes to the log."""
        start_ns = time.process_time_ns()
        output = self.network(images)
        cpu_ns = time.process_time_ns() - start_ns
        self._log.write(f"{cpu_ns / 1e6}\n")
        return output


def make(name: str, log: str) -> CpuTimed:
    """The network `name`, with random weights, its CPU times going to the file `log`."""
    return CpuTimed(torchvision.models.get_model(name, weights=None), Path(log))
