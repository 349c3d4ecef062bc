"""The command line ``session-harness``: one file a command group, imported when it is called."""

from session_harness.cli.root import cli, main

__all__ = ["cli", "main"]
