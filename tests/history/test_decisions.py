"""The file of decisions: what stands in it, what is refused, and that it is only added to."""

from __future__ import annotations

import pytest

from runner.contract import Undecided
from runner.history.decisions import append, fingerprint, read, still_holds


def test_entries_are_added_at_the_end(tmp_path):
    path = tmp_path / "new" / "accepted.yaml"
    append(path, {"accept": "a", "since": "nightly-2026-11-20", "reason": "larger: head"})
    then = fingerprint(path.read_text())
    append(path, {"flag": "nightly-2026-11-21", "reason": "hot"})
    found = read(path)
    assert [dict(entry) for entry in found.entries] == [
        {"accept": "a", "since": "nightly-2026-11-20", "reason": "larger: head"},
        {"flag": "nightly-2026-11-21", "reason": "hot"},
    ]
    assert found.flagged == {"nightly-2026-11-21": "hot"}
    assert still_holds(found.text, then)
    assert not still_holds(found.text.replace("larger", "other"), then)
    assert not still_holds("", then)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("accept: a", "is not a list"),
        ("- [", "can't be read"),
        ("- accepted: a", "expected one of accept"),
        ("- {accept: a, reason: r}", "entry 1 of .* lacks since"),
        ("- {flag: n}", "lacks reason"),
        ("- {flag: n, reason: r, until: x}", "has until"),
        ("- {flag: n, retire: t, reason: r}", "expected one of"),
    ],
)
def test_what_says_nothing_is_refused(tmp_path, text, told):
    (tmp_path / "d.yaml").write_text(text)
    with pytest.raises(Undecided, match=told):
        read(tmp_path / "d.yaml")


def test_without_a_file_nothing_is_decided(tmp_path):
    assert read(tmp_path / "d.yaml").entries == ()
