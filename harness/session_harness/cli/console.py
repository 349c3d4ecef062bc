"""The consoles that commands write tables and colours to."""

import sys
from typing import Final, NoReturn

from rich.console import Console

WIDTH_OF_A_FILE: Final = 160


class ResultConsole(Console):
    """Write results; a reader that goes away ends the command, without being an error."""

    def on_broken_pipe(self) -> NoReturn:
        """Let the top of the command line deal with it."""
        raise BrokenPipeError


def result_console() -> ResultConsole:
    """Return the console of results (stdout); without a terminal plain text, wide enough for every table."""
    return ResultConsole(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE)


def progress_console() -> Console:
    """Return the console of progress (stderr)."""
    return Console(stderr=True, highlight=False)
