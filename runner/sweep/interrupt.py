"""Ctrl-C and SIGTERM, remembered, because libraries may swallow them or raise other errors."""

from __future__ import annotations

import os
import signal
import sys

from runner.contract import ExitCode

SHOW_CURSOR = "\x1b[?25h"  # a progress line hides it


class Interrupt:
    """Raises KeyboardInterrupt at the first signal, and ends the program at the second.

    A scheduler that preempts the machine sends SIGTERM, and SIGKILL a while later.
    """

    seen = False

    def listen(self) -> None:
        """Install the handlers; a background job of a shell keeps ignoring Ctrl-C."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._pressed)
        signal.signal(signal.SIGTERM, self._pressed)

    def _pressed(self, number: int, frame: object) -> None:
        if self.seen:
            if sys.stdout.isatty():
                os.write(sys.stdout.fileno(), SHOW_CURSOR.encode())
            os._exit(
                ExitCode.INTERRUPTED
            )  # the worker ends with its parent, and the sweep can be resumed from disk
        self.seen = True
        raise KeyboardInterrupt
