"""The folder of a sweep that has no id of its own, where another began in the same second."""

from __future__ import annotations

import pytest
from fakes.program import start_in

from runner.config.sweep_settings import settings_for
from runner.sweep.folder import with_free_id

NOW = "20261127-200000"


@pytest.fixture
def settings(tmp_path):
    return settings_for([f"output_dir={tmp_path / 'outputs'}", f"sweep.id={NOW}"])


def test_an_automatic_id_takes_the_next_free_one(settings):
    ids = [with_free_id(settings, ["model=simulated"]).sweep_id for _ in range(3)]
    assert ids == [NOW, f"{NOW}-2", f"{NOW}-3"]


@pytest.mark.parametrize("word", [f"sweep.id={NOW}", f"++sweep.id={NOW}", "sweep.resume=latest"])
def test_an_id_that_was_asked_for_stays(settings, word):
    settings.sweep_dir.mkdir(parents=True)
    assert with_free_id(settings, [word]).sweep_id == NOW


def test_a_folder_that_can_not_be_made_is_told_where_it_is_locked(settings):
    settings.output_dir.write_text("a file")
    assert with_free_id(settings, []).sweep_id == NOW


def test_two_that_start_at_once_both_run(tmp_path):
    words = ("model=simulated", "tracking=off")
    both = [start_in(tmp_path, *words) for _ in range(2)]
    ended = [(process.communicate(timeout=100), process.returncode) for process in both]
    assert [code for _, code in ended] == [0, 0], ended
    assert len(list(tmp_path.glob("outputs/*/sweep.json"))) == 2
