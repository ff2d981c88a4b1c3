"""The wheel carries conf/ and works from any directory; the README's lines are the ones CI runs."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipfile

import pytest
import yaml
from fakes.program import ROOT

import runner

README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("runner-*.whl"))


def test_the_wheel_holds_the_configuration_and_the_sweeper(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "runner/conf/config.yaml",
        "runner/conf/model/resnet50.yaml",
        "runner/conf/sweep/methods.yaml",
        "runner/_plugins/hydra_plugins/runner_sweeper.py",
    } <= names


def test_the_installed_wheel_and_its_console_script_work_from_any_directory(wheel, tmp_path):
    """In an environment that has only this wheel, and borrows the libraries of the tests' own."""
    venv.create(tmp_path / "env", with_pip=False)
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "libraries.pth").write_text(libraries)
    zipfile.ZipFile(wheel).extractall(site)
    code = "import runner; print(runner.__file__)"
    python = tmp_path / "env" / "bin" / "python"
    where = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert str(site) in where.stdout
    ran = subprocess.run(
        [python, "-m", "runner", "model=squeezenet1_1", "input.size=32", "timing=quick"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(list(tmp_path.glob("outputs/*/*/record.json"))) == 1


def test_ci_runs_the_test_line_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    (found,) = re.findall(r"^line=.*$", script, re.MULTILINE)
    shown = subprocess.run(
        ["bash", "-euc", f'{found}; echo "$line"'], cwd=ROOT, capture_output=True, text=True
    )
    assert shown.stdout.strip() in README.splitlines()
    assert shown.stdout.strip().endswith(".venv/bin/python -m pytest -n 2")
    assert 'bash -euo pipefail -c "$line"' in script
    stages = re.findall(r"-m pytest(?: -n 2)? -m (\S.*?)(?: >|$)", script, re.MULTILINE)
    assert stages == ['"slurm or postgres"', "slow", "alone"]
    hosted = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert any(".ci/run" in step.get("run", "") for step in hosted["jobs"]["test"]["steps"])


def test_the_wheel_has_its_licence_types_and_version(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "runner/py.typed" in names
    assert f"runner-{runner.__version__}.dist-info/licenses/LICENSE" in names


def test_files_and_sweeps_that_the_readme_names_exist():
    for path in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"sweep=([a-z]+)", README):
        assert (ROOT / "conf" / "sweep" / f"{name}.yaml").exists(), name


def test_the_readmes_sample_is_what_the_command_prints(program):
    ran = program("sweep=demo", "tracking=off")
    (table,) = [part for part in ran.out.split("\n\n") if part.startswith("all trials: ")]
    shown = "\n".join(f"    {line}" for line in table.splitlines())
    assert shown in README
    assert table in (ROOT / "docs" / "timing.md").read_text()
    assert len(README.splitlines()) <= 110
