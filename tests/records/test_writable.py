"""What a trial gave becomes what a record can hold and a terminal can show."""

from __future__ import annotations

import json
import math
import random

import pytest

from runner.contract import Status
from runner.records.printable import printable
from runner.records.record import Outcome
from runner.records.writable import MAX_MESSAGE_LENGTH, MAX_TRACE_LENGTH, writable

NONE = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("number", NONE, ids=str)
def test_what_is_no_number_is_null_with_its_reason(number):
    found = writable(
        Outcome(
            Status.COMPLETED,
            figures={"rel_error": number, "gflop": 2.0},
            series={"queued_ms": [1.0, number], "event_ms": [1.0]},
            effective={"scale": {"of": [1, number]}},
            contention={"cpu": {"steal_share": number}},
            environment={"load": number},
        )
    )
    assert found.figures == {"rel_error": None, "gflop": 2.0}
    assert found.series == {"queued_ms": [], "event_ms": [1.0]}
    assert found.effective == {"scale": {"of": [1, None]}}
    names = (
        "figures.rel_error", "effective.scale.of", "environment.load",
        "contention.cpu.steal_share", "series.queued_ms",
    )  # fmt: skip
    assert found.why_null == dict.fromkeys(names, f"it is {number}, which is not a finite number")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m\x07", r"\x1b[31mred\x1b[0m\x07"),
        ("back\rand \x9b5m", r"back\rand \x9b5m"),
        ("half \udc80 of a name", r"half \udc80 of a name"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("two\nlines\tand \u00e9\u4e2d\U0001f600", "two\nlines\tand \u00e9\u4e2d\U0001f600"),
    ],
)
def test_what_would_act_on_a_terminal_is_escaped(text, shown):
    assert printable(text) == shown
    error = {"where": "", "type": "E", "message": text, "trace": text}
    found = writable(Outcome(Status.FAILED, error=error, why_null={"a": text}))
    assert (found.error["message"], found.error["trace"], found.why_null["a"]) == (shown,) * 3


def test_long_messages_are_cut_and_say_so():
    long = "a" * 2_500_000 + "b" * 2_500_000
    error = {"where": "", "type": "E", "message": long, "trace": long}
    found = writable(Outcome(Status.FAILED, error=error, why_null={"a": long}))
    for text, most in (
        (found.error["message"], MAX_MESSAGE_LENGTH), (found.error["trace"], MAX_TRACE_LENGTH),
        (found.why_null["a"], MAX_MESSAGE_LENGTH),
    ):  # fmt: skip
        assert len(text) < most + 100
        assert "(5000000 characters, whole in worker.log)" in text
        assert text.startswith("aaa")
        assert text.endswith("bbb")


def anything(at, depth=0):
    """A value of any kind that a trial may give, drawn by `at`."""
    kinds = [
        lambda: at.choice([*NONE, 1.5, -0.0, 10**400, 7, None, True]),
        lambda: "".join(chr(at.randrange(0x11000)) for _ in range(at.randrange(9))),
    ]
    if depth < 4:
        kinds += [
            lambda: [anything(at, depth + 1) for _ in range(at.randrange(4))],
            lambda: {str(anything(at, 9)): anything(at, depth + 1) for _ in range(at.randrange(4))},
            lambda: tuple(anything(at, depth + 1) for _ in range(2)),
        ]
    return at.choice(kinds)()


def test_anything_at_all_can_be_written():
    at = random.Random(29)
    for _ in range(500):
        given = Outcome(
            Status.COMPLETED,
            figures={"a": at.choice([*NONE, 1.0, None])},
            effective={"of": anything(at)},
            environment={"of": anything(at)},
            contention=at.choice([None, {"of": anything(at)}]),
        )
        found = writable(given)
        text = json.dumps([found.figures, found.effective, found.environment], allow_nan=False)
        json.loads(text)
        json.dumps(found.contention, ensure_ascii=False, allow_nan=False).encode("utf-8")
