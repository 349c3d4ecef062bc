"""Options that several commands share, and readers of their values."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from session_testnet.durations import parse_duration_ms

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_NAME: Final = "default"
ENGINES: Final = ("embedded", "process", "docker", "docker-swarm")
_NAME_FORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)

_SIZE_FORM: Final = re.compile(r"([0-9]{1,12})([bkmg]?)b?", re.ASCII)

out_option = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of the run directories.",
)
run_seed_option = click.option(
    "--seed", default="0", show_default=True, help="Seed of all random choices; 'random' draws one."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write the result as JSON to stdout.")


def read_duration_ms(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Return the milliseconds of an option's length of time; a callback of click."""
    if value is None:
        return None
    try:
        return parse_duration_ms(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def read_bytes(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Return the bytes of an option's size, such as 256m; a callback of click."""
    if value is None:
        return None
    match = _SIZE_FORM.fullmatch(value.strip().lower())
    if match is None or int(match[1]) == 0:
        raise click.BadParameter(f"{value!r} is not a size: write one like 256m or 1g")
    unit: int = 1024 ** "bkmg".index(match[2] or "b")
    return int(match[1]) * unit


def read_name(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Return the name of a testnet, which is also that of its state file; a callback of click."""
    if not _NAME_FORM.fullmatch(value):
        raise click.BadParameter(f"{value!r} is not a name: use letters, digits, '.', '_' and '-'")
    return value


def network_options(function: F) -> F:
    """Add ``--state`` and ``--name``: which running testnet is meant."""
    name = click.option(
        "--name", default=DEFAULT_NAME, show_default=True, callback=read_name, help="Name of the testnet."
    )
    state = click.option(
        "--state",
        type=click.Path(dir_okay=False, path_type=Path),
        help="State file of the testnet, instead of its name.",
    )
    return name(state(function))


def selection_options(function: F) -> F:
    """Add ``--suite``, ``--filter`` and ``--skip``: which checks are meant."""
    suite = click.option(
        "--suite", "suites", multiple=True, metavar="NAME", help="Only this suite.  Repeatable."
    )
    wanted = click.option(
        "--filter", "filters", multiple=True, metavar="GLOB", help="Only checks like this.  Repeatable."
    )
    unwanted = click.option(
        "--skip", "skips", multiple=True, metavar="GLOB", help="No checks like this.  Repeatable."
    )
    return suite(wanted(unwanted(function)))


def ending_options(function: F) -> F:
    """Add ``--fail-fast``, ``--max-failures`` and ``--strict``: when a run ends, and how."""
    first = click.option("--fail-fast", is_flag=True, help="End after the first failure.")
    some = click.option("--max-failures", type=click.IntRange(1), metavar="N", help="End after N failures.")
    strict = click.option("--strict", is_flag=True, help="Let warnings (SHOULD) count as failures.")
    return first(some(strict(function)))
