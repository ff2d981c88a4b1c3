"""Ctrl-C and SIGTERM, remembered: in the middle of a library they get lost or become any error."""

from __future__ import annotations

import os
import signal
import sys

from runner.contract import ExitCode

SHOW_CURSOR = "\x1b[?25h"  # which a progress line hides


class Interrupt:
    """Raises KeyboardInterrupt where the first one arrives, and ends the program at the second.

    A scheduler that takes the machine away sends SIGTERM, and SIGKILL a while later.
    """

    seen = False

    def listen(self) -> None:
        """From here on; a background job of a shell goes on ignoring Ctrl-C."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._pressed)
        signal.signal(signal.SIGTERM, self._pressed)

    def _pressed(self, number: int, frame: object) -> None:
        if self.seen:
            if sys.stdout.isatty():
                os.write(sys.stdout.fileno(), SHOW_CURSOR.encode())
            os._exit(
                ExitCode.INTERRUPTED
            )  # the worker ends with its parent; what is on disk can be gone on with
        self.seen = True
        raise KeyboardInterrupt
