"""Command lines in the style of other tools, translated for the error message."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields, is_dataclass

from runner.config.explain import OTHERS_SAY, keys_named
from runner.config.schema import Config, types_of
from runner.contract import Problem


def misspelt(words: Sequence[str], flags: Collection[str]) -> Iterator[Problem]:
    """Problems of words that Hydra can't take, with what was probably meant."""
    taken = -1
    for place, word in enumerate(words):
        if place <= taken:
            continue
        if word.endswith(",") and "=" in word:
            taken = _end_of_list(words, place)
            joined = "".join(words[place : taken + 1])
            found = f"{' '.join(words[place : taken + 1])} has blanks after commas"
            yield Problem(word, found, f"did you mean {joined}?")
        elif word.startswith("--") and word.partition("=")[0] not in flags:
            yield _flag(word, words[place + 1 : place + 2])


def _end_of_list(words: Sequence[str], place: int) -> int:
    """The index of the last word of a list that was typed with blanks."""
    while place + 1 < len(words) and words[place].endswith(",") and "=" not in words[place + 1]:
        place += 1
    return place


def _flag(word: str, following: Sequence[str]) -> Problem:
    """An unknown flag; most tools have flags where runner has keys."""
    name, has_value, value = word.lstrip("-").partition("=")
    key = name.replace("-", "_")
    meant = _meant(key)
    found = f"{word} is not a flag"
    if not meant:
        return Problem(word, found, "keys are given as key=value; --help lists them")
    if not has_value and _is_switch(meant):
        value = "true"
    elif not has_value:
        plain = (one for one in following if not one.startswith("-") and "=" not in one)
        value = next(plain, "...")
    return Problem(word, found, f"did you mean {meant}={value}?")


def _meant(key: str) -> str | None:
    """The key that corresponds to a flag's name."""
    types = types_of(Config)
    if key in types:
        return key
    if named := keys_named(key):
        return named[0]
    if key in OTHERS_SAY:
        return OTHERS_SAY[key]
    return next(iter(keys_named(key, nearly=True)), None)


def _is_switch(key: str) -> bool:
    hint: object = Config
    for part in key.split("."):
        if not (isinstance(hint, type) and is_dataclass(hint)):
            return False
        if part not in {one.name for one in fields(hint)}:
            return False
        hint = types_of(hint)[part]
    return hint is bool
