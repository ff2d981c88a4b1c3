"""Secrets by their names, in every form that text and values can have."""

from __future__ import annotations

import random

import pytest
from fakes.trials import make_trial

from runner.host import secrets
from runner.host.secrets import (
    is_secret_name,
    know,
    know_command,
    redact,
    redacted_command,
    redacted_trial,
    redacted_values,
    sealed,
    unsealed,
)

NAMES = (
    *("password", "db_passwd", "pwd", "passphrase", "token", "hf_token", "secret", "api_key"),
    *("api-key", "X-Api-Key", "apiKey", "authorization", "access_key", "secret_access_key"),
    *("AWS_SECRET_ACCESS_KEY", "credential", "credentials", "auth", "private_key", "sig"),
    *("db_pass", "ssh-key", "pat", "github_pat", "cookies", "sessionid", "session_id", "tok"),
    *("secret.value", "GHTOKEN", "ZTOKEN", "tokens2", "model.kwargs.secret.value", "SSHKey"),
    *("AccountKey", "model.kwargs.token", "nightly.webhook", "Cookie", "token2"),
)
NONE = (
    *("author", "authors", "num_tokens", "token_dim", "tokenizer", "key", "keys", "signal"),
    *("token_mixer", "n_token", "cls_token", "passphrase_file", "forward_pass"),
    *("path", "pattern", "patch", "stoke", "token_mixer2", "max_tokens", "webhook_timeout"),
    *("sign", "compass", "passes", "secretary", "monkey", "turkey", "webhooked_", "design"),
)
VALUES = ("TER2x-9", "a/b@c:d", "p%40ss", "x=y==", "with spaces too", "käse#9")


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(secrets, "_known", set())


@pytest.mark.parametrize("name", NAMES)
def test_these_names_are_those_of_secrets(name):
    assert is_secret_name(name)
    assert redacted_values({name: "x"}) == {name: "***"}
    assert redacted_values({name: 17}) == {name: "***"}
    assert redacted_values({name: ["x", {"y": 1}]}) == {name: "***"}
    assert redacted_values({"of": [{name: {"user": "u"}}]}) == {"of": [{name: "***"}]}
    assert redacted_values({name: True}) == {name: True}
    assert redacted_values({name: None}) == {name: None}


@pytest.mark.parametrize("name", NONE)
def test_these_are_not(name):
    assert not is_secret_name(name)
    assert redact(f"{name}=3 {name}: x") == f"{name}=3 {name}: x"


FORMS = (
    "{name}={value}",
    "{name}: {value}",
    "before {name}='{value}' after",
    'before {name}="{value}" after',
    "{{'{name}': '{value}', 'x': 1}}",
    '{{"{name}":"{value}","x":1}}',
    "{name}=['{value}', 'b']",
    "{name}: {{user: u, word: '{value}'}} after",
    "--{name} '{value}'",
    "https://host/x?a=1&{name}={value}&b=2",
    "nightly={{{name}: '{value}', window: 3}}",
)


@pytest.mark.parametrize("form", FORMS)
def test_no_value_beside_a_secrets_name_is_shown_in_any_form_of_text(form):
    for name in NAMES:
        for value in VALUES:
            if ("?" in form or form.startswith("{name}")) and set(value) & set(" &"):
                continue  # of a value without quotes, only the quotes say where it ends
            shown = redact(form.format(name=name, value=value))
            assert value not in shown, shown
            assert "***" in shown


def test_text_around_a_secret_stays():
    assert redact("a token=x b") == "a token=*** b"
    assert redact("{token: x, width: 3}") == "{token: ***, width: 3}"
    assert redact("AccountKey=x==;Endpoint=y") == "AccountKey=***;Endpoint=y"
    assert redact("password: '''a'',b2'") == "password: ***"
    assert redact("token='' x='y', {'auth':'','b':'c'}") == "token=*** x='y', {'auth':***,'b':'c'}"
    assert redact("a=token=x") == "a=token=***"
    assert redact("vit pool=token: p50 3 ms") == "vit pool=token: p50 3 ms"
    assert redact("model.kwargs.auth.user=bob-1") == "model.kwargs.auth.user=***"
    assert redact("class_token=True, auth: null") == "class_token=True, auth: null"
    assert redact("Authorization: Bearer abcdefgh and") == "Authorization: *** and"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://bob:hun@TER2@host/x", "http://***@host/x"),
        ("postgresql+psycopg://u:a/b?c#d@h:5432/db", "postgresql+psycopg://***@h:5432/db"),
        ("https://token@host/x", "https://***@host/x"),
        ("https://:pw@host", "https://***@host"),
        ("no file https:/u:p@host/x.yaml", "no file https:/***@host/x.yaml"),
        ("see https://u:p@h/a, https://v:q@h/b", "see https://***@h/a, https://***@h/b"),
        ("https://github.com/org/repo@main", "https://github.com/org/repo@main"),
        ("http://127.0.0.1:5000/#/x", "http://127.0.0.1:5000/#/x"),
    ],
)
def test_the_credentials_of_an_address_go_up_to_its_last_at(address, shown):
    assert redact(address) == shown


def test_a_known_secret_is_blanked_wherever_it_stands(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "from-the-environment")
    monkeypatch.setenv("STORE", "postgresql://u:pass-in-uri@h/db")
    know({"token": ["first-secret", {"x": 123456789}, "one\nby-lines-2\n"], "name": "resnet18"})
    know_command(["nightly.webhook=https://hook/abcdef", "tracking.uri=http://u:in-a-word@h"])
    words = ["first-secret", "123456789", "from-the-environment", "pass-in-uri",
             "https://hook/abcdef", "in-a-word", "by-lines-2"]  # fmt: skip
    random.Random(1).shuffle(words)
    assert redact(" ".join(f"<{word}>" for word in words)) == " ".join(["<***>"] * 7)
    assert redact("resnet18") == "resnet18"
    monkeypatch.setenv("PGPASSWORD", "postgres")
    assert redact("postgresql://host/db as postgres") == "postgresql://host/db as ***"


def test_a_password_that_is_a_word_of_the_runners_own_blanks_no_record(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "simulated")
    monkeypatch.setenv("X_TOKEN", "resnet18")
    assert redact("simulated: resnet18 is fine") == "simulated: resnet18 is fine"
    assert redact("token=resnet18") == "token=***"


def test_the_folder_one_is_in_is_no_secret_and_a_long_text_takes_no_time(monkeypatch):
    monkeypatch.setenv("PWD", "/my/folder")
    assert redact("/my/folder/outputs") == "/my/folder/outputs"
    assert redact("x" * 5_000_000).endswith("xx")  # it took the square of the length


def test_a_command_keeps_what_is_no_secret():
    words = ["model=vgg11", "+nightly.webhook=https://h/x?a=1&b=2", "tracking.uri=http://h:5000",
             "tracking.uri=http://u:p@h:5000", "model.kwargs={width: 3, token: abc}"]  # fmt: skip
    assert redacted_command(words) == [
        *("model=vgg11", "+nightly.webhook=***", "tracking.uri=***"),
        *("tracking.uri=***", "model.kwargs={width: 3, token: ***}"),
    ]


def test_a_trial_on_a_disk_has_marks_for_its_secrets_and_gets_them_back():
    kwargs = {"token": "hunter2", "auth": ["u", {"pin": 1234}], "width": 7, "url": "http://u:p@h"}
    trial = make_trial(model={"kwargs": kwargs})
    shown, kept = sealed(trial)
    for secret in ("hunter2", "1234", "'u'", "u:p"):
        assert secret not in repr(shown)
    assert shown.model.kwargs["width"] == 7
    assert unsealed(shown, kept) == trial
    with pytest.raises(KeyError):
        unsealed(shown, {})
    plain = make_trial(model={"kwargs": {"width": 7}})
    assert sealed(plain) == (plain, {})
    assert redacted_trial(trial).model.kwargs == {
        "token": "***", "auth": "***", "width": 7, "url": "http://***@h",
    }  # fmt: skip
