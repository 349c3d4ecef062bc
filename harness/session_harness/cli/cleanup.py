"""``cleanup``: remove what testnets left behind that were ended by force."""

import click

from session_harness.cli.options import json_option, read_duration_ms
from session_harness.cli.output import note, write_json, write_line
from session_harness.errors import ExitCode


@click.command("cleanup")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--older-than",
    callback=read_duration_ms,
    metavar="DURATION",
    help="Leave alone what is younger than this, like 2h.",
)
@json_option
def cleanup(*, dry_run: bool, older_than: int | None, as_json: bool) -> int:
    """Remove what testnets left behind that were ended by force, or whose time to live is over.

    That is containers, networks, volumes and services with our labels, state files, processes and temporary
    directories. What belongs to a testnet that still runs stays.
    """
    from session_harness.errors import HarnessError
    from session_testnet.control.state_file import default_state_path
    from session_testnet.docker_daemon import DockerError
    from session_testnet.leftovers import find_leftovers, remove_leftovers

    try:
        found = find_leftovers(default_state_path("default").parent, older_than_s=(older_than or 0) / 1000)
    except DockerError as error:
        raise HarnessError(error.message, hint=error.hint) from error
    failed = [] if dry_run else remove_leftovers(found)
    if as_json:
        write_json(
            {
                "dry_run": dry_run,
                "found": [each.as_json() for each in found],
                "failed": [{**each.as_json(), "error": why} for each, why in failed],
            }
        )
    else:
        for each in found:
            write_line(f"{each.kind} {each.name}: {each.reason}")
        note("nothing is left over" if not found else _summary(len(found), dry_run=dry_run))
        for each, why in failed:
            note(f"error: {each.kind} {each.name} is still there: {why}")
    return ExitCode.ERRORED if failed else ExitCode.OK


def _summary(count: int, *, dry_run: bool) -> str:
    things = "1 thing" if count == 1 else f"{count} things"
    return f"{things} would be removed" if dry_run else f"{things} removed"
