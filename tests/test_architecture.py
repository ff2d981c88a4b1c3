"""The house: arrows point one way, heavy libraries stay in their rooms, functions fit a screen."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.program import ROOT

PACKAGE = ROOT / "runner"
# From top to bottom: room or door -> the rooms below it that it may import.
HOUSE = {
    "reproduce": "__main__ history tracking config statistics records host",
    "nightly": "__main__ sweep pages tracking config history records trial host",
    "__main__": "sweep",
    "publish": "tracking records host",
    "bisect": "duet sweep terminal records host",
    "duet": "duets sweep terminal config records host",
    "doctor": "launchers tracking verdict host records trial",
    "export": "tracking records host",
    "report": "pages history tracking records host",
    "compare": "sweep pages history tracking records statistics host",
    "_plugins": "",
    # statistics: the rounds that fit a budget; history: a night is judged when it has run
    "sweep": (
        "pages duets launchers terminal tracking verdict config worker profiles host history "
        "records statistics trial"
    ),
    "duets": "profiles launchers verdict worker host history records statistics trial",
    # terminal: the tables are the same wherever they are shown
    "pages": "terminal profiles history records statistics trial",
    # statistics: what trials do to each other is measured
    "launchers": "verdict worker host records statistics trial",
    "terminal": "host records statistics trial",
    # statistics: several processes are one point of a line
    # host: secrets, kept out of what is sent and of errors; of terminal, out of what is shown
    "tracking": "host records statistics trial",
    "verdict": "records statistics trial",
    # measure: the simulated device knows which costs it takes
    "config": "measure host trial",
    # statistics: an adaptive run asks when it has samples enough
    # statistics: a load with a target asks whether it is decided
    "worker": "pipelines serving profiles models measure host records statistics trial",
    # models: the network inside a request
    "pipelines": "models measure host trial",
    "serving": "trial",
    "profiles": "",
    # host: what is private in torch
    "models": "host trial",
    "measure": "host trial",
    "host": "trial",
    "history": "records statistics trial",
    # statistics: several processes of a trial make one result
    "records": "statistics trial",
    "statistics": "",
    "trial": "",
    "contract": "",  # which all know
}
HEAVY = {  # library -> the rooms and doors that may import it
    "torch": "doctor worker pipelines profiles models measure host",
    "torchvision": "doctor worker pipelines models",
    "mlflow": "tracking",
    "hydra": "_plugins sweep config",
    "omegaconf": "_plugins sweep config",
    "rich": "bisect doctor duet report compare nightly sweep pages terminal",
    "plotly": "pages",
    "jinja2": "pages",
    "pandas": "__init__ export records",
    "pydantic": "records",
}
MAX_FUNCTION_LENGTH = 60  # lines: a screen
MAX_FILE_LENGTH = 400


def room_of(file: Path, package: Path) -> str:
    return file.relative_to(package).parts[0].removesuffix(".py")


def imports(file: Path) -> Iterator[str]:
    """Dotted names of all that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def wrong_arrows(package: Path) -> list[str]:
    """Imports that the house does not have, as `records/store.py -> tracking`."""
    found = []
    for file in sorted(package.rglob("*.py")):
        room = room_of(file, package)
        for name in imports(file):
            first, second, *_ = [*name.split("."), ""]
            if first == package.name:
                below = {room, "contract", "__version__", *HOUSE.get(room, "").split()}
                allowed = room == "__init__" or second in below
            else:
                allowed = room in HEAVY.get(first, room).split()
                second = first
            if not allowed:
                found.append(f"{file.relative_to(package)} -> {second}")
    return found


def test_every_import_goes_along_an_arrow_of_the_house():
    assert wrong_arrows(PACKAGE) == []


@pytest.mark.parametrize(
    ("room", "line", "arrow"),
    [
        ("records", "from runner.tracking.store import Store", "tracking"),
        ("records", "def late():\n    import runner.sweep.plan", "sweep"),
        ("statistics", "from runner import trial", "trial"),
        ("verdict", "import torch.nn", "torch"),
        ("terminal", "from mlflow import MlflowClient", "mlflow"),
    ],
)
def test_a_planted_wrong_arrow_is_found(tmp_path, room, line, arrow):
    shutil.copytree(PACKAGE, tmp_path / "runner", ignore=shutil.ignore_patterns("conf"))
    (tmp_path / "runner" / room / "planted.py").write_text(line)
    assert wrong_arrows(tmp_path / "runner") == [f"{room}/planted.py -> {arrow}"]


def test_what_is_private_in_a_library_stands_in_one_file():
    found = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        for name in imports(file)
        if name.split(".")[0] in ("hydra", "omegaconf", "torch", "mlflow")
        and any(part.startswith("_") for part in name.split("."))
    }
    assert found == {"config/hydra_door.py", "host/torch_private.py"}


def test_arrows_point_down_and_every_room_stands_in_the_house():
    order = list(HOUSE)
    for room, allowed in HOUSE.items():
        for other in allowed.split():
            assert order.index(other) > order.index(room), f"{room} -> {other}"
    there = {room_of(file, PACKAGE) for file in PACKAGE.rglob("*.py")} - {"__init__"}
    assert there == set(HOUSE)


def test_the_packages_map_names_every_room_and_door():
    text = ast.get_docstring(ast.parse((PACKAGE / "__init__.py").read_text())) or ""
    assert [room for room in HOUSE if f"{room}/" not in text and f"{room}.py" not in text] == []


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE))
)
def test_a_file_says_what_it_is_and_no_function_is_longer_than_a_screen(file):
    text = file.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert len(text.splitlines()) <= MAX_FILE_LENGTH
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < MAX_FUNCTION_LENGTH, node.name


def test_tests_mirror_the_package():
    rooms = {folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file()}
    tested = {folder.name for folder in (ROOT / "tests").iterdir() if list(folder.glob("test_*"))}
    assert rooms | {"fakecuda"} == tested  # the whole program, on fake GPUs


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
