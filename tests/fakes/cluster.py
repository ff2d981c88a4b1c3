"""A real Slurm of one node and a team's MLflow, started and ended by the project's own scripts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fakes.program import ROOT

if TYPE_CHECKING:
    from mlflow import MlflowClient

SLURM, MLFLOW = (str(ROOT / f"cluster/{name}.sh") for name in ("slurm", "mlflow"))


class Slurm:
    """Slurm in a folder of its own; `variables` are what its commands need."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.variables = {"SLURM_CONF": str(folder / "slurm.conf")}

    def up(self) -> None:
        """Start it."""
        subprocess.run([SLURM, "up", str(self._folder)], check=True, timeout=280)

    def cancel_all(self) -> None:
        """Cancel every job."""
        self.run("scancel", "--user", str(os.getuid()))

    def down(self) -> None:
        """End it, jobs included."""
        self.cancel_all()
        subprocess.run([SLURM, "down", str(self._folder)], check=True, timeout=60)

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


def free_port() -> str:
    """One that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


class Team:
    """A server that is up, its database's address and password."""

    def __init__(self, folder: Path, workers: int = 2, **variables: str) -> None:
        self.folder = folder
        ports = {
            "MLFLOW_PORT": free_port(),
            "POSTGRES_PORT": free_port(),
            "MLFLOW_WORKERS": str(workers),
        }
        mlflow = str(Path(sys.executable).with_name("mlflow"))
        self._variables = os.environ | ports | variables | {"MLFLOW": mlflow}
        self.uri = f"http://127.0.0.1:{ports['MLFLOW_PORT']}"
        done = self.script("up")
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == f"export MLFLOW_TRACKING_URI={self.uri}"
        self.password = (folder / "password").read_text().strip()
        self.database = (
            f"postgresql://mlflow:{self.password}@127.0.0.1:{ports['POSTGRES_PORT']}/mlflow"
        )

    def script(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        return subprocess.run(
            [MLFLOW, command, str(self.folder)],
            env=self._variables, capture_output=True, text=True, timeout=200,
        )  # fmt: skip

    def dump(self) -> str:
        """All that the database holds."""
        binary = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))[-1]
        done = subprocess.run(
            [str(binary), self.database], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def client(self) -> MlflowClient:
        """A client of the server."""
        from mlflow import MlflowClient

        return MlflowClient(self.uri)
