"""``clock``: the time on the testnet; lifetimes are tried out by moving it, not by waiting."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from session_harness.cli.options import json_option, network_options, read_duration_ms
from session_harness.cli.output import write_json, write_line

if TYPE_CHECKING:
    from session_testnet import NetworkHandle

# A length of time may be negative: "-2h" must be read neither as an unknown option nor as "-h".
_SIGNED = {"ignore_unknown_options": True, "help_option_names": ["--help"]}


@click.group("clock")
def clock() -> None:
    """Show or move the clock of the testnet."""


@clock.command("show")
@network_options
@json_option
def show(state: Path | None, name: str, *, as_json: bool) -> None:
    """Show the time on the testnet, and how far it is from that of this machine."""
    from session_harness.running import running_network

    with running_network(state, name) as network:
        _write(network, as_json=as_json)


@clock.command("move", context_settings=_SIGNED)
@click.argument("duration", callback=read_duration_ms)
@network_options
@json_option
def move(duration: int, state: Path | None, name: str, *, as_json: bool) -> None:
    """Move the clock of the whole testnet by DURATION: 90s, 30m, 2h, 14d; with a minus, back."""
    from session_harness.running import running_network

    with running_network(state, name) as network:
        network.clock.move(duration)
        _write(network, as_json=as_json)


@clock.command("skew", context_settings=_SIGNED)
@click.argument("node")
@click.argument("duration", callback=read_duration_ms)
@network_options
@json_option
def skew(node: str, duration: int, state: Path | None, name: str, *, as_json: bool) -> None:
    """Set how far the clock of one NODE is ahead of the testnet's; 0 ends it."""
    from session_harness.running import node_of, running_network

    with running_network(state, name) as network:
        network.clock.skew(node_of(network, node).name, duration)
    if as_json:
        write_json({"node": node, "offset_ms": duration})
    else:
        write_line(f"{node} is {duration / 1000:+g} s off the testnet's clock")


def _write(network: "NetworkHandle", *, as_json: bool) -> None:
    now_ms, offset_ms = network.clock.now_ms(), network.clock.offset_ms
    if as_json:
        write_json({"now_ms": now_ms, "offset_ms": offset_ms})
    else:
        time = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        write_line(f"{time}  ({offset_ms / 1000:+g} s from this machine)")
