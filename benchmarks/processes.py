"""What a command costs: wall time, and CPU time of all its processes, workers included.

Used by the other scripts here; Linux only. The trials are children of a forkserver,
which the program does not wait for, so its own resource usage misses them. The
benchmark therefore adopts every orphan that the command leaves, and reaps it.
"""

from __future__ import annotations

import ctypes
import datetime
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ARTICLE = [sys.executable, str(ROOT / "benchmarks" / "article.py")]
RUNNER = [sys.executable, "-m", "runner"]
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h; see prctl(2)


@dataclass(frozen=True)
class Cost:
    """What one command took, in seconds, and what it printed on stdout.

    `main_cpu_s` is the CPU time of the command's own process and the children it waited
    for, `workers_cpu_s` that of the processes it left: the forkserver with its trials.
    """

    wall_s: float
    main_cpu_s: float
    workers_cpu_s: float
    output: str

    @property
    def cpu_s(self) -> float:
        """CPU seconds, user and system, of all processes."""
        return self.main_cpu_s + self.workers_cpu_s


def cost_of(command: Sequence[str], folder: Path, exit_code: int = 0) -> Cost:
    """Run `command` in `folder` and wait for every process that comes of it.

    The wall time ends with the command itself. Raises SystemExit, with all that was
    printed, when it does not exit with `exit_code`.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl refused to make this process a subreaper")
    search_path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(search_path)}
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        started_s = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=stdout, stderr=stderr
        )
        wall_s = main_cpu_s = workers_cpu_s = 0.0
        for pid, status, cpu_s in _reaped():
            if pid == process.pid:
                wall_s = time.perf_counter() - started_s
                main_cpu_s = cpu_s
                process.returncode = os.waitstatus_to_exitcode(status)
            else:
                workers_cpu_s += cpu_s
        stdout.seek(0)
        stderr.seek(0)
        output = stdout.read()
        if process.returncode != exit_code:
            raise SystemExit(
                f"{' '.join(command)}\nexited with {process.returncode}; expected {exit_code}\n"
                f"{output}{stderr.read()}"
            )
    return Cost(wall_s, main_cpu_s, workers_cpu_s, output)


def _reaped() -> Iterator[tuple[int, int, float]]:
    """Pid, status and CPU seconds of each child or orphan, until there is none left."""
    while True:
        try:
            pid, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return
        yield pid, status, usage.ru_utime + usage.ru_stime


def machine() -> str:
    """When and where the figures were taken, in one line."""
    packages = " ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "mlflow"))
    return (
        f"{datetime.date.today()}, {_cpu_name()}, {len(os.sched_getaffinity(0))} usable CPUs, "
        f"Python {platform.python_version()}, {packages}"
    )


def _cpu_name() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table; all columns but the first flush right."""
    print("| " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * (len(columns) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
