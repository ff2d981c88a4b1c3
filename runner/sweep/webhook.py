"""What is posted to an address that the user has given, and why it could not be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from runner.host.patience import answer_of

POST_S = 10.0  # in all: neither a silent server nor one that trickles holds the night


def post(url: str, values: Mapping[str, Any], limit_s: float = POST_S) -> str | None:
    """Post `values` as JSON; why that could not be, in a line without the address, if so.

    A user and password in the address are sent as `Authorization`. A redirect is not followed, as
    a POST would arrive there without its body.
    """
    try:
        return answer_of(partial(_post, url, values), limit_s)
    except TimeoutError as error:
        return str(error)


def _post(url: str, values: Mapping[str, Any]) -> str | None:
    import requests

    try:
        body = json.dumps(values).encode()
        sent = {"Content-Type": "application/json"}
        # the answer's body is not read
        reply = requests.post(
            url, body, headers=sent, timeout=POST_S, allow_redirects=False, stream=True
        )
        reply.close()
    except Exception as error:  # not only its own: urllib3's and those of parsing URLs, too
        return _cause(error)
    if reply.is_redirect:
        return f"it sends elsewhere ({reply.status_code}), which is not followed: give that address"
    return None if reply.ok else f"it answered {reply.status_code} {reply.reason}".strip()


def _cause(error: BaseException) -> str:
    """The innermost error, as the outer ones name the address, which is a secret itself."""
    while (inner := getattr(error, "reason", None) or error.__cause__ or error.__context__) and (
        isinstance(inner, BaseException)
    ):
        error = inner
    words = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
