"""``node``: act on one service node."""

from pathlib import Path
from typing import Any

import click

from session_harness.cli.options import json_option, network_options
from session_harness.cli.output import write_json, write_line


@click.group("node")
def node() -> None:
    """Stop, kill, start, pause or resume a service node; let nodes join and leave."""


def _verb(verb: str, sentence: str, outcome: str = "{name} is {status}") -> None:
    @node.command(verb, help=sentence)
    @click.argument("node_name", metavar="NODE")
    @network_options
    @json_option
    def act(node_name: str, state: Path | None, name: str, *, as_json: bool) -> None:
        from session_harness.running import node_of, running_network

        with running_network(state, name) as network:
            handle = node_of(network, node_name)
            getattr(handle, verb)()
            now: dict[str, Any] = handle.status()
        _tell(now, outcome.format_map(now), as_json=as_json)


_verb("stop", "End a node; what it stored stays for the next start.")
_verb("kill", "End a node at once, in the middle of whatever it does.")
_verb("start", "Start a node that was stopped or killed, at its old address.")
_verb("pause", "Freeze a node: it accepts connections and answers nothing.")
_verb("resume", "Let a paused node answer again.")
_verb(
    "decommission",
    "Take a node out of its swarm; it goes on relaying.",
    "{name} is in no swarm any more",
)
_verb("recommission", "Take a decommissioned node into a swarm again.", "{name} is in swarm {swarm_id}")


@node.command("restart")
@click.argument("node_name", metavar="NODE")
@click.option("--image", metavar="IMAGE", help="Run in this image from now on; for engines with containers.")
@click.option("--node-version", metavar="VERSION", help="Imitate this release from now on, like 2.8.0.")
@network_options
@json_option
def restart(
    node_name: str,
    image: str | None,
    node_version: str | None,
    state: Path | None,
    name: str,
    *,
    as_json: bool,
) -> None:
    """Stop and start a node, in another image or as another release if you like."""
    from session_harness.running import node_of, running_network

    with running_network(state, name) as network:
        handle = node_of(network, node_name)
        handle.restart(image=image, version=node_version)
        now = handle.status()
    _tell(now, f"{now['name']} is {now['status']}", as_json=as_json)


@node.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("node_name", metavar="NODE")
@click.argument("argv", metavar="-- COMMAND [ARGUMENT…]", nargs=-1, required=True, type=click.UNPROCESSED)
@network_options
@json_option
def run_command(
    node_name: str, argv: tuple[str, ...], state: Path | None, name: str, *, as_json: bool
) -> int:
    """Run a command in a node's container and end with its exit code; for engines with containers."""
    from session_harness.running import node_of, running_network

    with running_network(state, name) as network:
        code, output = node_of(network, node_name).exec(*argv)
    if as_json:
        write_json({"exit_code": code, "output": output})
        return 0
    write_line(output.rstrip("\n"))
    return code


@node.command("add")
@click.argument("node_name", metavar="[NODE]", required=False)
@click.option("--swarm", metavar="HEX", help="Swarm to join, where the topology gives swarms explicitly.")
@network_options
@json_option
def add(node_name: str | None, swarm: str | None, state: Path | None, name: str, *, as_json: bool) -> None:
    """Let a new node join; its name is the next free one unless given.

    It is back when the node has the messages of its swarm.
    """
    from session_harness.running import running_network

    with running_network(state, name) as network:
        now = network.add_node(node_name, swarm_id=swarm).status()
    _tell(now, f"{now['name']} has joined swarm {now['swarm_id']}", as_json=as_json)


@node.command("remove")
@click.argument("node_name", metavar="NODE")
@network_options
@json_option
def remove(node_name: str, state: Path | None, name: str, *, as_json: bool) -> None:
    """Let a node leave for good; what others have not got from it is handed over first."""
    from session_harness.running import node_of, running_network

    with running_network(state, name) as network:
        node_of(network, node_name)
        network.remove_node(node_name)
    _tell({"name": node_name, "removed": True}, f"{node_name} has left", as_json=as_json)


def _tell(value: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        write_json(value)
    else:
        write_line(sentence)
