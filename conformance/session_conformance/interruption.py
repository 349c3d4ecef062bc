"""End a run on Ctrl-C where that is safe.

Python drops a KeyboardInterrupt that is raised in a callback of the garbage collector, and hypothesis has
one: the run would go on. Raised inside a hook it would be an internal error of pytest. So a signal is only
noted, and takes effect at the next call of a testee, or after the check.
"""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest


class Interruption:
    """Note the first SIGINT; the second one, and SIGTERM, end whatever is done at once."""

    def __init__(self) -> None:
        self.noted = False
        self.on_signal: Callable[[], None] = lambda: None
        """Called at each signal, to end what the run may be waiting for."""
        self._session: pytest.Session | None = None
        self._before: dict[signal.Signals, Any] = {}

    def watch(self, session: pytest.Session) -> None:
        """Note signals from now on; must be called from the main thread."""
        self._session = session
        self._before = {
            signal.SIGINT: signal.signal(signal.SIGINT, self._note),
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._end),
        }

    def release(self) -> None:
        """Give the signal back to whoever had it."""
        if self._session is not None:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._session = None

    def check(self) -> None:
        """Raise KeyboardInterrupt when a signal has been noted."""
        if self.noted:
            raise KeyboardInterrupt

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.noted:
            raise KeyboardInterrupt
        self.noted = True
        if self._session is not None:
            self._session.shouldstop = "interrupted"
        self.on_signal()

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self.noted = True
        self.on_signal()
        raise KeyboardInterrupt
