"""Arrows point one way; torch and mlflow are imported where they belong, when used."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from conftest import ROOT

PACKAGE = ROOT / "runner"
# room -> the rooms of this package, and the heavy libraries, that it may import
MAY_IMPORT = {
    "__init__": set(),
    "__main__": {"interrupt", "program"},
    "interrupt": set(),
    "trial": set(),
    "devices": {"trial"},
    "config": {"devices", "measure", "trial", "hydra", "omegaconf"},
    "grid": {"config", "devices", "hydra", "omegaconf"},
    "record": {"trial"},
    "contention": set(),
    "gpu": set(),
    "statistics": {"statistics"},
    "verdict": {"record", "statistics", "trial"},
    "measure": {"measure", "trial", "torch"},
    "models": {"trial", "torch", "torchvision"},
    "environment": {"contention", "gpu", "torch"},
    "preload": {"contention", "environment", "gpu", "measure", "models", "torch", "torchvision"},
    "execution": {
        "contention",
        "devices",
        "environment",
        "gpu",
        "measure",
        "models",
        "record",
        "statistics",
        "trial",
        "torch",
    },
    "worker": {"execution", "record", "trial"},
    "tracking": {"environment", "record", "mlflow"},
    "report": {"record", "report", "statistics", "trial"},
    "doctor": {
        "contention",
        "devices",
        "environment",
        "gpu",
        "tracking",
        "trial",
        "verdict",
        "torch",
        "torchvision",
    },
    "_plugins": {"grid", "hydra", "omegaconf"},
    "program": {
        "config",
        "devices",
        "environment",
        "grid",
        "interrupt",
        "record",
        "report",
        "statistics",
        "tracking",
        "trial",
        "verdict",
        "worker",
        "hydra",
        "omegaconf",
    },
}
HEAVY = {"torch", "torchvision", "mlflow", "hydra", "omegaconf"}


def rooms():
    return sorted({path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")})


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_only_what_the_map_allows(room):
    path = PACKAGE / room
    files = [path] if path.suffix == ".py" else list(path.rglob("*.py"))
    imported = {name for file in files for name in imports(file)}
    assert imported - MAY_IMPORT[room.removesuffix(".py")] == set()


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = (
                [f"runner.{alias.name}" for alias in node.names]
                if node.module == "runner"
                else [node.module]
            )
        for name in names:
            first, *rest = name.split(".")
            if first == "runner":
                yield rest[0]
            elif first in HEAVY:
                yield first


def test_the_map_has_no_circles():
    def below(room, seen=()):
        assert room not in seen, f"circle: {seen}"
        for name in MAY_IMPORT[room] - HEAVY - {room}:
            below(name, (*seen, room))

    for room in MAY_IMPORT:
        below(room)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--cfg", "job"],
        ["model=resnt50"],
        ["input.size=0"],
        ["sweep=smoke", "dry_run=true"],
    ],
    ids=" ".join,
)
def test_answers_that_time_nothing_load_neither_torch_nor_mlflow(arguments, tmp_path):
    code = (
        "import sys; sys.argv = ['runner', *sys.argv[1:]]\n"
        "from runner.__main__ import main\n"
        "try: main()\n"
        "finally: print('LOADED', {'torch', 'mlflow', 'torchvision', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "LOADED set()" in done.stdout, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
