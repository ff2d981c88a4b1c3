"""A webhook in every bad state: told in one line without its secrets, and never waited for."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time

import pytest

from runner.sweep.webhook import post

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def server():
    """Answers one request so; gives its address, and what it was sent."""
    got: dict[str, bytes] = {}
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer(reply, pause_s=0.0):
            def serve():
                connection, _ = listening.accept()
                with connection:
                    head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                    while len(body) < length:
                        body += connection.recv(65536)
                    got.update(head=head, body=body)
                    for part in [reply] if not pause_s else [reply[n : n + 1] for n in range(99)]:
                        try:
                            connection.sendall(part)
                        except OSError:
                            return
                        time.sleep(pause_s)

            threading.Thread(target=serve, daemon=True).start()
            return f"127.0.0.1:{listening.getsockname()[1]}", got

        yield answer


def test_it_gets_json_and_the_credentials_of_its_address(server):
    host, got = server(OK)
    assert post(f"http://user:p%40ss@{host}/hook", {"text": "passed"}) is None
    assert json.loads(got["body"]) == {"text": "passed"}
    expected = base64.b64encode(b"user:p@ss")
    assert b"authorization: basic " + expected.lower() in got["head"].lower()


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "it answered 404 Not Found"),
        (b"HTTP/1.1 500 \r\n\r\n", "it answered 500"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/hunter2\r\n\r\n",
            "it redirects (302), which is not followed; give the final address",
        ),
        (b"\x00\xff garbage\r\n\r\n", "BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10**6 + b"\r\n\r\n", "LineTooLong"),
        (b"", "RemoteDisconnected"),
    ],
)
def test_what_it_answers_is_told_in_a_line(server, reply, why):
    host, _ = server(reply)
    assert post(f"http://{host}/hunter2", {}) == why


def test_one_that_trickles_is_not_waited_for(server):
    host, _ = server(OK, pause_s=0.3)
    began = time.monotonic()
    assert post(f"http://{host}/hunter2", {}, limit_s=0.7) == "no answer within 0.7 s"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@127.0.0.1:9/hunter2", "http://user:hunter2@host:port/x",
        "http://[::1/hunter2", "http://user:hunter2@/x", "http://nowhere.invalid/hunter2",
        "http://\x00hunter2/", "http://127.0.0.1:99999/hunter2", "https://127.0.0.1:9/hunter2",
    ],
)  # fmt: skip
def test_an_address_that_does_not_work_is_told_without_its_secrets(url):
    why = post(url, {})
    assert why
    assert "hunter2" not in why
    assert "\n" not in why
