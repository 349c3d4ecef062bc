"""The configuration file ``session-harness.toml``: the options of commands, one table a command.

The file is looked for in the current directory and upwards. A table carries the name of a command, a key the
name of an option without its dashes; an option that may be repeated takes a list::

    [conform]
    testee = ["reference", "cmd:./my-adapter"]
    max-examples = 50

Paths are relative to the file. What the command line says wins.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from session_harness.errors import UsageError
from session_harness.spelling import suggestion

FILE_NAME: Final = "session-harness.toml"


@dataclass(frozen=True, slots=True)
class Configuration:
    """Hold the tables of one configuration file."""

    path: Path
    tables: Mapping[str, Mapping[str, Any]]

    def default_map(
        self, name: str | None, command: click.Command | None, commands: Iterable[str]
    ) -> dict[str, Any]:
        """Return the defaults of the command ``name`` in the shape that click reads.

        Raise UsageError for a table that is no command and for a key that is no option of the command.
        """
        known = list(commands)
        for table in self.tables:
            if table not in known:
                raise UsageError(f"{self.path}: there is no command {table!r}", hint=suggestion(table, known))
        if name is None or command is None or name not in self.tables:
            return {}
        return {name: self._options(f"[{name}]", command, self.tables[name])}

    def _options(self, where: str, command: click.Command, table: Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(command, click.Group):
            return self._subcommands(where, command, table)
        options = {_key(option): option for option in command.params if isinstance(option, click.Option)}
        found: dict[str, Any] = {}
        for key, value in table.items():
            option = options.get(key.replace("_", "-"))
            if option is None or option.name is None:
                raise UsageError(f"{self.path}: {where} has no option {key!r}", hint=suggestion(key, options))
            found[option.name] = self._value(where, key, option, value)
        return found

    def _subcommands(self, where: str, group: click.Group, table: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in table.items():
            if key not in group.commands or not isinstance(value, dict):
                raise UsageError(
                    f"{self.path}: {where} has no command {key!r}", hint=suggestion(key, group.commands)
                )
            found[key] = self._options(f"{where[:-1]}.{key}]", group.commands[key], value)
        return found

    def _value(self, where: str, key: str, option: click.Option, value: Any) -> Any:
        if isinstance(value, dict):
            raise UsageError(f"{self.path}: {where} {key} is a table", hint="write a plain value")
        if option.multiple != isinstance(value, list):
            wanted = "a list" if option.multiple else "one value, not a list"
            raise UsageError(
                f"{self.path}: {where} {key} takes {wanted}", hint=f"write {key} = {_example(option)}"
            )
        if option.is_flag and not isinstance(value, bool):
            raise UsageError(f"{self.path}: {where} {key} is {value!r}", hint=f"write {key} = true or false")
        if isinstance(option.type, click.Path):
            if not isinstance(value, str):
                raise UsageError(
                    f"{self.path}: {where} {key} is {value!r}", hint="write it in quotation marks"
                )
            return str(self.path.parent / value)
        return value


def load_configuration(start: Path | None = None) -> Configuration | None:
    """Read the nearest configuration file at or above ``start`` (the current directory); None without one.

    Raise UsageError for a file that is no TOML or has keys outside of tables.
    """
    path = find_configuration(start if start is not None else Path.cwd())
    if path is None:
        return None
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}", hint="the file must be TOML") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    for key, value in content.items():
        if not isinstance(value, dict):
            raise UsageError(
                f"{path}: {key!r} stands outside of a table",
                hint="put it under the command's name, like [conform]",
            )
    return Configuration(path, content)


def find_configuration(start: Path) -> Path | None:
    """Return the path of the nearest configuration file at or above ``start``."""
    for folder in (start, *start.parents):
        candidate = folder / FILE_NAME
        if candidate.is_file():
            return candidate
    return None


def _key(option: click.Option) -> str:
    return max(option.opts, key=len).lstrip("-")


def _example(option: click.Option) -> str:
    return "[…]" if option.multiple else "…"
