"""A user's own module that can't be imported, or ends the process when it is."""

from __future__ import annotations

import pytest

from runner.contract import ModelError
from runner.models import custom

ARGUMENTS = "import argparse\nargparse.ArgumentParser(prog='net').parse_args(['--wrong'])\n"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys\nsys.exit('no licence')", ":2 in <module>: SystemExit: no licence ("),
        ("raise SystemExit(3)", ":1 in <module>: SystemExit: 3 ("),
        (ARGUMENTS, ":2 in <module>: SystemExit: 2: net: error: unrecognized arguments: --wrong"),
        ("import nowhere_at_all", ":1 in <module>: ModuleNotFoundError: No module named"),
        ("raise GeneratorExit", ":1 in <module>: GeneratorExit ("),
        ("e = ValueError('mine')\nraise e from e", ":2 in <module>: ValueError: mine ("),
        ("1 / 0", ":1 in <module>: ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_can_not_be_imported_is_named_with_its_words(
    code, said, tmp_path, monkeypatch, request
):
    name = f"own_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModelError) as raised:
        custom.load(f"{name}.Net", "model.target")
    assert f"model.target={name}.Net can't be imported: {name}.py{said}" in str(raised.value)
