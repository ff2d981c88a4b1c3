"""docs/schemas/ says for other programs what the files hold; `PYTHONPATH=tests python
tests/records/test_schemas.py` writes it anew."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fakes.trials import make_record

from runner.records.duets import DuetFile
from runner.records.manifest import Manifest
from runner.records.nights import Gate
from runner.records.reading import schema_of
from runner.records.record import Record

SCHEMAS = Path(__file__).parents[2] / "docs/schemas"
KINDS: dict[str, Any] = {"record": Record, "sweep": Manifest, "gate": Gate, "duet": DuetFile}


def written(kind: Any) -> str:
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema_of(kind)}
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


@pytest.mark.parametrize("name", KINDS)
def test_the_schemas_are_those_of_the_types_that_are_read(name):
    assert (SCHEMAS / f"{name}.schema.json").read_text() == written(KINDS[name])


def test_another_program_can_check_a_record_by_its_schema():
    schema = json.loads((SCHEMAS / "record.schema.json").read_text())
    check = jsonschema.Draft202012Validator(schema)
    values = json.loads(json.dumps(asdict(make_record())))
    assert list(check.iter_errors(values)) == []
    for name, wrong in {"started_at": "yesterday", "status": "done", "latency_ms": ["x"]}.items():
        (error,) = check.iter_errors(values | {name: wrong})
        assert error.path[0] == name


if __name__ == "__main__":
    for name, kind in KINDS.items():
        (SCHEMAS / f"{name}.schema.json").write_text(written(kind))
