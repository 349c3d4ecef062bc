"""``session-harness up``: start a local testnet, in the foreground or detached."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from session_harness.cli.options import (
    DEFAULT_NAME,
    ENGINES,
    json_option,
    read_bytes,
    read_duration_ms,
    read_name,
)
from session_harness.cli.output import note, write_json

if TYPE_CHECKING:
    from session_harness.serving import ServeOptions


@click.command("up")
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default=None,
    help="What runs the services.  [default: embedded, or as in the snapshot]",
)
@click.option(
    "--nodes", type=click.IntRange(1, 1000), help="Number of service nodes.  [default: by profile, else 14]"
)
@click.option(
    "--topology",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Description of the network (TOML).",
)
@click.option("--profile", default=None, help="Kind of network: default, apps or libraries.")
@click.option(
    "--name", default=DEFAULT_NAME, show_default=True, callback=read_name, help="Name of the testnet."
)
@click.option("--seed", default=None, help="All keys derive from it.  [default: 0]")
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Keep data here, not in memory."
)
@click.option(
    "--detach", is_flag=True, help="Return when the testnet is ready; it goes on in the background."
)
@click.option(
    "--ttl", callback=read_duration_ms, metavar="DURATION", help="End by itself after this time, like 30m."
)
@click.option("--advertise-ip", metavar="IP", help="Address under which other machines reach this one.")
@click.option(
    "--control-ip", metavar="IP", help="Address at which the control interface listens.  [default: 127.0.0.1]"
)
@click.option("--fixed-ports", is_flag=True, help="Use the usual ports (registry 1280), not free ones.")
@click.option(
    "--test-mode", is_flag=True, help="Let tests set the community server up, with the control token."
)
@click.option(
    "--tcp-faults", is_flag=True, help="Put a proxy in front of each service, for faults of connections."
)
@click.option(
    "--node-version",
    metavar="VERSION",
    help="Release that storage nodes imitate: 2.8.0 or 2.11.3.  [default: 2.11.3]",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the state file.  [default: by name]",
)
@click.option("--image", metavar="IMAGE", help="Image for containers.  [default: session-harness:VERSION]")
@click.option(
    "--node-memory", callback=read_bytes, metavar="SIZE", help="Most memory of a node's container, like 256m."
)
@click.option(
    "--node-cpus",
    type=click.FloatRange(min=0.01),
    metavar="N",
    help="Most processors of a node's container, like 0.5.",
)
@click.option(
    "--snapshot",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Go on from what snapshot save wrote, in a new --data-dir.",
)
@json_option
def up(*, as_json: bool, detach: bool, **options: Any) -> None:
    """Start a local testnet.

    It runs until Ctrl-C, or with --detach until `session-harness down`. Everything listens on this machine
    only, unless --advertise-ip says otherwise.
    """
    from session_harness.serving import ServeOptions

    run(ServeOptions(**options), detach=detach, as_json=as_json)


def run(request: "ServeOptions", *, detach: bool, as_json: bool) -> None:
    """Run a testnet as asked for, and tell where its services are."""
    from session_harness.serving import serve, serve_detached

    if detach:
        _show(serve_detached(request), as_json=as_json, detached=True)
        return

    def ready(state: dict[str, Any]) -> None:
        _show(state, as_json=as_json, detached=False)

    reason = serve(request, on_ready=ready)
    note(f"testnet {request.name!r} ended ({reason})")


def _show(state: dict[str, Any], *, as_json: bool, detached: bool) -> None:
    if as_json:
        write_json(state)
        return
    from session_harness.cli.network_view import show_services

    show_services(state)
    name = "" if state["name"] == DEFAULT_NAME else f" --name {state['name']}"
    if detached:
        note(f"It runs in the background. End it with: session-harness down{name}")
    else:
        note("Press Ctrl-C to end it.")
