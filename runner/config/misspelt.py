"""Command lines as other tools take them: what they mean here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields, is_dataclass

from runner.config.explain import OTHERS_SAY, keys_named
from runner.config.schema import Config, types_of
from runner.contract import Problem


def misspelt(words: Sequence[str], flags: Collection[str]) -> Iterator[Problem]:
    """What is no word of Hydra's, with the words that were meant; `flags` are those it knows."""
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
    """The place of the last word of a list that was typed with blanks."""
    while place + 1 < len(words) and words[place].endswith(",") and "=" not in words[place + 1]:
        place += 1
    return place


def _flag(word: str, following: Sequence[str]) -> Problem:
    """A flag that is none; most tools have flags where here is a key."""
    name, has_value, value = word.lstrip("-").partition("=")
    key = name.replace("-", "_")
    meant = _meant(key)
    found = f"{word} is no flag"
    if not meant:
        return Problem(word, found, "keys are given as key=value; --help lists them")
    if not has_value and _is_switch(meant):
        value = "true"
    elif not has_value:
        plain = (one for one in following if not one.startswith("-") and "=" not in one)
        value = next(plain, "...")
    return Problem(word, found, f"did you mean {meant}={value}?")


def _meant(key: str) -> str | None:
    """The key of the command line that a flag's name stands for."""
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
