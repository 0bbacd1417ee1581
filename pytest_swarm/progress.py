"""Says what a slow step is doing: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.status import Status


class Progress:
    """Writes to `stream`; None keeps it silent."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._status: Status | None = None

    @classmethod
    def on_standard_error(cls) -> Progress:
        """Write to what standard error is now, past any capture that pytest starts later."""
        try:
            return cls(os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8"))
        except OSError:
            return cls(None)

    def __call__(self, message: str) -> None:
        """Announce a step."""
        if self._stream is not None and not self._stream.isatty():
            self._stream.write(f"swarm: {message}\n")
        self.update(message)

    def update(self, message: str) -> None:
        """Show where a step has got to; only on a terminal, where it overwrites what was there."""
        if self._stream is None or not self._stream.isatty():
            return
        if self._status is None:
            from rich.console import Console

            # pytest has written the test's name on this line: do not wipe it out.
            self._stream.write("\n")
            self._status = Console(file=self._stream).status(message)
            self._status.start()
        self._status.update(message)

    def clear(self) -> None:
        """Take the spinner away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def close(self) -> None:
        """Take the spinner away for good."""
        self.clear()
        if self._stream is not None:
            self._stream.close()
            self._stream = None
