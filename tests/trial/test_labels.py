"""What tells the trials of a sweep apart."""

from __future__ import annotations

from fakes.trials import make_trial

from runner.trial.labels import full_title, settings, varying


def test_what_a_sweep_varies_beyond_the_title_is_named():
    warm, flushed = (make_trial(timing={"cache": cache}) for cache in ("warm", "flush"))
    assert varying([warm, flushed]) == ("cache",)
    assert varying([warm]) == ()
    assert full_title(flushed, ("cache",)) == "resnet18 64px b1 w2 wall cache=flush"


def test_an_argument_that_a_model_does_not_have_is_a_dash():
    plain, wide = (make_trial(model={"kwargs": kwargs}) for kwargs in ({}, {"width": 7}))
    assert varying([plain, wide]) == ("width",)
    assert full_title(plain, ("width",)).endswith(" width=-")
    assert settings(wide)["width"] == "7"
