"""A user's git repository with a network whose operators take the time they are given."""

from __future__ import annotations

import subprocess
from pathlib import Path

NETWORK = '''
import time, torch
from torch.library import custom_op

@custom_op("mine::blur", mutates_args=())
def blur(x: torch.Tensor, ms: float) -> torch.Tensor:
    time.sleep(ms / 1000)
    return x.clone()

@custom_op("mine::sharpen", mutates_args=())
def sharpen(x: torch.Tensor, ms: float) -> torch.Tensor:
    time.sleep(ms / 1000)
    return x.clone()

class Net(torch.nn.Module):
    """Takes some 10 ms."""
    def forward(self, x):
        return sharpen(blur(x, 6.0), 4.0)

class Other(torch.nn.Module):
    def forward(self, x):
        return blur(x, 10.0)
'''
WORDS = (
    *("model=custom", "model.target=net.Net", "input.size=32", "runtime.threads=1"),
    *("timing.warmup=3", "timing.iterations=20"),
)


class Repository:
    """A repository in a folder, with the network as its first commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q")
        (folder / ".gitignore").write_text("outputs\n__pycache__\n")
        self.first = self.commit("first", net=NETWORK)

    def git(self, *arguments: str) -> str:
        """What git prints."""
        command = ["git", "-C", str(self.folder), "-c", "user.name=u", "-c", "user.email=u@h"]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, subject: str, **modules: str) -> str:
        """Write modules and commit everything; the new commit."""
        for name, text in modules.items():
            (self.folder / f"{name}.py").write_text(text)
        self.git("add", "-A")
        self.git("commit", "-qm", subject, "--allow-empty")
        return self.git("rev-parse", "HEAD")

    def change(self, old: str, new: str, subject: str) -> str:
        """Replace a text of the network and commit that; the new commit."""
        text = (self.folder / "net.py").read_text()
        assert old in text
        return self.commit(subject, net=text.replace(old, new))

    def worktrees(self) -> int:
        """The number of its working trees, its own included."""
        return len(self.git("worktree", "list").splitlines())
