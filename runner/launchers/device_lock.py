"""Devices are timed on by one sweep at a time: each would slow the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runner.contract import Held, NoLock, Problem, UsageError
from runner.records.locks import locked, shared_folder


@contextmanager
def held(
    devices: Iterable[str],
    what: str,
    device_lock: str,
    tell: Callable[[str], object],
    folder: Path | None = None,
) -> Iterator[Callable[[], object]]:
    """Keep others from `devices`, which are named as all processes of this machine do.

    Gives what gives them back before the end.

    Those who wait are shown `what`, and the progress of the sweep in `folder`. `device_lock` is the
    setting of that name: this waits, after saying so, or raises UsageError, or locks nothing.
    """
    with ExitStack() as locks:
        for device in sorted(devices) if device_lock != "off" else ():
            path = shared_folder() / f"runner-device-{device}.lock"

            def waits(holder: str, device: str = device) -> None:
                tell(
                    f"waiting for {device}, on which {holder} is timing; "
                    "device_lock=off does not wait"
                )

            try:
                asks = None if device_lock == "refuse" else waits
                locks.enter_context(locked(path, what, asks, folder))
            except Held as holder:
                found = f"{holder} is timing on {device}"
                remedy = "wait for it, or by device_lock=wait let this sweep do so"
                raise UsageError(Problem("device_lock", found, remedy)) from holder
            except NoLock as error:
                found = f"device_lock is {device_lock}, but {error}"
                remedy = "have that file removed, or device_lock=off"
                raise UsageError(Problem("device_lock", found, remedy)) from error
        yield locks.close
