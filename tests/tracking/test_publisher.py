"""MLflow lost, regained and closed, on a store that a script takes away."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace

import pytest
from fakes.trials import make_trial, record_of

from runner.contract import TrackingUnavailable
from runner.records.record import Outcome
from runner.records.store import save
from runner.tracking import publisher, runs
from runner.tracking.catch_up import Target
from runner.tracking.publisher import RETRY_S, Publisher

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own; the subject here is ours


class Script:
    """A clock, and a store that is away while `away` says why."""

    def __init__(self, monkeypatch, folder) -> None:
        self.now_s, self.away, self.tries, self.told = 0.0, "", 0, []
        self._folder = folder
        monkeypatch.setattr(publisher, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        monkeypatch.setattr(publisher, "open_store", self._checked(publisher.open_store))
        monkeypatch.setattr(runs, "open_parent", self._checked(runs.open_parent))
        # after the run was created: what a server that dies in between leaves behind
        monkeypatch.setattr(runs, "metrics_of", self._checked(runs.metrics_of))

    def _checked(self, call):
        def checked(*arguments):
            self.tries += 1
            if self.away:
                raise TrackingUnavailable(self.away)
            return call(*arguments)

        return checked

    def publisher(self, trials: int = 3) -> Publisher:
        return Publisher(
            Target(None, "runner", self._folder),
            sweep_id="night", name=None, title="sizes", trials=trials, print_line=self.told.append,
        )  # fmt: skip

    def publish(self, to: Publisher, size: int) -> None:
        record = record_of(
            make_trial(input={"size": (size, size)}), Outcome("completed", latency_ms=(1.0, 2.0))
        )
        path = self._folder / "night" / str(size) / "record.json"
        path.parent.mkdir(parents=True)
        save(record, path)
        to.publish(record, path)

    def runs(self) -> list[tuple[str, str]]:
        with sqlite3.connect(self._folder / "mlflow.db") as database:
            return sorted(database.execute("SELECT name, status FROM runs"))


@pytest.fixture
def script(monkeypatch, tmp_path):
    return Script(monkeypatch, tmp_path)


EACH = [(f"resnet18 {size}px b1 w2 wall", "FINISHED") for size in (32, 48, 64)]


def test_a_store_that_comes_back_gets_each_record_once(script):
    to = script.publisher()
    to.open()
    script.publish(to, 32)
    script.away = "connection refused"
    script.publish(to, 48)  # its run is begun, and no more
    script.publish(to, 64)
    assert len(script.told) == 1
    assert "MLflow is unavailable (connection refused)" in script.told[0]
    script.away = ""
    to.close("FINISHED")
    assert script.runs() == [*EACH, ("sizes", "FINISHED")]
    assert not any("not there" in line for line in to.closing_lines(invalid=0))


def test_while_it_is_away_it_is_tried_now_and_then_only(script):
    to, script.away = script.publisher(), "connection refused"
    to.open()
    for size in (32, 48):
        script.publish(to, size)
    assert script.tries == 1
    script.now_s, script.away = RETRY_S + 1, ""
    script.publish(to, 64)
    assert script.runs()[:3] == EACH
    assert len(script.told) == 1


def test_what_could_not_be_sent_is_told_at_the_end(script):
    to = script.publisher()
    to.open()
    script.publish(to, 32)
    script.away = "disk full"
    script.publish(to, 48)
    to.close("FINISHED")
    first, *_ = to.closing_lines(invalid=0)
    assert first.startswith("MLflow    1 of 2 trials are not published (disk full)")


def test_a_single_trial_has_no_parent(script):
    to = script.publisher(trials=1)
    to.open()
    script.publish(to, 32)
    to.close("FINISHED")
    assert script.runs() == EACH[:1]


def test_invalid_trials_are_told_to_have_no_rank(script):
    to = script.publisher(trials=1)
    to.open()
    script.publish(to, 32)
    *_, last = to.closing_lines(invalid=2)
    assert "(2 invalid trials hidden by its filter)" in last
