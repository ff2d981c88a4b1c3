"""python -m runner.nightly by nights on disk: what is judged, told and decided, without a sweep."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from xml.etree import ElementTree

import numpy as np
import pytest
from fakes.trials import make_trial, timed, write_sweep

from runner import nightly
from runner.records.locks import locked

MODELS_MS = {"resnet18": 10.0, "resnet34": 20.0, "resnet50": 30.0}


def write_night(
    output_dir, day, medians_ms=MODELS_MS, processes=3, planned=(), tracking="off", **host
):
    """A night of November with small noise, as the program leaves it."""
    random = np.random.default_rng(day)
    began = datetime(2026, 11, day, 2, tzinfo=UTC)
    records = []
    for repeat in range(processes):
        for at, (name, ms) in enumerate(medians_ms.items()):
            trial = make_trial(model={"name": name}, repeat=repeat)
            ms = ms * float(np.exp(random.normal(0, 0.004)))
            at = began + timedelta(seconds=100 * repeat + 10 * at)
            record = timed(trial, ms, host={"torch": "2.14.1", **host})
            times = at.isoformat(), (at + timedelta(seconds=5)).isoformat()
            records.append(replace(record, started_at=times[0], ended_at=times[1]))
    trials = [make_trial(model={"name": name}) for name in planned]
    return write_sweep(output_dir, f"nightly-2026-11-{day:02d}", records, trials, tracking)


@pytest.fixture
def nights(tmp_path, monkeypatch):
    """Five nights in outputs/, in the folder that is worked in."""
    monkeypatch.chdir(tmp_path)
    for day in range(1, 6):
        write_night(tmp_path / "outputs", day)
    return tmp_path / "outputs"


def judge(day, *words):
    return nightly.main(["--judge", "--night", f"2026-11-{day:02d}", "tracking=off", *words])


def said(nights, day):
    return json.loads((nights / f"nightly-2026-11-{day:02d}" / "gate.json").read_text())


def verdicts(nights, day):
    return {one["title"].split()[0]: one["verdict"] for one in said(nights, day)["trials"]}


def test_an_unchanged_night_passes_and_is_told_everywhere(nights, capsys):
    folder = write_night(nights, 6)
    assert judge(6) == 0
    out = capsys.readouterr().out
    assert "nightly-2026-11-06 on here: 3 passed" in out
    assert "compared with the 5 nights before it" in out
    values = said(nights, 6)
    assert (values["version"], values["exit_code"], values["counts"]) == (1, 0, {"pass": 3})
    assert (folder / "night.html").exists()
    assert (folder / "night.md").read_text().startswith("# nightly-2026-11-06 on here: 3 passed")
    assert "all nights" in (nights / "nightly.html").read_text()


def test_a_slowdown_is_a_regression_with_its_date_cause_and_command(nights, capsys):
    folder = write_night(nights, 6, MODELS_MS | {"resnet34": 23.0}, torch="2.15.0")
    assert judge(6) == 3
    assert verdicts(nights, 6) == {"resnet34": "regression", "resnet18": "pass", "resnet50": "pass"}
    out = capsys.readouterr().out
    assert "1 regression (resnet34 64px b1 w2 wall +" in out
    assert "began nightly-2026-11-06, last good nightly-2026-11-05; torch: 2.14.1 -> 2.15.0" in out
    key = make_trial(model={"name": "resnet34"}).key
    assert f"python -m runner.reproduce outputs/nightly-2026-11-06/{key}" in out
    suite = ElementTree.parse(folder / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "0")
    (case,) = (one for one in suite if one.find("failure") is not None)
    assert case.get("name") == "resnet34 64px b1 w2 wall"
    (trial,) = (one for one in said(nights, 6)["trials"] if one["verdict"] == "regression")
    assert trial["ratio"] == pytest.approx(1.15, abs=0.02)
    assert trial["onset"]["first"] == "nightly-2026-11-06"


def test_an_upgrade_of_torch_is_told_and_splits_nothing(nights, capsys):
    write_night(nights, 6, torch="2.15.0")
    assert judge(6) == 0
    assert "changed since the night before: torch: 2.14.1 -> 2.15.0" in capsys.readouterr().out


def test_trials_that_come_go_and_change_their_name(nights, capsys):
    renamed = {"resnet18": 10.0, "resnet50": 30.0, "vgg11": 20.0}
    write_night(nights, 6, renamed)
    assert judge(6) == 4
    assert verdicts(nights, 6) == {
        "resnet34": "missing", "vgg11": "no_baseline", "resnet18": "pass", "resnet50": "pass",
    }  # fmt: skip
    options = ("--alias", "vgg11 64px b1 w2 wall", "--of", "resnet34 64px b1 w2 wall")
    assert nightly.main([*options, "--reason", "it is called so now"]) == 0
    assert judge(6) == 0
    assert verdicts(nights, 6) == dict.fromkeys(renamed, "pass")
    write_night(nights, 7, {"resnet18": 10.0, "vgg11": 20.0})
    assert judge(7) == 4
    capsys.readouterr()
    assert nightly.main(["--retire", "resnet50 64px b1 w2 wall", "--reason", "old"]) == 0
    assert "nightly.yaml: retire: resnet50" in capsys.readouterr().out
    assert judge(7) == 0


def test_a_regression_stays_red_until_it_is_accepted(nights):
    slow = MODELS_MS | {"resnet34": 23.0}
    for day in (6, 7):
        write_night(nights, day, slow)
        assert judge(day) == 3
        (red,) = (one for one in said(nights, day)["trials"] if one["verdict"] == "regression")
        assert red["first_seen"] == "nightly-2026-11-06"
    assert (
        nightly.main(
            [
                "--accept",
                "resnet34 64px b1 w2 wall",
                "--since",
                "nightly-2026-11-06",
                "--reason",
                "r",
            ]
        )
        == 0
    )
    write_night(nights, 8, slow)
    assert judge(8) == 0


def test_to_judge_without_a_date_takes_the_last_night(nights, capsys):
    assert nightly.main(["--judge", "tracking=off"]) == 0
    assert "nightly-2026-11-05 on " in capsys.readouterr().out


def test_a_history_that_is_away_is_no_reason_to_tell_nothing(nights, capsys):
    assert judge(5, "nightly.history=mlflow") == 6
    out = capsys.readouterr().out
    assert "3 new" in out
    assert "no history: nightly.history=mlflow, but tracking is off" in out


def test_a_gap_of_three_nights_changes_nothing(nights):
    write_night(nights, 9)
    assert judge(9) == 0
    assert len(said(nights, 9)["health"]["nights"]) == 5


def test_the_first_night_has_no_baseline(nights):
    assert judge(1) == 6
    assert set(verdicts(nights, 1).values()) == {"no_baseline"}


def test_a_first_night_of_which_a_number_is_invalid_has_no_baseline_either(nights):
    flagged = [{"flag": f"nightly-2026-11-0{day}", "reason": "hot"} for day in range(1, 6)]
    (nights.parent / "nightly.yaml").write_text(json.dumps(flagged))  # which is YAML, too
    folder = write_night(nights, 6)
    for path in folder.glob("*/record.json"):
        values = json.loads(path.read_text())
        if values["title"].startswith("resnet18"):
            values |= {
                "verdict": "invalid",
                "reasons": [{"code": "X", "level": "invalid", "found": "x"}],
            }
        path.write_text(json.dumps(values))
    assert judge(6) == 6
    assert verdicts(nights, 6)["resnet18"] == "inconclusive"


def test_noise_is_undecided_beyond_the_allowed_share(nights):
    for day in range(1, 7):
        noisy = {name: ms * (1 + 0.1 * (day % 3)) for name, ms in MODELS_MS.items()}
        write_night(nights, day, noisy)
    assert judge(6) == 5
    assert judge(6, "nightly.allow_inconclusive=1") == 0


def test_a_planned_trial_without_a_record_is_missing(nights):
    write_night(nights, 6, planned=["vgg11"])
    assert judge(6) == 4
    assert verdicts(nights, 6)["vgg11"] == "missing"


def test_a_flagged_night_and_an_edited_file_are_told(nights, capsys):
    assert nightly.main(["--flag", "nightly-2026-11-03", "--reason", "hot"]) == 0
    write_night(nights, 6)
    assert judge(6) == 0
    assert "nightly-2026-11-03 is not used: hot" in capsys.readouterr().out
    (nights.parent / "nightly.yaml").write_text("- {flag: nightly-2026-11-02, reason: other}\n")
    write_night(nights, 7)
    assert judge(7) == 0
    assert "nightly.yaml was edited since nightly-2026-11-06" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--judge", "--night", "yesterday"], "--night is yesterday; expected a date"),
        (["--night", "2026-13-01"], "--night is 2026-13-01; expected a date"),
        (["--judge", "output_dir=empty"], "there is no night in empty"),
        (
            ["--judge", "--night", "2026-01-01", "tracking=off"],
            "there is no night nightly-2026-01-01",
        ),
        (["sweep.id=mine"], "a night is identified by its date"),
        (["nightly.window=0"], "nightly.window is 0"),
        (["nightly.webhook=mail"], "nightly.webhook is not an http"),
        (["sweep=nightlyy"], "nightlyy"),
        (["--accept", "a", "--since", "n"], "lacks reason"),
        (["nightly.accept=bad.yaml"], "bad.yaml is not a list"),
        (["output_dir=bad.yaml/outputs"], "output_dir is bad.yaml/outputs: Not a directory"),
    ],
)
def test_bad_commands_are_told_and_run_nothing(nights, capsys, arguments, told):
    (nights.parent / "bad.yaml").write_text("accept: a\n")
    assert nightly.main(arguments) == 2
    assert told in capsys.readouterr().err


def test_a_night_that_overlaps_says_so_and_has_a_code_of_its_own(nights, capsys):
    with locked(nights / ".nightly.lock", "nightly-2026-11-05"):
        assert nightly.main(["--night", "2026-11-06"]) == 7
    out = capsys.readouterr().out
    assert "nightly-2026-11-06 on " in out.splitlines()[0]
    assert "not started: nightly-2026-11-05 (pid " in out


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted = json.loads(body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments):
        pass


def test_the_result_is_posted_and_a_dead_hook_costs_nothing(nights, capsys):
    write_night(nights, 6)
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.handle_request).start()
        url = f"http://127.0.0.1:{server.server_port}/hook"
        assert judge(6, f"nightly.webhook={url}") == 0
    assert server.posted["text"] == "nightly-2026-11-06 on here: 3 passed"
    assert server.posted["counts"] == {"pass": 3}
    assert judge(6, f"nightly.webhook={url}") == 0
    assert "nightly.webhook was not reached" in capsys.readouterr().out


def test_help_lists_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as end:
        nightly.main(["--help"])
    assert end.value.code == 0
    assert "exit codes: 0 passed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--flag", "nightly-2026-11-99"], "--flag is nightly-2026-11-99, which is not a night"),
        (["--baseline", "release 1.2"], "--baseline is release 1.2, which is not a night"),
        (["--accept", "resnet19 64px b1 w2 wall"], "expected one such as resnet18 64px b1 w2 wall"),
        (["--accept", "*", "--since", "n"], "--since is n, which is not a night"),
        (["--retire", "x"], "--retire is x, which is not a trial of a night"),
        (["--alias", "new", "--of", "old"], "--of is old, which is not a trial of a night"),
    ],
)
def test_a_decision_about_what_nobody_knows_is_refused(nights, capsys, words, told):
    assert nightly.main([*words, "--reason", "hot"]) == 2
    assert told in capsys.readouterr().err
    assert not (nights.parent / "nightly.yaml").exists()


def test_a_decision_about_what_is_known_is_written_down(nights, capsys):
    title = "resnet18 64px b1 w2 wall"
    for words in (
        ["--accept", title],
        ["--accept", "*", "--since", "nightly-2026-11-03"],
        ["--retire", make_trial().key],
        ["--alias", "new", "--of", title],
        ["--baseline", "nightly-2026-11-02"],
    ):
        assert nightly.main([*words, "--reason", "why not"]) == 0, capsys.readouterr().err
    assert (nights.parent / "nightly.yaml").read_text().count("reason") == 5


def test_nights_of_a_sweep_without_a_name_are_refused(nights, capsys):
    """They would be called nightly-..., as those of conf/sweep/nightly.yaml are."""
    (nights.parent / "mine" / "sweep").mkdir(parents=True)
    (nights.parent / "mine/sweep/mine.yaml").write_text("# @package _global_\nseed: 1\n")
    assert nightly.main(["sweep=mine", "--config-dir", "mine", "--judge"]) == 2
    assert "this sweep has no sweep.name, from which its nights" in capsys.readouterr().err
