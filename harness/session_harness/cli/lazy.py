"""Command groups that import a command only when it runs, so that help and completion are quick."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import click

from session_harness.spelling import suggestion


class LazyGroup(click.Group):
    """List commands from a table of places and short helps; import the one that is wanted.

    ``places`` maps a command's name to ``module:attribute`` and its short help; ``sections`` orders the names
    under headings.
    """

    def __init__(
        self,
        *args: Any,
        places: Mapping[str, tuple[str, str]],
        sections: Sequence[tuple[str, Sequence[str]]],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.places = dict(places)
        self.sections = list(sections)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        """Return the names in the order of the sections."""
        return [name for _, names in self.sections for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command, or return None when there is none of that name."""
        if cmd_name not in self.places:
            return None
        module, _, attribute = self.places[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name; an unknown name is answered with the closest one."""
        if args and args[0] not in self.places and not args[0].startswith("-"):
            error = click.UsageError(f"there is no command {args[0]!r}", ctx)
            error.session_hint = suggestion(args[0], self.list_commands(ctx))  # type: ignore[attr-defined]
            raise error
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands by section, without importing any."""
        width = max(len(name) for name in self.places)
        for title, names in self.sections:
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), self.places[name][1]) for name in names])
