"""``node``: act on one service node."""

from pathlib import Path
from typing import Any

import click

from session_harness.cli.options import json_option, network_options
from session_harness.cli.output import write_json, write_line


@click.group("node")
def node() -> None:
    """Stop, start, pause or resume a service node."""


def _verb(verb: str, sentence: str) -> None:
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
        if as_json:
            write_json(now)
        else:
            write_line(f"{node_name} is {now['status']}")


_verb("stop", "End a node; what it stored stays for the next start.")
_verb("start", "Start a stopped node at its old address.")
_verb("restart", "Stop and start a node.")
_verb("pause", "Freeze a node: it accepts connections and answers nothing.")
_verb("resume", "Let a paused node answer again.")
