"""Limits the log of a worker, so that a network that prints endlessly can't fill the disk."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from runner.host.secrets import known_secrets, without_known

LARGEST = 16 * 2**20  # bytes; the first and the last half are kept
LOOK_S = 5.0  # between two looks at its size while it is written


def finish(log: Path | None) -> None:
    """Cut a log to its limit, and redact the secrets that the network has printed."""
    bound(log)
    with suppress(OSError):
        if log is not None and known_secrets():
            text = log.read_text(encoding="utf-8", errors="surrogateescape")
            if (clean := without_known(text)) != text:
                log.write_text(clean, encoding="utf-8", errors="surrogateescape")


def bound(log: Path | None) -> None:
    """Cut the middle out of a log above its limit, with a note there."""
    with suppress(OSError):
        if log is None or (size := log.stat().st_size) <= LARGEST:
            return
        half = LARGEST // 2
        with log.open("r+b") as file:
            file.seek(size - half)
            end = file.read(half)
            file.seek(half)
            dropped = f"\n... runner dropped {size - 2 * half} bytes here ({log.name} is limited to"
            file.write(f"{dropped} {LARGEST // 2**20} MiB) ...\n".encode() + end)
            file.truncate()
