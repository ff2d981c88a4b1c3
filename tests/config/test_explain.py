"""What is said of a word that Hydra or OmegaConf refuses."""

from __future__ import annotations

import pytest

from runner.config.explain import first_line, keys_named, no_such_file, unknown_key


@pytest.mark.parametrize(
    ("leaf", "keys"),
    [
        ("warmup", ["timing.warmup"]),
        ("size", ["input.size"]),
        ("name", [f"{one}.name" for one in ("model", "engine", "pipeline", "load", "sweep")]),
        ("seed", ["seed"]),
        ("nothing", []),
    ],
)
def test_a_leaf_is_found_in_every_group_that_has_it(leaf, keys):
    assert keys_named(leaf) == keys


def test_a_leaf_that_is_nearly_right_is_found_when_asked_for():
    assert keys_named("warmpu") == []
    assert keys_named("warmpu", nearly=True) == ["timing.warmup"]


@pytest.mark.parametrize(
    ("key", "prefix", "meant"),
    [
        ("timing.warmpu", "timing.", "timing.warmup"),
        ("batch_size", "", "input.batch_size"),
        ("runtime.dtype", "runtime.", "runtime.precision"),
    ],
)
def test_an_unknown_key_names_what_was_probably_meant(key, prefix, meant):
    problem = unknown_key(key, prefix, ["warmup", "iterations", "precision"])
    assert problem.found == f"{key} is not a key"
    assert problem.remedy.startswith(f"did you mean {meant}?")


def test_a_key_like_no_other_lists_those_there_are():
    problem = unknown_key("zzz", "", ["model", "seed"])
    assert str(problem) == "zzz is not a key (the keys are: model, seed)"


def test_a_missing_file_of_a_group_names_similar_ones():
    problem = no_such_file("timing", "adptive", ["adaptive", "quick"])
    assert str(problem) == (
        "timing=adptive does not exist; similar: adaptive (available: adaptive, quick)"
    )


def test_of_many_files_only_their_number_is_said():
    names = [f"net{number}" for number in range(30)]
    assert "30 names, listed by --help" in str(no_such_file("model", "zzz", names))


def test_an_error_without_words_has_a_line_all_the_same():
    assert first_line("") == "no reason given"
    assert first_line("\n one\n two") == "one"
