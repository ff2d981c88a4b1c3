"""python -m runner.duet and runner.bisect, the whole programs, on a repository of a user."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.program import ROOT, run_in, start_in, until
from fakes.repository import WORDS, Repository

pytestmark = pytest.mark.slow
DUET, BISECT = "runner.duet", "runner.bisect"
OFF = "tracking=off"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Three commits, of which the second one makes an operator and so a pass 5 % slower."""
    made = Repository(tmp_path_factory.mktemp("repository"))
    made.change("4.0)", "4.5)", "sharper")
    made.commit("a note", notes="# nothing else\n")
    return made


def duet_in(folder, name="d"):
    (path,) = (folder / "outputs" / name).glob("*/duet.json")
    return json.loads(path.read_text())


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_a_slower_commit_is_called_explained_and_published(repository):
    folder = repository.folder
    ran = run_in(folder, "HEAD~2", "HEAD", *WORDS, "sweep.id=d", door=DUET)
    assert ran.code == 3, ran.out + ran.err
    values = duet_in(folder)
    assert values["verdict"] == "slower"
    assert values["ratio"] == pytest.approx(1.05, abs=0.02)
    assert values["ci"][0] > 1
    assert "because   mine::sharpen grew from 4." in ran.out, ran.out
    assert [line.split(":")[0] for line in values["differs"]] == ["git_commit", "own_code"]
    place = next((folder / "outputs/d").glob("*/duet.html")).parent
    page = (place / "duet.html").read_text()
    assert "mine::sharpen" in page
    assert "plotly" in page
    assert repository.worktrees() == 1
    in_mlflow(folder, values)


def in_mlflow(folder, values):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/outputs/mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name == "runner"]
    (run,) = client.search_runs([experiment.experiment_id], "tags.`runner.kind` = 'duet'")
    assert run.data.tags["verdict"] == "slower"
    assert run.data.metrics["duet/change"] == pytest.approx(values["ratio"] - 1)
    history = client.get_metric_history(run.info.run_id, "duet/ratio")
    assert [one.step for one in history] == list(range(1, len(values["rounds"]) + 1))
    names = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert names == {"duet.json", "duet.html", "why.json"}


def test_the_commit_is_found_and_named_with_its_operator(repository):
    ran = run_in(repository.folder, "HEAD~2", "HEAD", *WORDS, "sweep.id=b", door=BISECT)
    assert ran.code == 0, ran.out + ran.err
    values = json.loads((repository.folder / "outputs/b/bisect.json").read_text())
    assert [one.partition(" ")[2] for one in values["commits"]] == ["sharper"]
    assert values["probability"] >= 0.99
    assert "sharper: did it, with " in ran.out
    assert "against its parent: slower: +" in ran.out
    assert repository.worktrees() == 1


def test_equal_sides_are_the_same(tmp_path):
    made = Repository(tmp_path)
    made.commit("a note", notes="# nothing else\n")
    ran = run_in(tmp_path, "HEAD~1", ".", *WORDS, OFF, "sweep.id=d", door=DUET)
    assert ran.code == 0, ran.out + ran.err
    assert duet_in(tmp_path)["verdict"] == "same"


def test_a_killed_duet_resumes_with_all_its_rounds(tmp_path):
    made = Repository(tmp_path)
    made.commit("a note", notes="# nothing else\n")
    command = ("HEAD~1", "HEAD", *WORDS, OFF, "sweep.id=d")
    file = tmp_path / "outputs/d"

    def rounds():
        found = list(file.glob("*/duet.json"))
        return len(json.loads(found[0].read_text())["rounds"]) if found else 0

    with start_in(tmp_path, *command, door=DUET) as program:
        until(lambda: rounds() >= 2)
        program.kill()
    kept = duet_in(tmp_path)["rounds"]
    until(lambda: not hosts_below(tmp_path), 30)  # nothing that was started is left
    ran = run_in(tmp_path, *command, door=DUET)
    assert ran.code == 0, ran.out + ran.err
    assert f"resumes after {len(kept)} rounds" in ran.out
    assert duet_in(tmp_path)["rounds"][: len(kept)] == kept
    assert made.worktrees() == 1


def hosts_below(folder: Path) -> list[str]:
    """The processes of sides that were started in a folder."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout
    pids = [line.split()[0] for line in listed.splitlines() if "runner.duets.host" in line]
    found = []
    for pid in pids:
        try:
            if Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(folder):
                found.append(pid)
        except OSError:
            continue
    return found


def test_an_interrupted_duet_says_how_to_resume(tmp_path):
    Repository(tmp_path)
    with start_in(tmp_path, ".", ".", *WORDS, OFF, door=DUET) as program:
        until(lambda: list(tmp_path.glob("outputs/*/*/old/*/record.json")))
        os.killpg(program.pid, signal.SIGINT)
        out, err = program.communicate(timeout=60)
    assert program.returncode == 130, out + err
    assert "resume by python -m runner.duet . . " in out
    assert "sweep.id=" in out
    assert "Traceback" not in out + err
    until(lambda: not hosts_below(tmp_path), 30)


FAULTS = """
import ctypes, time, torch

class Net(torch.nn.Module):
    def __init__(self, how="ok"):
        super().__init__()
        self.how = how
    def forward(self, x):
        if self.how == "crashes":
            ctypes.string_at(0)
        if self.how == "hangs":
            time.sleep(600)
        if self.how == "runs out":
            torch.empty(10**14)
        return x
"""


def test_a_side_that_does_not_run_is_named_with_its_cause(tmp_path):
    (tmp_path / "net.py").write_text(FAULTS)
    words = ("model=custom", "model.target=net.Net", "input.size=32", "timing.warmup=1")
    causes = {
        "crashes": "ended by SIGSEGV",
        "hangs": "timed_out: SideFailed: it did not answer within 4 s",
        "runs out": "out_of_memory: net.py:14 in forward",
    }
    for how, cause in causes.items():
        side = f"model.kwargs={{how:'{how}'}}"
        limit = "timing.timeout_s=4" if how == "hangs" else "timing.timeout_s=100"
        sides = (".", f'"{side}"') if how in ("crashes", "hangs") else (f'"{side}"', ".")
        ran = run_in(tmp_path, *sides, *words, OFF, limit, door=DUET)
        role = "new" if sides[0] == "." else "old"
        assert ran.code == 1, ran.out + ran.err
        assert f"failed: the {role} side" in ran.out
        assert cause in ran.out, ran.out
        assert "Traceback" not in ran.out + ran.err


def test_sides_with_other_packages_are_told_apart(tmp_path):
    """A package of the user's own, in two versions, the older one from a requirements file."""
    made = Repository(tmp_path / "code")
    for version, ms in (("1.0", "4.0"), ("2.0", "4.5")):
        folder = tmp_path / f"sharp-{version}"
        (folder / "sharp").mkdir(parents=True)
        (folder / "sharp/__init__.py").write_text(f"MS = {ms}\n")
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            f'[project]\nname = "sharp"\nversion = "{version}"\n'
        )
        (made.folder / f"{version}.txt").write_text(f"{folder}\n")
    text = (made.folder / "net.py").read_text()
    made.commit(
        "sharp", net=text.replace("4.0)", "sharp.MS)").replace("import time", "import sharp, time")
    )
    ran = run_in(made.folder, "1.0.txt", "2.0.txt", *WORDS, OFF, "sweep.id=d", door=DUET)
    assert ran.code == 3, ran.out + ran.err
    assert "differs   sharp: 1.0 -> 2.0" in ran.out
    built = list(made.folder.glob("outputs/.environments/*/complete"))
    assert len(built) == 2
    python = next(path for path in built if "2.0" in str(list(path.parent.glob("lib/*/*/sharp*"))))
    again = (f"python={python.parent}/bin/python", "2.0.txt", *WORDS, OFF, "sweep.id=e")
    same = run_in(made.folder, *again, door=DUET)
    assert same.code == 0, same.out + same.err
    assert "building" not in same.out  # it was cached


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("HEAD~99", "."), 2, "HEAD~99 is not a commit of the repository"),
        (("python=/nonexistent", "."), 2, "python is /nonexistent, which can't be run"),
        (("python=/bin/true", "."), 1, "/bin/true is no usable Python interpreter"),
        (("requirements=no.txt", "."), 2, "requirements is no.txt, which can't be read"),
        ((".", ""), 2, "NEW is empty"),
        ((".", "HEAD HEAD~1"), 2, "which has code twice"),
        ((".", 'model="x'), 2, "No closing quotation"),
        ((".", "input.size=0"), 2, "new side (input.size=0): input.size is 0"),
        ((".", "input.size=32,64"), 2, "the old side has 1 trials, the new side 2"),
        ((".", ".", "--margin", "2"), 2, "--margin is 2.0; expected a share"),
        ((".", ".", "--of", "nothing"), 2, "nothing is neither a sweep"),
        ((".",), 2, "required: NEW"),
    ],
)
def test_what_can_not_be_played_is_refused(repository, arguments, code, why):
    ran = run_in(repository.folder, *arguments, *WORDS[:3], OFF, door=DUET)
    if len(arguments) == 1:
        ran = run_in(repository.folder, *arguments, door=DUET)
    assert ran.code == code, ran.out + ran.err
    assert why in ran.err
    assert "Traceback" not in ran.err


def test_an_environment_without_what_runner_needs_is_told_so(tmp_path):
    Repository(tmp_path)
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    ran = run_in(tmp_path, ".", f"python={bare}/bin/python", *WORDS, OFF, door=DUET)
    assert ran.code == 1
    assert "ModuleNotFoundError" in ran.err
    assert "-m pip install" in ran.err
    assert "Traceback" not in ran.err


def test_a_module_of_the_working_tree_is_never_timed_as_an_old_commit(tmp_path):
    """An installation that always imports from the checkout, as some editable ones do."""
    made = Repository(tmp_path / "code")
    made.commit("nothing")
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import importlib.util, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        file = '{made.folder}/net.py'\n"
        "        if name == 'net':\n"
        "            return importlib.util.spec_from_file_location('net', file)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    path = os.pathsep.join([str(hook), str(ROOT)])
    ran = run_in(made.folder, "HEAD~1", ".", *WORDS, OFF, door=DUET, PYTHONPATH=path)
    assert ran.code == 1, ran.out + ran.err
    assert "net.py from the working tree, not from its commit" in ran.out


def test_a_search_skips_what_does_not_run_and_survives_a_kill(tmp_path):
    made = Repository(tmp_path)
    made.change("import time", "import nothing_of_that_name, time", "one: broken")
    made.change("import nothing_of_that_name, time", "import time", "two: mended")
    made.change("4.0)", "4.6)", "three: slower")
    command = ("HEAD~3", "HEAD", *WORDS, OFF, "sweep.id=b")
    folder = tmp_path / "outputs/b"
    with start_in(tmp_path, *command, door=BISECT) as program:
        until(lambda: list(folder.glob("ends/new/*/record.json")))
        time.sleep(1)
        program.kill()
    until(lambda: not hosts_below(tmp_path), 30)
    ran = run_in(tmp_path, *command, door=BISECT)
    assert ran.code == 0, ran.out + ran.err
    values = json.loads((folder / "bisect.json").read_text())
    assert [one.partition(" ")[2] for one in values["commits"]] == ["three: slower"]
    assert all("one: broken" in one for one in values["skipped"])
    assert made.worktrees() == 1
