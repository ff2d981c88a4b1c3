"""Ten secrets, planted in every door: nothing that is written, shown or sent holds one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.program import ROOT, run_in

pytestmark = pytest.mark.slow
SECRETS = {
    "uri": "Uri@Pass/Wd1",
    "webhook": "T0KEN-OF-HOOK",
    "token": "tok.en-Two22",
    "api-key": "api key of 33",
    "credentials": "cred_entials4",
    "pin": "555500055",
    "environment": "env-Secret-66",
    "bearer": "Bear77erAbc",
    "signature": "sig%2Fna88ture",
    "account": "AccOunt99Key==",
}
NETWORK = """
import os, torch

class Leaks(torch.nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.kwargs = kwargs
        print("made with", kwargs, os.environ["HF_TOKEN"])

    def forward(self, x):
        if self.kwargs.get("fails"):
            raise ValueError(f"refused: {self.kwargs['token']} {os.environ['HF_TOKEN']} "
                             f"{self.kwargs['auth']} Authorization: Bearer {self.kwargs['head']}")
        return x
"""
KWARGS = (
    "model.kwargs={{token: {token}, api-key: '{api-key}', auth: [u, {{pin: {pin}}}], "
    "credentials: {{user: u, is: '{credentials}'}}, head: x, fails: {fails}, "
    "url: 'https://h/x?sig={signature}&AccountKey={account}'}}"
)
URI = "tracking.uri='http://bob:{uri}@127.0.0.1:1/x'"
HOOK = "nightly.webhook='https://127.0.0.1:1/services/{webhook}?a=1,b=2'"


def words(*more: str, fails: bool = False) -> list[str]:
    kwargs = KWARGS.replace("head: x", "authorization: 'Bearer {bearer}', head: '{bearer}'")
    texts = ["model=custom", "model.target=leaks.Leaks", "input.size=8", kwargs, *more]
    return [text.format(**SECRETS, fails=str(fails).lower()) for text in texts]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "leaks.py").write_text(NETWORK)
    return tmp_path


def environment() -> dict[str, str]:
    return {
        "HF_TOKEN": SECRETS["environment"],
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "2",
    }


def leaks(folder: Path, *shown: str) -> list[str]:
    """Where a secret stands: in what was shown, or in any file below the folder."""
    found = [
        f"{name} in what was shown: ...{text[max(0, text.index(secret) - 60) :][:100]}"
        for text in shown
        for name, secret in SECRETS.items()
        if secret in text
    ]
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [
                f"{name} in {path.relative_to(folder)}"
                for name, secret in SECRETS.items()
                if secret.encode() in data
            ]
    return found


def test_a_sweep_leaves_no_secret_anywhere(folder):
    for fails in (False, True):
        for tracking in ("sqlite", "server"):
            ran = run_in(
                folder, *words(f"tracking={tracking}", URI if tracking == "server" else "seed=1",
                               HOOK, "timing.iterations=10,11", fails=fails),
                **environment(),
            )  # fmt: skip
            assert ran.code == (1 if fails else 0), ran.out + ran.err
            assert leaks(folder, ran.out, ran.err) == []
    logs = [path.read_text() for path in folder.glob("outputs/*/*/worker.log")]
    assert len(logs) == 8
    assert all("made with" in log for log in logs)


@pytest.mark.parametrize(
    "more",
    [
        ("dry_run=true",),
        ("--cfg", "job"),
        ("--help",),
        ("nosuch=1",),
        ("tracking.uri=[", ),
        ("device=cuda",),
        ("nightly.webhook=ftp://u:{uri}@h/{webhook}",),
        ("nightly.webhook=https://[::1/{webhook},{token}",),
        ("nightly={{webhook: https://h/{webhook}}}",),
        ("model.nope={token}",),
        ("+more.token={token}",),
        ("timing.method=Bearer-{token}",),
    ],
    ids=lambda more: more[0],
)  # fmt: skip
def test_no_answer_of_the_command_line_shows_a_secret(folder, more):
    hook = () if any("webhook" in word for word in more) else (HOOK,)
    uri = () if any("uri=[" in word for word in more) else (URI,)
    ran = run_in(folder, *words("tracking=server", *hook, *uri, *more), **environment())
    assert leaks(folder / "outputs", ran.out, ran.err) == []
    assert "Traceback" not in ran.err


def test_no_other_door_shows_a_secret(folder):
    ran = run_in(folder, *words("tracking=sqlite", "sweep.id=night", fails=True), **environment())
    assert ran.code == 1
    uri = f"http://bob:{SECRETS['uri']}@127.0.0.1:1"
    shown = []
    for door, *arguments in (
        ("publish", "night", "--tracking-uri", uri),
        ("doctor", "--tracking-uri", uri),
        ("compare", "a", "b", "--tracking-uri", uri),
        ("report", "night"),
        ("report", "latest", "--tracking-uri", uri),
        ("export", "night", "-o", "x.csv"),
        ("export", "night", "--tracking-uri", uri),
        ("reproduce", "night"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", f"runner.{door}", *arguments],
            cwd=folder, capture_output=True, text=True, check=False, timeout=120,
            env=os.environ | environment() | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        shown += [done.stdout, done.stderr]
    assert leaks(folder, *shown) == []


def test_a_night_shows_no_secret(folder):
    (folder / "mine" / "sweep").mkdir(parents=True)
    (folder / "mine/sweep/mine.yaml").write_text(
        "# @package _global_\nsweep: {name: mine}\ntiming: {iterations: 10}\n"
    )
    done = run_in(
        folder,
        *words("sweep=mine", "tracking=sqlite", HOOK, "--config-dir", "mine"),
        door="runner.nightly",
        **environment(),
    )
    assert done.code == 6, done.out + done.err
    assert "nightly.webhook was not reached" in done.out
    assert leaks(folder / "outputs", done.out, done.err) == []
