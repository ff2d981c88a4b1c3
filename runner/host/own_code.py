"""The user's own modules in this process, and a hash of their state."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OURS = Path(__file__).parents[1]
OTHER_TREE = "RUNNER_OTHER_TREE"  # variable: a folder whose modules must not be imported,
THIS_TREE = "RUNNER_THIS_TREE"  # but for those in this one below it
LIBRARIES = {"site-packages", "dist-packages"}
MAX_BYTES = 64 * 2**20  # of all files together; code is smaller
MAX_NAMED = 20  # files; beyond that only their number is recorded


def is_own(file: Path, folder: Path) -> bool:
    """Whether a file is the user's own: below `folder`, where the command was typed."""
    if not file.is_relative_to(folder) or file.is_relative_to(OURS):
        return False
    return not LIBRARIES & set(file.relative_to(folder).parts)


def own_code(folder: Path) -> dict[str, Any]:
    """Facts about the user's own modules in this process: a hash and their names.

    `git_dirty` is included if one of them differs from git; empty without such modules.
    `foreign_files` are those below the folder that the variable OTHER_TREE names, if any, and not
    below that of THIS_TREE.
    """
    found: dict[str, Any] = {}
    if (other := os.environ.get(OTHER_TREE)) and (
        foreign := [
            str(file)
            for file in sorted(set(_own_modules(Path(other))))
            if not file.is_relative_to(os.environ.get(THIS_TREE, folder))
        ]
    ):
        found["foreign_files"] = foreign[:MAX_NAMED]
    files = sorted(set(_own_modules(folder)))
    if not files:
        return found
    names = [str(file.relative_to(folder)) for file in files]
    found |= {"own_code": _hash(files, names), "own_files": names[:MAX_NAMED]}
    if len(names) > MAX_NAMED:
        found["own_files"] = [*found["own_files"], f"and {len(names) - MAX_NAMED} more"]
    return found | ({"git_dirty": True} if _changed(folder, names) else {})


def _own_modules(folder: Path) -> Iterator[Path]:
    below = f"{folder}{os.sep}"  # compared as text: there are thousands of modules
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if not isinstance(name, str) or (os.path.isabs(name) and not name.startswith(below)):
            continue
        # torch.ops and torch.classes claim files that do not exist, by names without a folder
        if is_own(file := Path(name).absolute(), folder) and file.is_file():
            yield file


def _hash(files: list[Path], names: list[str]) -> str | None:
    """A hash of names and contents; None if they are too large or unreadable."""
    digest, left = hashlib.sha256(), MAX_BYTES
    try:
        for file, name in zip(files, names, strict=True):
            left -= file.stat().st_size
            if left < 0:
                return None
            digest.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
    except OSError:
        return None
    return digest.hexdigest()[:12]


def _changed(folder: Path, names: list[str]) -> bool:
    """Whether one of the files differs from git, or is not in git."""
    command = ["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=all", "--"]
    try:
        done = subprocess.run(
            [*command, *names], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return False  # no git, or no checkout
    return bool(done.stdout.strip())
