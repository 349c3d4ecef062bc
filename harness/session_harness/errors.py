"""The exit codes of the tool, and the errors that end a command.

Every error is shown as one line ``error: …`` and, where something can be done about it, one line ``hint: …``.
"""

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process says to its caller."""

    OK = 0
    FAILED = 1  # failed, stale or flaky checks
    ERRORED = 2  # something could not be judged or done
    TESTNET = 3  # the testnet could not start
    USAGE = 64  # the command was called wrongly
    INTERRUPTED = 130


class HarnessError(Exception):
    """End a command: something that it needs is missing or does not work."""

    exit_code: ClassVar[ExitCode] = ExitCode.ERRORED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(HarnessError):
    """Refuse an option, an argument or a configuration file."""

    exit_code = ExitCode.USAGE


class TestnetNotStarted(HarnessError):
    """Report a testnet that did not come up."""

    __test__ = False  # the name is not that of a test class
    exit_code = ExitCode.TESTNET


class NoNetwork(HarnessError):
    """Report that no running network answers under the given name or state file."""


class RunNotFound(UsageError):
    """Refuse the name of a run, or of a case in it, that does not exist."""


class Interrupted(HarnessError):
    """End a command that Ctrl-C or a signal stopped."""

    exit_code = ExitCode.INTERRUPTED
