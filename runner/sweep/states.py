"""Restores the code and packages that a result was timed with, as far as they were recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from runner.contract import Unavailable
from runner.duets.link import Hello
from runner.duets.sides import TREES, Asked, Side, commit_of, prepared
from runner.sweep.duets import ENVIRONMENTS

PACKAGES = ("torch", "torchvision", "timm", "onnxruntime", "openvino")
SAME = "the same state"  # name of a side that differs in nothing that is recorded


def state_of(then: Mapping[str, str], now: Mapping[str, str], old_python: str | None) -> Asked:
    """The side that restores the recorded facts `then`, where those of `now` are in force.

    Other packages come from `old_python`, or are built from their recorded versions: the
    requirements of the side are then a text. Raises Unavailable.
    """
    changed = {name for name in PACKAGES if now.get(name) != then.get(name)}
    if now.get("python") != then.get("python"):
        changed.add("python")
    code = None
    if _code_differs(now, then):
        code = then.get("git_commit")
        if code is None:
            raise Unavailable(
                "its code has changed, and no git commit was recorded: keep it in a git repository"
            )
    requirements = None
    python = old_python if changed else None
    if changed and python is None:
        if "python" in changed:
            raise Unavailable(
                f"Python {then.get('python')} ran then and {now.get('python')} now: name an "
                "interpreter with the packages of then by nightly.old"
            )
        requirements = _pinned(then, changed)
    parts = (code[:12] if code else "", python, requirements and requirements.replace("\n", " "))
    name = " ".join(filter(None, parts)) or SAME
    return Asked(name, (), code, python, requirements)


def _code_differs(now: Mapping[str, str], then: Mapping[str, str]) -> bool:
    """Whether the user's own modules in a trial have changed, by their hashes if both are known."""
    hashes = [facts.get("own_code") for facts in (now, then)]
    if None not in hashes or hashes == [None, None]:
        return hashes[0] != hashes[1]
    return now.get("git_commit") != then.get("git_commit")


def _pinned(then: Mapping[str, str], changed: set[str]) -> str:
    """The text of a requirements file with the recorded versions. Raises Unavailable."""
    gone = sorted(name for name in changed if name not in then)
    if gone:
        raise Unavailable(f"{', '.join(gone)} was not installed then: use nightly.old")
    # a local version, as in 2.14.1+cu130, is in no registry
    return "\n".join(f"{name}=={then[name].partition('+')[0]}" for name in sorted(changed))


def restored(
    asked: Asked, role: str, folder: Path, output_dir: Path, print_line: Callable[[str], object]
) -> Side:
    """The prepared side of a recorded state; its commit is checked out below `folder`.

    Raises UsageError and SideFailed as runner.duets.sides.prepared does.
    """
    if asked.requirements is not None:
        path = folder / f"requirements-{role}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{asked.requirements}\n", encoding="utf-8")
        asked = replace(asked, requirements=str(path))
    if asked.code is not None and commit_of(Path.cwd(), asked.code, optional=True) is None:
        found = f"commit {asked.code[:12]}, with which it was timed, is not in this repository"
        raise Unavailable(f"{found} (any more)")
    return prepared(asked, role, folder / TREES, output_dir / ENVIRONMENTS, print_line)


def check_packages(hello: Hello, side: Side, facts: Mapping[str, str]) -> None:
    """Raise Unavailable if a running side does not have the recorded packages."""
    for name in PACKAGES:
        wanted, found = facts.get(name), hello.environment.get(name)
        if wanted != found and (wanted or "").partition("+")[0] != found:
            raise Unavailable(
                f"{side.python} has {name} {found or 'not installed'}, but {wanted} was recorded "
                "then"
            )
