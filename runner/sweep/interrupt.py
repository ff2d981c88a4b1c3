"""Ctrl-C, remembered: in the middle of a library it gets lost or becomes any other exception."""

from __future__ import annotations

import signal


class Interrupt:
    """Raises KeyboardInterrupt where Ctrl-C is pressed, and knows afterwards that it was."""

    seen = False

    def listen(self) -> None:
        """From here on; a background job of a shell goes on ignoring Ctrl-C."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._pressed)

    def _pressed(self, number: int, frame: object) -> None:
        self.seen = True
        raise KeyboardInterrupt
