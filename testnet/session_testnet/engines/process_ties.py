"""Tie processes to each other, so that none outlives the one that needs it."""

import contextlib
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, *, by: signal.Signals = signal.SIGKILL) -> None:
    """End this process by a signal when its parent has ended, where the system offers that (Linux).

    ``parent`` is whose end counts: a parent that has ended already is noticed too. Other systems need another
    way besides, such as a pipe that closes.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(by))
    if os.getppid() != parent:
        os._exit(1)
