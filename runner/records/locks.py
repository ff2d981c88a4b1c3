"""Locks of sweeps, devices and stores, which the kernel releases when their holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from runner.contract import Held, NoLock, Unreadable, counted, duration
from runner.records.reading import checked, read_values
from runner.records.record import utc_now

SHARED = ("/run/lock", "/var/lock", "/tmp")  # not TMPDIR, which differs between users
# does not follow another user's link, nor wait for the writer of a pipe
FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
LOCK_DIR = "RUNNER_LOCK_DIR"  # another folder, for containers that share a machine


def shared_folder() -> Path:
    """The folder for locks that all users and processes of this machine share.

    It is chosen by type and mode, not by this process's rights, so that all processes choose
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
    """The holder of a lock: its purpose, its process, and since when (UTC).

    `folder` is that of the sweep for which it is held, if any.
    """

    what: str
    host: str
    pid: int
    since: str
    folder: str | None = None

    def __str__(self) -> str:
        who = f"pid {self.pid} on {self.host}, since {self.since}"
        return f"{self.what} ({who}{self._progress()})"

    def _progress(self) -> str:
        """The progress of its sweep and the time left; empty if unknown."""
        from runner.records.manifest import load_manifest  # imports this module

        if self.folder is None:
            return ""
        try:
            trials = len(load_manifest(Path(self.folder)).trials)
            began_s = datetime.fromisoformat(self.since).timestamp()
            written_s = [file.stat().st_mtime for file in Path(self.folder).glob("*/record.json")]
        except (Unreadable, ValueError, OSError):
            return ""
        now, new = time.time(), sum(at_s >= began_s for at_s in written_s)
        text = f"; {len(written_s)} of {counted(trials, 'trial')} done"
        if new and (left := trials - len(written_s)) > 0:
            text += f", about {duration((now - began_s) / new * left)} left"
        return text


@contextmanager
def locked(
    path: Path,
    what: str,
    waits: Callable[[str], object] | None = None,
    folder: Path | None = None,
) -> Iterator[None]:
    """Hold the lock at `path` for `what`, and for the sweep in `folder` if given.

    While another process holds it, report the holder to `waits` and wait; or else raise Held.
    Raises NoLock if the file can't be created or is not a regular file.
    """
    file = _opened(path)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(path)
            if waits is None:
                raise Held(holder) from None
            waits(holder)
            fcntl.flock(file, fcntl.LOCK_EX)
        _write_down(path, what, folder)
        yield
    finally:
        os.close(file)  # releases; the file stays, because removing it could admit two holders


def _opened(path: Path) -> int:
    """A descriptor of the lock's file, created if missing. Raises NoLock."""
    try:
        # in a shared folder it may be another user's, which can be locked but not written
        try:
            file = os.open(path, FLAGS | os.O_RDWR | os.O_CREAT, 0o644)
        except PermissionError:
            file = os.open(path, FLAGS | os.O_RDONLY)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise NoLock(f"{path} can't be locked: it is not a regular file")
        with suppress(PermissionError):
            os.fchmod(file, 0o644)  # independent of the umask: others must read who holds it
        return file
    except OSError as error:
        raise NoLock(f"{path} can't be locked: {error.strerror}") from error


def holder_of(path: Path) -> str | None:
    """The current holder of the lock; None if it is free."""
    try:
        file = os.open(path, FLAGS | os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(path)
    finally:
        os.close(file)
    return None


def _write_down(path: Path, what: str, folder: Path | None) -> None:
    """Write the holder into the file, if it is writable."""
    where = None if folder is None else str(folder.absolute())
    holder = Holder(what, socket.gethostname(), os.getpid(), utc_now(), where)
    try:
        path.write_text(json.dumps(asdict(holder)), encoding="utf-8")
    except OSError:  # another user's file, or a full disk: the lock is held anyway
        return


def _holder(path: Path) -> str:
    try:
        return str(checked(read_values(path), Holder, str(path)))
    except Unreadable:
        return "another process"
