"""A side from its words: what they mean, what is checked out, and what is refused."""

from __future__ import annotations

import sys

import pytest
from fakes.repository import Repository

from runner.contract import SideFailed, UsageError
from runner.duets import environments
from runner.duets.sides import (
    TREES,
    Asked,
    Side,
    Worktree,
    asked,
    checked_out,
    commits,
    prepared,
    remove_stale,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (".", Asked(".")),
        ("HEAD~1", Asked("HEAD~1", code="HEAD~1")),
        ("code=main", Asked("code=main", code="main")),
        ("runtime.compile=off", Asked("runtime.compile=off", ("runtime.compile=off",))),
        ("+model.kwargs.a=1", Asked("+model.kwargs.a=1", ("+model.kwargs.a=1",))),
        ("python=/x/python", Asked("python=/x/python", python="/x/python")),
        ("requirements=a.txt", Asked("requirements=a.txt", requirements="a.txt")),
        (
            "main python=/x seed=1",
            Asked("main python=/x seed=1", ("seed=1",), code="main", python="/x"),
        ),
    ],
)
def test_words_of_a_side(text, found):
    assert asked(text, "OLD") == found


def test_a_file_is_a_requirements_file_and_else_a_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert asked("old.txt", "OLD").code == "old.txt"
    (tmp_path / "old.txt").write_text("six")
    assert asked("old.txt", "OLD").requirements == "old.txt"


def test_secrets_are_no_part_of_a_name():
    side = asked("+model.kwargs.api_key=hunter2", "NEW")
    assert "hunter2" not in side.name
    assert side.words == ("+model.kwargs.api_key=hunter2",)


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "OLD is empty"), ("a b", "has code twice"), ("python=", "python has no value"),
     ("'", "No closing quotation")],
)  # fmt: skip
def test_words_that_mean_nothing_are_refused(text, why):
    with pytest.raises(UsageError, match=why):
        asked(text, "OLD")


@pytest.fixture
def made(tmp_path, monkeypatch):
    repository = Repository(tmp_path / "code with spaces")
    (repository.folder / "deep").mkdir()
    repository.commit("deep", **{"deep/more": "x = 1\n"})
    monkeypatch.chdir(repository.folder)
    return repository


def test_a_commit_is_checked_out_and_removed_again(made, tmp_path):
    trees = tmp_path / "trees"
    side = prepared(asked("HEAD~1", "OLD"), "old", trees, tmp_path, print)
    assert side.commit == made.first
    assert side.folder == side.worktree.path
    assert (side.folder / "net.py").exists()
    assert not (side.folder / "deep").exists()
    assert made.worktrees() == 2
    again = checked_out(made.folder, made.first, trees)
    assert again == side.worktree  # of an earlier start that was killed
    (side.folder / "net.py").write_text("modified by a trial")
    assert "sharpen" in (checked_out(made.folder, made.first, trees).path / "net.py").read_text()
    side.worktree.remove()
    assert made.worktrees() == 1
    assert not side.folder.exists()


def test_worktrees_of_killed_processes_are_removed_and_others_kept(made, tmp_path):
    outputs = made.folder / "outputs"
    mine = checked_out(made.folder, made.first, outputs / "killed" / TREES)
    used = checked_out(made.folder, made.first, outputs / "running" / TREES)
    other = checked_out(made.folder, made.first, tmp_path / "elsewhere" / TREES)
    remove_stale(made.folder, outputs, lambda path: path == used.path)
    assert [one.path.exists() for one in (mine, used, other)] == [False, True, True]
    assert made.worktrees() == 3
    remove_stale(tmp_path, outputs, lambda path: False)  # no repository: nothing to remove


def test_a_folder_inside_the_repository_stays_the_working_folder(made, tmp_path, monkeypatch):
    monkeypatch.chdir(made.folder / "deep")
    side = prepared(asked("HEAD", "OLD"), "old", tmp_path / "trees", tmp_path, print)
    assert side.folder == side.worktree.path / "deep"
    side.worktree.remove()
    with pytest.raises(UsageError, match="has no folder deep"):
        prepared(asked("HEAD~1", "OLD"), "old", tmp_path / "trees", tmp_path, print)
    assert made.worktrees() == 1


def test_paths_of_the_checkout_are_mapped_to_the_worktree(tmp_path):
    repository, tree = tmp_path / "code", tmp_path / "tree"
    for path in (repository / "src", tree / "src", repository / ".venv/lib/site-packages"):
        path.mkdir(parents=True)
    side = Side("old", "x", folder=tree, worktree=Worktree(repository, tree, "1"))
    given = [str(repository / name) for name in ("src", "gone", ".venv/lib/site-packages")]
    assert side.mapped([*given, "/usr/lib"]) == [str(tree), str(tree / "src")]
    assert Side("old", "x", folder=tree).mapped(given) == []


def test_no_repository_or_no_commit_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert prepared(asked(".", "NEW"), "new", tmp_path, tmp_path, print).commit is None
    with pytest.raises(UsageError, match="HEAD is not a commit of the repository"):
        prepared(asked("HEAD", "OLD"), "old", tmp_path, tmp_path, print)


def test_commits_between_two_the_oldest_first(made):
    last = made.commit("last", notes="#\n")
    assert commits(made.folder, made.first, last)[-1] == last
    assert len(commits(made.folder, made.first, last)) == 2
    assert commits(made.folder, last, made.first) == []


def test_an_environment_that_can_not_be_built_says_why(tmp_path):
    wanted = tmp_path / "r.txt"
    wanted.write_text("./nothing-there\n")
    with pytest.raises(SideFailed, match=r"failed: .*nothing-there"):
        environments.built(wanted, sys.executable, tmp_path / "made", print)
    assert not list((tmp_path / "made").glob("*/complete"))
    with pytest.raises(UsageError, match="can't be read"):
        environments.built(tmp_path / "none.txt", sys.executable, tmp_path / "made", print)
