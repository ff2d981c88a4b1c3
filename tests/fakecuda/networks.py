"""Networks whose kernels can be counted, as a user's module beside which the program runs."""

from __future__ import annotations

import os

import torch


class Scripted(torch.nn.Module):
    """Given a script of its own, the GPU of its process does what that says."""

    def __init__(self, script=None):
        super().__init__()
        if script is not None:
            os.environ["FAKECUDA_SCRIPT"] = script


class Chain(Scripted):
    """Ten kernels, one after the other."""

    def forward(self, x):
        for _ in range(10):
            x = x + 1
        return x


class OwnStream(Scripted):
    """Its work is on a stream of its own, for which it waits before it returns."""

    def __init__(self, script=None):
        super().__init__(script)
        self.stream = torch.cuda.Stream()

    def forward(self, x):
        with torch.cuda.stream(self.stream):
            for _ in range(10):
                x = x + 1
        self.stream.synchronize()
        return x


class Branches(Scripted):
    """Looks at a result, which no graph can hold."""

    def forward(self, x):
        return x + 1 if (x + 1).isfinite().all().item() else x


class Where(Chain):
    """Writes down which CPUs its process has, by its GPU."""

    def __init__(self, script=None):
        super().__init__(script)
        uuid = str(torch.cuda.get_device_properties(0).uuid)
        with open(f"cpus-{uuid[-2:]}.txt", "w") as file:
            file.write(str(sorted(os.sched_getaffinity(0))))


class Hidden(Scripted):
    """Returns at once; two seconds of work go on, on a stream that nobody waits for."""

    def __init__(self, script=None):
        super().__init__(script)
        self.stream = torch.cuda.Stream()

    def forward(self, x):
        with torch.cuda.stream(self.stream):
            torch.cuda._sleep(2 * 1_980_000_000)
        return x + 1


class NoFork(Scripted):
    """Most of its work is on a stream that does not wait for the current one."""

    def __init__(self, script=None):
        super().__init__(script)
        self.stream = torch.cuda.Stream()

    def forward(self, x):
        y = x
        with torch.cuda.stream(self.stream):
            for _ in range(30):
                y = y + 1
        torch.cuda.current_stream().wait_stream(self.stream)
        for _ in range(5):
            x = x + 1
        return x
