"""Posts a result to an address of the user."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from runner.host.patience import answer_of

POST_S = 10.0  # in all: neither a silent server nor one that trickles holds the night


def post(url: str, values: Mapping[str, Any], limit_s: float = POST_S) -> str | None:
    """Post `values` as JSON; the reason if that failed, in a line without the address.

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
        # the body of the answer is not read
        reply = requests.post(
            url, body, headers=sent, timeout=POST_S, allow_redirects=False, stream=True
        )
        reply.close()
    except Exception as error:  # not only requests' own: also urllib3's and those of parsing URLs
        return _cause(error)
    if reply.is_redirect:
        return f"it redirects ({reply.status_code}), which is not followed; give the final address"
    return None if reply.ok else f"it answered {reply.status_code} {reply.reason}".strip()


def _cause(error: BaseException) -> str:
    """The innermost error; the outer ones contain the address, which is itself a secret."""
    while (inner := getattr(error, "reason", None) or error.__cause__ or error.__context__) and (
        isinstance(inner, BaseException)
    ):
        error = inner
    words = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
