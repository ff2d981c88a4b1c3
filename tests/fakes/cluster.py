"""A real Slurm of one node, started and ended by the project's own script."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from fakes.program import ROOT

SCRIPT = str(ROOT / "cluster/slurm.sh")


class Slurm:
    """Slurm in a folder of its own; `variables` are what its commands need."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.variables = {"SLURM_CONF": str(folder / "slurm.conf")}

    def up(self) -> None:
        """Start it."""
        subprocess.run([SCRIPT, "up", str(self._folder)], check=True, timeout=280)

    def down(self) -> None:
        """End it, jobs included."""
        self.run("scancel", "--user", str(os.getuid()))
        subprocess.run([SCRIPT, "down", str(self._folder)], check=True, timeout=60)

    def run(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        done = subprocess.run(
            command, env=os.environ | self.variables, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    def states(self) -> dict[str, str]:
        """The state of each job by its id, from the accounting."""
        lines = self.run("sacct", "-n", "-X", "-P", "-o", "jobid,state").splitlines()
        return dict(line.split("|") for line in lines)
