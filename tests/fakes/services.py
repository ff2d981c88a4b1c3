"""A network for services: what it takes is known."""

from __future__ import annotations

from pathlib import Path

CODE = '''
import time, torch

class Net(torch.nn.Module):
    """Takes `ms` for a batch; `stall_ms` more in the call `at`; out of memory above `room`."""

    def __init__(self, ms=5.0, at=-1, stall_ms=0.0, room=10**9):
        super().__init__()
        self.ms, self.at, self.stall_ms, self.room, self.calls = ms, at, stall_ms, room, 0

    def forward(self, images):
        if len(images) > self.room:
            raise torch.OutOfMemoryError(f"{len(images)} images do not fit")
        time.sleep((self.ms + (self.stall_ms if self.calls == self.at else 0)) / 1000)
        self.calls += 1
        return images.flatten(1)[:, :10]
'''
MODEL = ("model=custom", "model.target=service.Net", "input.size=16", "device=cpu")


def write(folder: Path) -> None:
    """Put the module beside which the program runs."""
    (folder / "service.py").write_text(CODE)
