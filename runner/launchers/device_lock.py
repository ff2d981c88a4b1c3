"""Locks that let only one sweep time on a device: two would slow each other."""

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
    print_line: Callable[[str], object],
    folder: Path | None = None,
) -> Iterator[Callable[[], object]]:
    """Lock `devices`, given by their identities on this machine.

    Yields a function that releases them early.

    Those who wait see `what` and the progress of the sweep in `folder`. `device_lock` is the
    setting of that name: wait (with a message), raise UsageError, or lock nothing.
    """
    with ExitStack() as locks:
        for device in sorted(devices) if device_lock != "off" else ():
            path = shared_folder() / f"runner-device-{device}.lock"

            def waits(holder: str, device: str = device) -> None:
                print_line(
                    f"waiting for {device}, in use by {holder}; device_lock=off does not wait"
                )

            try:
                asks = None if device_lock == "refuse" else waits
                locks.enter_context(locked(path, what, asks, folder))
            except Held as holder:
                found = f"{device} is in use by {holder}"
                remedy = "wait for it, or use device_lock=wait"
                raise UsageError(Problem("device_lock", found, remedy)) from holder
            except NoLock as error:
                found = f"device_lock is {device_lock}, but {error}"
                remedy = "remove that file, or use device_lock=off"
                raise UsageError(Problem("device_lock", found, remedy)) from error
        yield locks.close
