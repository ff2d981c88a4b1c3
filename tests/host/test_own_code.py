"""What of the modules in a process is the user's own, and in which state."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from runner.host import own_code as own
from runner.host.own_code import own_code


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with two modules, of which git knows one."""

    def write(name, text):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        module = ModuleType(name)
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, f"own.{name}", module)
        return file

    write("net.py", "width = 3\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=u", "-c", "user.email=u@h"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "net"]):
        subprocess.run([*git, *words], check=True)
    return write


def test_the_hash_follows_what_is_loaded_and_nothing_else(checkout, tmp_path):
    first = own_code(tmp_path)
    assert first["own_files"] == ["net.py"]
    assert "git_dirty" not in first
    (tmp_path / "other.py").write_text("not loaded")
    checkout("lib/site-packages/torchlike.py", "a library's")
    assert own_code(tmp_path) == first
    checkout("net.py", "width = 4\n")
    changed = own_code(tmp_path)
    assert changed["own_code"] != first["own_code"]
    assert changed["git_dirty"] is True


def test_a_file_that_git_does_not_know_is_no_clean_state(checkout, tmp_path):
    checkout("deep/more.py", "x = 1\n")
    found = own_code(tmp_path)
    assert found["own_files"] == ["deep/more.py", "net.py"]
    assert found["git_dirty"] is True


def test_modules_of_torch_that_claim_files_here_are_not_the_users(checkout, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = own_code(tmp_path)
    module = ModuleType("torch.ops")
    module.__file__ = "_ops.py"  # as torch has it
    monkeypatch.setitem(sys.modules, "own.ops", module)
    assert own_code(tmp_path) == before
    (tmp_path / "here.py").write_text("x = 1\n")
    module.__file__ = "here.py"  # imported by a relative path
    assert own_code(tmp_path)["own_files"] == ["here.py", "net.py"]


def test_a_module_of_the_other_tree_is_named(checkout, tmp_path, monkeypatch):
    other = tmp_path / "worktree"
    other.mkdir()
    monkeypatch.setenv(own.OTHER_TREE, str(tmp_path))
    assert own_code(other)["foreign_files"] == [str(tmp_path / "net.py")]
    assert "foreign_files" not in own_code(tmp_path)
    monkeypatch.setenv(own.THIS_TREE, str(tmp_path))  # a library beside the working folder
    assert "foreign_files" not in own_code(other)


def test_without_git_there_is_still_a_hash_and_large_files_have_none(tmp_path, monkeypatch):
    module = ModuleType("alone")
    module.__file__ = str(tmp_path / "alone.py")
    (tmp_path / "alone.py").write_text("x = 1\n")
    monkeypatch.setitem(sys.modules, "own.alone", module)
    assert len(own_code(tmp_path)["own_code"]) == 12
    monkeypatch.setattr(own, "MAX_BYTES", 3)
    assert own_code(tmp_path)["own_code"] is None
    assert own_code(tmp_path / "elsewhere") == {}
