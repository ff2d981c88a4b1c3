"""Environments for sides with other packages: the given ones over those of an interpreter."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from runner.contract import Problem, SideFailed, UsageError
from runner.records.locks import locked

COMPLETE = "complete"  # file in an environment that has been built completely
BUILD_S = 3600
OF_BASE = "import json, sys; print(json.dumps([sys.version, sys.prefix, sys.path]))"


def built(requirements: Path, python: str, place: Path, print_line: Callable[[str], object]) -> str:
    """The interpreter of an environment with the packages of a requirements file.

    It also has the packages of `python` that the file does not replace, so that only what differs
    is installed. It is cached below `place` by the file's text and the interpreter.
    Raises UsageError for a file that can't be read, SideFailed if it can't be built.
    """
    try:
        text = requirements.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        found = f"requirements is {requirements}, which can't be read: {error}"
        raise UsageError(Problem("requirements", found)) from error
    version, prefix, paths = _facts(python)
    facts = json.dumps([text, version, prefix, str(requirements.parent.resolve())])
    folder = place / hashlib.sha256(facts.encode()).hexdigest()[:12]
    made = folder / "bin" / "python"
    place.mkdir(parents=True, exist_ok=True)
    with locked(place / f"{folder.name}.lock", "building an environment", print_line):
        if (folder / COMPLETE).exists():
            return str(made.absolute())
        print_line(f"building an environment from {requirements}: {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        _run([python, "-m", "venv", "--without-pip", str(folder)])
        (library,) = (folder / "lib").glob("python*/site-packages")
        shared = [path for path in paths if path.endswith(("site-packages", "dist-packages"))]
        lines = [f"import site; site.addsitedir({path!r})" for path in shared]
        (library / "of_base.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
        _run([*_installer(str(made)), "-r", str(requirements)])
        (folder / COMPLETE).touch()
    return str(made.absolute())


def _installer(python: str) -> list[str]:
    """The install command: uv if it is installed, which is faster, otherwise pip."""
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", python]
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    return [*pip, "--disable-pip-version-check"]


def _facts(python: str) -> tuple[str, str, list[str]]:
    """Version, prefix and module folders of an interpreter. Raises SideFailed."""
    try:
        version, prefix, paths = json.loads(_run([python, "-c", OF_BASE]))
    except ValueError as error:
        raise SideFailed(f"{python} is no usable Python interpreter: {error}") from error
    return version, prefix, paths


def _run(command: list[str]) -> str:
    """What a command prints. Raises SideFailed with its last line of errors."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=BUILD_S, env=environment
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SideFailed(f"{command[0]} can't be run: {error}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise SideFailed(f"{' '.join(command[:4])} ... failed: {lines[-1]}")
    return done.stdout
