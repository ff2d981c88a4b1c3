"""Redaction of secrets in everything that is written, shown or sent.

A value is secret by its name, or because this process knows it: the values of environment
variables with such names, and those registered by `know`. The environment is never copied.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from runner.contract import CONF
from runner.trial.description import Model, Trial

HIDDEN = "***"
SECRET_WORDS = frozenset(
    (
        *("password", "passwords", "passwd", "pwd", "passphrase", "passcode", "secret", "secrets"),
        *("tok", "pat", "tokens", "authorization", "auth", "bearer", "credential", "credentials"),
        *("cred", "creds", "sig", "webhook", "cookie", "cookies", "jwt", "sessionid"),
        *("apikey", "accesskey", "secretkey", "privatekey", "accountkey", "sshkey"),
    )
)
ENDINGS = ("password", "passwd", "passphrase", "secret", "token")  # as in PGPASSWORD
BEFORE = {  # words that are secret only after one of these
    "key": frozenset(
        (
            *("api", "access", "account", "private", "secret", "auth", "signing", "encryption"),
            *("shared", "storage", "license", "ssh", "ssl", "tls", "pem", "rsa", "gpg", "deploy"),
            *("master", "service", "session", "sas"),
        )
    ),
    "pass": frozenset(
        (
            *("db", "user", "my", "root", "admin", "smtp", "mail", "ftp", "http", "proxy", "ssh"),
            *("pg", "mysql", "redis", "git", "registry", "login", "sudo", "wifi", "key"),
        )
    ),
    "id": frozenset(("session",)),
}
OF_NETWORKS = frozenset(  # before `token`: a token of a transformer, as in cls_token
    (
        *("cls", "class", "mask", "dist", "distill", "reg", "register", "pad", "bos", "eos", "sep"),
        *("prefix", "patch", "image", "img", "visual", "vision", "text", "query", "per", "pos"),
        *("n", "num", "max", "min", "no", "extra", "global", "learnable"),
    )
)
NO_SECRETS = frozenset(  # after a secret's word: a property, as in token_dim or token_file
    (
        *("dim", "dims", "size", "len", "length", "count", "num", "ratio", "rate", "prob", "type"),
        *("mixer", "mixing", "pool", "pooling", "merge", "merging", "embed", "embedding", "drop"),
        *("dropout", "layer", "layers", "norm", "mlp", "grid", "stride", "kernel", "label"),
        *("file", "path", "dir", "folder", "name", "timeout", "ttl", "expiry"),
    )
)
VALUE_WORDS = frozenset(("value", "val", "text", "string", "data", "plain"))  # as in secret.value
OF_COMMAND = frozenset(("simulated", "outputs", "runner", "python", "localhost", "cpu", "cuda"))
FOLDERS = ("PWD", "OLDPWD")  # variables of the shell, not passwords
SHORTEST = 6  # characters of a value that is redacted everywhere: shorter ones occur in words
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NAMED = re.compile(  # name = value, name: value, "name": value, --name value
    r"(?<![\w.-])(?P<name>[A-Za-z_][\w.-]{0,200})['\"]?\s*[=:]\s*(?=\S)"
    r"|(?<!\S)--(?P<flag>[\w.-]{1,200})\s+(?=[^\s-])"
)
_CREDENTIALS = re.compile(  # up to the last @; a path makes one slash of two
    r"(?<=://)(?:[^/\s@:'\"]*:[^\s'\"]*|[^/\s'\"]*)@|(?<=\w:/)[^/\s@:'\"]*:[^\s'\"]*@"
)
_BEARER = re.compile(r"\b(bearer\s+)\S{6,}", re.I)
_VALUE = re.compile(r"[^\s&,;}\])'\"]+")
_VALUES = {  # special forms, by a word in the name
    "webhook": re.compile(r"[^\s'\"}]+"),  # an address, which may contain `&` and `,`
    "authorization": re.compile(r"(?:(?:basic|bearer|digest|token)\s+)?[^\s'\"]+", re.I),
}
_QUOTED = {  # YAML doubles a quote inside
    mark: re.compile(rf"(?:[^{mark}\\]|\\.|{mark}{mark})*{mark}") for mark in "'\""
}
PLAIN = ("true", "false", "null", "none")  # booleans and nulls are not secret
_SCHEME = re.compile(r"(?:basic|bearer|digest|token)\s+(\S+)", re.I)
_BARE = re.compile(r"(?m)^([ -]*(?:[\w.-]+: )?)\*{3}$")
_CLOSING = {"[": "]", "{": "}", "(": ")"}
_known: set[str] = set()


def is_secret_name(name: str) -> bool:
    """Whether a name denotes a secret: `hf_token`, `x-api-key`, `AccountKey`."""
    above, _, last = name.rpartition(".")
    if last.lower() in VALUE_WORDS and above:
        last = above.rpartition(".")[2]
    words = [word.lower() for word in _WORD.findall(last) if not word.isdigit()]
    if not words or words[-1] in NO_SECRETS:
        return False
    return any(
        ((word in SECRET_WORDS or word.endswith(ENDINGS)) and before not in OF_NETWORKS)
        or before in BEFORE.get(word, ())
        for before, word in zip(["", *words], words, strict=False)
    )


def _is_secret_key(key: str) -> bool:
    """Whether a dotted key is secret, or lies below a secret key."""
    *above, last = key.split(".")
    return is_secret_name(last) or any(map(is_secret_name, above))


def know(values: Any) -> None:
    """Redact all texts and numbers under secret names in `values` from now on.

    `values` are nested dictionaries and lists.
    """
    for secret in _secrets_in(values):
        scheme = _SCHEME.fullmatch(secret)
        parts = [secret, *secret.splitlines(), *([scheme[1]] if scheme else [])]
        _known.update(part for part in map(str.strip, parts) if len(part) >= SHORTEST)


def know_command(words: Sequence[str]) -> None:
    """The same for the overrides of a command line."""
    for word in words:
        name, _, value = word.lstrip("+").partition("=")
        if _is_secret_key(name) and len(value) >= SHORTEST:
            _known.add(value.strip("'\""))
        _known.update(_passwords_in(word))


def known_secrets() -> list[str]:
    """All values that are redacted wherever they occur, the longest first."""
    found = set(_known)
    for name, value in os.environ.items():
        if is_secret_name(name) and len(value) >= SHORTEST and name not in FOLDERS:
            found.add(value)
        if "://" in value:
            found.update(_passwords_in(value))
    return sorted(found, key=len, reverse=True)


def without_known(text: str) -> str:
    """`text` with known secrets redacted where they are whole words.

    A password `postgres` leaves `postgresql://host` alone.
    """
    for secret in known_secrets():
        if secret in text and secret not in _own_words():
            text = re.sub(rf"(?<![^\W_]){re.escape(secret)}(?![^\W_])", HIDDEN, text)
    return text


@cache
def _own_words() -> frozenset[str]:
    """Values of runner's own settings: redacting them would damage records and hide nothing."""
    return OF_COMMAND | {path.stem for path in CONF.glob("*/*.yaml")}


def _passwords_in(text: str) -> Iterator[str]:
    """Credentials in the addresses of a text."""
    for found in _CREDENTIALS.finditer(text):
        password = found[0].rstrip("@").partition(":")[2]
        if len(password) >= SHORTEST:
            yield password


def redact(text: str) -> str:
    """`text` without secrets: known values, credentials in URLs, values beside secret names."""
    text = without_known(text)
    text = _BEARER.sub(rf"\1{HIDDEN}", _CREDENTIALS.sub(f"{HIDDEN}@", text))
    parts, done = [], 0
    for begin, end in _named_values(text):
        parts += [text[done:begin], HIDDEN]
        done = end
    return "".join([*parts, text[done:]])


def _named_values(text: str) -> Iterator[tuple[int, int]]:
    """The spans of values beside secret names in a text."""
    done = 0
    for found in _NAMED.finditer(text):
        name, begin = found["name"] or found["flag"], found.end()
        assigned = found[0].rstrip().endswith("=")
        if not assigned and text[found.start() - 1 : found.start()] == "=":
            continue  # `pool=token: 3 ms`: a value with a comment
        if begin < done or not (_is_secret_key if assigned else is_secret_name)(name):
            continue
        end = _end_of(text, begin, name.lower())
        if text[begin:end].lower() not in PLAIN:
            yield begin, end
            done = end


def _end_of(text: str, begin: int, name: str) -> int:
    """Where a value ends: at its quote, its bracket, or the next separator."""
    first = text[begin]
    if first in "'\"":
        end = _QUOTED[first].match(text, begin + 1)
        return end.end() if end else len(text)
    if first in _CLOSING:
        return _after_brackets(text, begin)
    kind = next((kind for word, kind in _VALUES.items() if word in name), _VALUE)
    found = kind.match(text, begin)
    return found.end() if found else begin + 1


def _after_brackets(text: str, begin: int) -> int:
    open_ = [_CLOSING[text[begin]]]
    for place in range(begin + 1, len(text)):
        if text[place] in _CLOSING:
            open_.append(_CLOSING[text[place]])
        elif text[place] == open_[-1]:
            open_.pop()
            if not open_:
                return place + 1
    return len(text)


def redacted_yaml(text: str) -> str:
    """A configuration in YAML without its secrets."""
    block: list[
        tuple[int, bool]
    ] = []  # indentation of each enclosing key, and whether it is secret
    lines = []
    for line in text.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(" -"))
        while block and block[-1][0] >= indent:
            block.pop()
        key = re.match(r"[ -]*([\w.-]+):", line)
        secret = any(one for _, one in block)
        if key:
            block.append((indent, is_secret_name(key[1])))
        if secret and line.strip(" -\n"):
            begin = key.end() if key else indent
            lines.append(f"{line[:begin]} {HIDDEN}\n" if key else f"{line[:indent]}{HIDDEN}\n")
        else:
            lines.append(line)
    return _BARE.sub(rf"\1'{HIDDEN}'", redact("".join(lines)))  # a bare * begins an alias


def redacted_values(values: Any) -> Any:
    """Nested dictionaries and lists without secrets; booleans and nulls are kept."""
    if isinstance(values, dict):
        return {
            redact(name) if isinstance(name, str) else name: HIDDEN
            if is_secret_name(str(name)) and _can_be_secret(value)
            else redacted_values(value)
            for name, value in values.items()
        }
    if isinstance(values, (list, tuple)):
        return [redacted_values(value) for value in values]
    return redact(values) if isinstance(values, str) else values


def _can_be_secret(value: Any) -> bool:
    return not (value is None or isinstance(value, bool) or value in ("", [], {}))


def _secrets_in(values: Any, is_secret: bool = False) -> Iterator[str]:
    """All values under secret names in nested values, as texts."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            yield from _secrets_in(value, is_secret or is_secret_name(str(name)))
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _secrets_in(value, is_secret)
    elif is_secret and _can_be_secret(values):
        yield str(values)
    elif isinstance(values, str):  # an address, say
        yield from (values[begin:end].strip("'\"") for begin, end in _named_values(values))
        yield from _passwords_in(values)


def redacted_trial(trial: Trial) -> Trial:
    """The trial as it may be shown and stored: secrets in its model's arguments redacted."""
    model = Model(**redacted_values(vars(trial.model)))
    return trial if model == trial.model else replace(trial, model=model)


def sealed(trial: Trial) -> tuple[Trial, dict[str, Any]]:
    """The trial with a placeholder for each secret, and the secrets by placeholder.

    For files on disk, while the secrets travel another way.
    """
    secrets: dict[str, Any] = {}
    model = Model(**_marked(vars(trial.model), secrets))
    return replace(trial, model=model), secrets


def _marked(values: Any, secrets: dict[str, Any], is_secret: bool = False) -> Any:
    if isinstance(values, dict):
        return {
            name: _marked(value, secrets, is_secret or is_secret_name(str(name)))
            for name, value in values.items()
        }
    if isinstance(values, list):
        return [_marked(value, secrets, is_secret) for value in values]
    if isinstance(values, str) and not is_secret and redact(values) != values:
        is_secret = True
    if not (is_secret and _can_be_secret(values)):
        return values
    mark = f"{HIDDEN}{hashlib.sha256(repr(values).encode()).hexdigest()[:16]}"
    secrets[mark] = values
    return mark


def unsealed(trial: Trial, secrets: Mapping[str, Any]) -> Trial:
    """The trial with its secrets restored. Raises KeyError for a missing one."""
    return replace(trial, model=Model(**_unmarked(vars(trial.model), secrets)))


def _unmarked(values: Any, secrets: Mapping[str, Any]) -> Any:
    if isinstance(values, dict):
        return {name: _unmarked(value, secrets) for name, value in values.items()}
    if isinstance(values, list):
        return [_unmarked(value, secrets) for value in values]
    is_mark = isinstance(values, str) and re.fullmatch(r"\*{3}[0-9a-f]{16}", values)
    return secrets[values] if is_mark else values


def redacted_command(command: Sequence[str]) -> list[str]:
    """A command line without secrets and addresses of stores."""
    return [_redacted_word(word) for word in command]


def _redacted_word(word: str) -> str:
    name, sep, value = word.partition("=")
    if sep and value and (_is_secret_key(name) or name.endswith("uri")):
        return f"{name}={HIDDEN}"
    return redact(word)
