"""Locks of a sweep, of a device and of a store, which the kernel lets go when their holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from runner.contract import Held, Unreadable
from runner.records.reading import checked, read_values
from runner.records.record import utc_now

SHARED = ("/run/lock", "/var/lock", "/tmp")  # TMPDIR may differ between users and sessions
LOCK_DIR = "RUNNER_LOCK_DIR"  # names another one, for containers that share a machine


def shared_folder() -> Path:
    """The folder whose locks all processes of this machine see, whoever runs them.

    It is chosen by its type and mode and not by this process's rights, so that all processes choose
    the same.
    """
    if given := os.environ.get(LOCK_DIR):
        return Path(given)
    for name in SHARED:
        with suppress(OSError):
            status = os.stat(name)
            if stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) & 0o1777 == 0o1777:
                return Path(name).resolve()
    return Path(tempfile.gettempdir())


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: for what, from which process, and since when (UTC)."""

    what: str
    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"{self.what} (pid {self.pid} on {self.host}, since {self.since})"


@contextmanager
def locked(path: Path, what: str, waits: Callable[[str], object] | None = None) -> Iterator[None]:
    """Hold the lock at `path` for `what`.

    While another process does, wait after telling `waits` who it is; without `waits` raise Held.
    Raises OSError where there can be no such file.
    """
    # one in a folder for all may be another user's, which can be locked but not written
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with suppress(PermissionError):
            os.fchmod(file, 0o644)  # whatever the umask: others need to read who holds it
    except PermissionError:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(path)
            if waits is None:
                raise Held(holder) from None
            waits(holder)
            fcntl.flock(file, fcntl.LOCK_EX)
        _write_down(path, what)
        yield
    finally:
        os.close(file)  # lets go; the file stays, as its removal could let two in


def holder_of(path: Path) -> str | None:
    """Who holds the lock now; None if nobody does."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(path)
    finally:
        os.close(file)
    return None


def _write_down(path: Path, what: str) -> None:
    """Say who holds the lock, where that can be written."""
    holder = Holder(what, socket.gethostname(), os.getpid(), utc_now())
    try:
        path.write_text(json.dumps(asdict(holder)), encoding="utf-8")
    except OSError:  # another user's file, or a full disk: the lock holds all the same
        return


def _holder(path: Path) -> str:
    try:
        return str(checked(read_values(path), Holder, str(path)))
    except Unreadable:
        return "another process"
