"""The tree of errors is as it is drawn, and every error of the package is in it."""

from __future__ import annotations

import ast

from fakes.program import ROOT

from runner import contract
from runner.contract import RunnerError


def drawn() -> dict[str, int]:
    """The exit code of each error in the module's drawing."""
    lines = [line.split() for line in (contract.__doc__ or "").splitlines() if line[:4] == "    "]
    return {name: int(code) for name, code, *_ in lines}


def test_each_error_has_the_exit_code_that_is_drawn():
    direct = RunnerError.__subclasses__()
    kinds = {RunnerError, *direct, *(below for one in direct for below in one.__subclasses__())}
    assert {kind.__name__: kind.exit_code for kind in kinds} == drawn()


def test_no_module_has_errors_of_its_own():
    own = {
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in (ROOT / "runner").rglob("*.py")
        if path.name != "contract.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if ast.unparse(base).endswith(("Exception", "Error"))
    }
    assert own == set()
