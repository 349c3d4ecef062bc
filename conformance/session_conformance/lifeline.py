"""End with whoever started the run: a pipe that its starter holds open tells when that is gone.

A starter that is killed cannot say good-bye, but the system closes its end of the pipe. Also the testees end
then, which are processes of their own sessions; a death signal of the system would reach only this process.
"""

import os
import signal
import threading
from collections.abc import Callable
from typing import Final

GRACE_S: Final = 5.0
"""How long the run may take to end in good order once its starter is gone."""


def watch(descriptor: int, end: Callable[[], None], *, grace_s: float = GRACE_S) -> threading.Thread:
    """Wait in a thread for the end of the pipe ``descriptor``; then end this process, within ``grace_s``.

    ``end`` kills what would outlive the process; SIGTERM then asks the main thread to leave. Raise OSError
    when there is no such descriptor.
    """
    # A testee that inherited it would be no harm, but one descriptor the poorer.
    os.set_inheritable(descriptor, False)
    watcher = threading.Thread(target=_wait, args=(descriptor, end, grace_s), name="lifeline", daemon=True)
    watcher.start()
    return watcher


def _wait(descriptor: int, end: Callable[[], None], grace_s: float) -> None:
    while os.read(descriptor, 4096):
        pass
    end()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(grace_s)
    # The main thread is busy with something that no signal ends; it may have started a testee since.
    end()
    os._exit(128 + signal.SIGTERM)
