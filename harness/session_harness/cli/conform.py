"""``session-harness conform``: judge implementations."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from session_harness.cli.console import result_console
from session_harness.cli.options import (
    ENGINES,
    ending_options,
    json_option,
    out_option,
    run_seed_option,
    selection_options,
)
from session_harness.cli.output import note, write_json
from session_harness.errors import ExitCode

if TYPE_CHECKING:
    from session_harness.conform import ConformOptions, ConformResult

F = TypeVar("F", bound=Callable[..., Any])

TIERS = ("L0", "L1", "L2", "L3", "L4", "L5", "L6")


@click.command("conform")
@click.option(
    "--testee",
    "testees",
    multiple=True,
    metavar="SPEC",
    help="What to judge: a shipped name (reference, session_python), a testee.toml, cmd:COMMAND LINE, "
    "python:module:Class. Repeatable.",
)
@click.option(
    "--peer", default="reference", show_default=True, metavar="SPEC", help="The other side of a conversation."
)
@selection_options
@click.option(
    "--nodes", type=click.IntRange(1, 1000), default=14, show_default=True, help="Nodes of the testnet."
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="embedded",
    show_default=True,
    help="Runs the testnet.",
)
@click.option(
    "--expectations",
    multiple=True,
    metavar="[NAME=]FILE",
    help="Known divergences, of one testee or all.  Repeatable.",
)
@run_seed_option
@click.option(
    "--max-examples", type=click.IntRange(1), default=100, show_default=True, help="Examples of a property."
)
@out_option
@ending_options
@click.option(
    "--require", type=click.Choice(TIERS), help="Fail a testee that does not declare all of this tier."
)
@click.option("--validate", is_flag=True, help="Compare every message with the contract's schemas.")
@click.option("--state", default="", metavar="FILE|NAME", help="Use this running testnet.")
@json_option
def conform(*, as_json: bool, **values: Any) -> int:
    """Judge implementations against the suites.

    Everything about the run is kept below --out; report.html there is for people.

    Exit code: 0 fine, 1 failed, 2 not everything could be judged, 3 the testnet could not start, 64 wrong
    usage, 130 interrupted.
    """
    from session_harness.conform import ConformOptions

    return judge(ConformOptions(**values), as_json=as_json)


def judge(
    options: "ConformOptions", *, as_json: bool, secrets: Mapping[str, str] = MappingProxyType({})
) -> int:
    """Run the suites, show what came out, and return the exit code; ``secrets`` as for ``conform``."""
    from session_harness import conform as judging
    from session_harness.cli.progress import shown_progress

    judging.check_options(options)
    with shown_progress() as progress:
        result = judging.conform(options, watch=progress, say=note, secrets=secrets)
    show(result, as_json=as_json)
    return int(result.code)


def show(result: "ConformResult", *, as_json: bool) -> None:
    """Write the result of a finished run."""
    from session_harness.cli.root import show_error
    from session_harness.report.summary import summary
    from session_harness.report.table import print_run

    if as_json:
        write_json(summary(result.results, exit_code=int(result.code)))
    else:
        print_run(result_console(), result.results, report=str(result.directory.html))
    for sentence in result.notes:
        if result.code is ExitCode.OK:
            note(sentence)
        else:
            show_error(sentence, f"see {result.directory.path}")
