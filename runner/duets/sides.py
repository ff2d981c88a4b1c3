"""A side of a duet: a commit, an interpreter, packages, settings, or several of these."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from runner.contract import Problem, SideFailed, UsageError
from runner.duets import environments
from runner.host.own_code import LIBRARIES
from runner.host.secrets import redacted_command

TREES = ".trees"  # the folder of worktrees, in that of a duet
HERE = "."  # the working tree as it is
KEYS = ("code", "python", "requirements")
GIT_S = 600  # within which git must check out a commit
KEY_VALUE = re.compile(r"[+~]*[A-Za-z_][\w./@-]*=.*", re.DOTALL)


@dataclass(frozen=True)
class Asked:
    """A side as it was typed; without `code` it is the working tree.

    `name` has no secrets.
    """

    name: str
    words: tuple[str, ...] = ()
    code: str | None = None
    python: str | None = None
    requirements: str | None = None


@dataclass(frozen=True)
class Worktree:
    """A commit that is checked out at `path`; `repository` is the user's own checkout."""

    repository: Path
    path: Path
    commit: str

    def remove(self) -> None:
        """Remove it, as far as that is possible."""
        with suppress(SideFailed):
            _git(self.repository, "worktree", "remove", "--force", str(self.path))
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(SideFailed):
            _git(self.repository, "worktree", "prune")


@dataclass(frozen=True)
class Side:
    """A side that can be started: interpreter and folder, `words` for its configuration.

    `role` is old or new; `commit` is None outside a repository.
    """

    role: str
    name: str
    words: tuple[str, ...] = ()
    python: str = sys.executable
    folder: Path = field(default_factory=Path.cwd)
    commit: str | None = None
    worktree: Worktree | None = None

    @property
    def identity(self) -> str:
        """What a running process must share with it: role, interpreter and folder."""
        return f"{self.role} {self.python} {self.folder}"

    def mapped(self, paths: Sequence[str]) -> list[str]:
        """Where the modules of the user's checkout lie in the worktree; empty without one.

        `paths` are those of the interpreter, on which the checkout may lie: by PYTHONPATH, or by
        an editable installation.
        """
        if self.worktree is None:
            return []
        found = [self.folder]
        for path in map(Path, paths):
            if path.is_relative_to(self.worktree.repository) and not LIBRARIES & set(path.parts):
                found.append(self.worktree.path / path.relative_to(self.worktree.repository))
        return [str(path) for path in dict.fromkeys(found) if path.is_dir()]


def asked(text: str, where: str) -> Asked:
    """A side from its words; `where` is OLD or NEW. Raises UsageError."""
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise UsageError(Problem(where, f"{where} is {text!r}: {error}")) from error
    found: dict[str, str] = {}
    words = []
    for part in parts:
        key, _, value = part.partition("=")
        if not KEY_VALUE.fullmatch(part):
            key, value = "requirements" if _is_requirements(part) else "code", part
        if key not in KEYS:
            words.append(part)
            continue
        if key in found:
            problem = f"{where} is {text!r}, which has {key} twice: {found[key]} and {value}"
            raise UsageError(Problem(where, problem, "give one"))
        if not value:
            raise UsageError(Problem(where, f"{where} is {text!r}: {key} has no value"))
        found[key] = value
    if not parts:
        remedy = "expected a commit, key=value, python=PATH, requirements=FILE, or . for this tree"
        raise UsageError(Problem(where, f"{where} is empty", remedy))
    name = " ".join(redacted_command(parts))
    code = None if found.get("code") == HERE else found.get("code")
    return Asked(name, tuple(words), code, found.get("python"), found.get("requirements"))


def _is_requirements(part: str) -> bool:
    return part.endswith(".txt") and Path(part).is_file()


def prepared(
    side: Asked, role: str, trees: Path, environments_dir: Path, print_line: Callable[[str], object]
) -> Side:
    """The side with its commit checked out below `trees` and its environment built.

    Raises UsageError for a commit or a file that does not exist, SideFailed if git or pip fails.
    """
    here = Path.cwd()
    python = interpreter(side.python)
    if side.requirements is not None:
        python = environments.built(Path(side.requirements), python, environments_dir, print_line)
    folder, worktree = here, None
    if side.code is None:
        commit = commit_of(here, "HEAD", optional=True)
    else:
        commit = commit_of(here, side.code)
        assert commit is not None  # it is not optional
        worktree = checked_out(here, commit, trees)
        folder = worktree.path / here.relative_to(worktree.repository)
        if not folder.is_dir():
            worktree.remove()
            found = f"{side.code} has no folder {here.relative_to(worktree.repository)}"
            raise UsageError(Problem("code", found, "start in a folder that both commits have"))
    return Side(role, side.name, side.words, python, folder, commit, worktree)


def interpreter(python: str | None) -> str:
    """The path of a Python interpreter. Raises UsageError."""
    if python is None:
        return sys.executable
    path = shutil.which(python)
    if path is None:
        remedy = "expected the path of an interpreter, as in python=/path/to/venv/bin/python"
        raise UsageError(Problem("python", f"python is {python}, which can't be run", remedy))
    # not resolved: the link of a virtual environment is what makes it one
    return str(Path(path).absolute())


def commit_of(folder: Path, revision: str, *, optional: bool = False) -> str | None:
    """The commit that a revision names. Raises UsageError, or returns None if `optional`."""
    try:
        return _git(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except SideFailed as error:
        if optional:
            return None
        remedy = "expected a commit, a branch or a tag; other sides are key=value, python=PATH, "
        found = f"{revision} is not a commit of the repository at {folder}"
        why = str(error)
        raise UsageError(Problem("code", found, f"{remedy}requirements=FILE ({why})")) from error


def checked_out(folder: Path, commit: str, trees: Path) -> Worktree:
    """A commit in a folder of its own below `trees`; an existing checkout is reused.

    Raises SideFailed.
    """
    repository = Path(_git(folder, "rev-parse", "--show-toplevel"))
    path = (trees / commit[:12]).resolve()
    worktree = Worktree(repository, path, commit)
    if path.exists():
        if _is_clean(path, commit):
            return worktree
        worktree.remove()  # incomplete after an interrupt, or modified by a trial
    path.parent.mkdir(parents=True, exist_ok=True)
    _git(repository, "worktree", "prune")
    _git(repository, "worktree", "add", "--detach", "--force", str(path), commit)
    if (path / ".gitmodules").exists():
        _git(path, "submodule", "update", "--init", "--recursive")
    return worktree


def remove_stale(folder: Path, output_dir: Path, is_held: Callable[[Path], bool]) -> None:
    """Remove the worktrees below `output_dir` that killed processes have left.

    `is_held` says of a worktree whether a running process uses it.
    """
    try:
        listed = _git(folder, "worktree", "list", "--porcelain").splitlines()
    except SideFailed:
        return  # no repository, so there are none
    paths = [
        Path(line.removeprefix("worktree ")) for line in listed if line.startswith("worktree ")
    ]
    for path in paths[1:]:  # the first one is the repository itself
        ours = path.parent.name == TREES and path.is_relative_to(output_dir.resolve())
        if ours and not is_held(path):
            Worktree(paths[0], path, "").remove()


def _is_clean(path: Path, commit: str) -> bool:
    try:
        status = _git(path, "status", "--porcelain", "--untracked-files=no")
        return _git(path, "rev-parse", "HEAD") == commit and not status
    except SideFailed:
        return False


def commits(folder: Path, good: str, bad: str) -> list[str]:
    """The commits after `good` up to `bad`, the oldest first, along first parents.

    Raises SideFailed.
    """
    text = _git(folder, "rev-list", "--reverse", "--first-parent", f"{good}..{bad}")
    return text.split()


def subject_of(folder: Path, commit: str) -> str:
    """A commit in one line. Raises SideFailed."""
    return _git(folder, "show", "--no-patch", "--format=%h %s", commit)


def changed_files(folder: Path, old: str, new: str) -> Iterator[str]:
    """The files in which two commits differ. Raises SideFailed."""
    yield from _git(folder, "diff", "--name-only", old, new).splitlines()


def _git(folder: Path, *arguments: str) -> str:
    """What git prints. Raises SideFailed with its complaint."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise SideFailed(f"git can't be run: {error}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise SideFailed(f"git {arguments[0]}: {lines[-1]}")
    return done.stdout.strip()
