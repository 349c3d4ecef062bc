"""End a run on Ctrl-C where that is safe.

Python drops a KeyboardInterrupt that is raised in a callback of the garbage collector, and hypothesis has
one: the run would go on. Raised inside a hook it would be an internal error of pytest. So a signal is only
noted, and takes effect at the next call of a testee, or after the check.
"""

import signal
from types import FrameType
from typing import Any

import pytest


class Interruption:
    """Note the first SIGINT; the second one ends whatever is done at once."""

    def __init__(self) -> None:
        self.noted = False
        self._session: pytest.Session | None = None
        self._before: Any = None

    def watch(self, session: pytest.Session) -> None:
        """Note signals from now on; must be called from the main thread."""
        self._session = session
        self._before = signal.signal(signal.SIGINT, self._note)

    def release(self) -> None:
        """Give the signal back to whoever had it."""
        if self._session is not None:
            signal.signal(signal.SIGINT, self._before)
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
