"""``snapshot``: keep a whole testnet in one file, and go on from it."""

from pathlib import Path
from typing import Any

import click

from session_harness.cli.options import (
    DEFAULT_NAME,
    ENGINES,
    json_option,
    network_options,
    read_duration_ms,
    read_name,
)
from session_harness.cli.output import write_json, write_line
from session_harness.cli.up import run


@click.group("snapshot")
def snapshot() -> None:
    """Save a testnet with all that it has stored into one file, and start one that goes on from it."""


@snapshot.command("save")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@network_options
@json_option
def save(file: Path, state: Path | None, name: str, *, as_json: bool) -> None:
    """Save the testnet, all of whose nodes are paused or stopped, and which has a --data-dir."""
    from session_harness.running import running_network

    with running_network(state, name) as network:
        size = network.save_snapshot(file)
    if as_json:
        write_json({"file": str(file.absolute()), "bytes": size})
    else:
        write_line(f"saved into {file} ({size} bytes)")


@snapshot.command("load")
@click.argument("snapshot", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--data-dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="New or empty directory to go on in.",
)
@click.option(
    "--engine", type=click.Choice(ENGINES), help="What runs the services.  [default: as in the snapshot]"
)
@click.option(
    "--name", default=DEFAULT_NAME, show_default=True, callback=read_name, help="Name of the testnet."
)
@click.option("--detach", is_flag=True, help="Return when the testnet is ready.")
@click.option("--ttl", callback=read_duration_ms, metavar="DURATION", help="End by itself after this time.")
@click.option("--fixed-ports", is_flag=True, help="Use the usual ports (registry 1280), not free ones.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the state file.  [default: by name]",
)
@json_option
def load(*, as_json: bool, detach: bool, **options: Any) -> None:
    """Start a testnet that goes on from a snapshot: its nodes run, its clock and its faults stand as then."""
    from session_harness.serving import ServeOptions

    run(ServeOptions(**options), detach=detach, as_json=as_json)
