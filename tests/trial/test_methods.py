"""The one table of the timing methods, and the functions that bear their names."""

from __future__ import annotations

import pytest

from runner.measure.methods import SAMPLERS
from runner.trial.methods import METHODS, is_synchronized, resolve_method


@pytest.mark.parametrize("name", METHODS)
def test_every_method_a_user_can_ask_for_says_which_question_it_answers(name):
    assert "?" in str(SAMPLERS[name].__doc__).partition("\n")[0]


def test_event_is_the_default_where_there_are_events_and_wall_elsewhere():
    methods = [resolve_method("auto", kind) for kind in ("cuda", "xpu", "cpu", "mps")]
    assert methods == ["event", "event", "wall", "wall"]
    assert resolve_method("naive", "cuda") == "naive"


def test_only_a_cpu_is_done_when_the_call_returns():
    assert is_synchronized("naive", "cpu")
    assert not is_synchronized("naive", "cuda")
    assert is_synchronized("event", "cuda")
