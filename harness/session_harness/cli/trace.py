"""``trace``: what nodes and services saw."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from session_harness.cli.options import json_option, network_options
from session_harness.cli.output import write_json, write_line

FOLLOW_INTERVAL_S = 0.2


@click.command("trace")
@click.option("--follow", "-f", is_flag=True, help="Go on with new events until Ctrl-C.")
@click.option("--kind", help="Only events of this kind.")
@click.option("--since", type=click.IntRange(0), default=0, help="Only events after this number.")
@click.option("--paths", is_flag=True, help="The paths of onion requests instead of single events.")
@network_options
@json_option
def trace(
    state: Path | None, name: str, *, follow: bool, kind: str | None, since: int, paths: bool, as_json: bool
) -> None:
    """Show what happened on the testnet, one event a line."""
    from session_harness.errors import UsageError
    from session_harness.running import running_network

    if paths and (follow or kind is not None):
        raise UsageError("--paths cannot be combined with --follow or --kind")
    with running_network(state, name) as network:
        if paths:
            for path in network.trace.paths(since=since):
                if as_json:
                    write_json(path)
                else:
                    write_line(_path_line(path))
            return
        while True:
            for event in network.trace.events(since=since, kind=kind):
                since = max(since, int(event["seq"]))
                if as_json:
                    write_json(event)
                else:
                    write_line(_line(event))
            if not follow:
                return
            time.sleep(FOLLOW_INTERVAL_S)


def _line(event: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(event["t_ms"] / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    rest = "  ".join(
        f"{key}={value}" for key, value in event.items() if key not in ("seq", "t_ms", "kind", "node")
    )
    return f"{event['seq']:>6}  {at}  {event['kind']:<12} {event.get('node') or '-':<10} {rest}".rstrip()


def _path_line(path: dict[str, Any]) -> str:
    hops = " > ".join(f"{hop} ({size})" for hop, size in zip(path["hops"], path["bytes"], strict=True))
    if path["outcome"] == "final":
        return f"{path['seq']:>6}  {path['client']} > {hops}: answered there"
    rest = {"exit": "left for", "lost": "lost on the way to", "refused": "refused"}[path["outcome"]]
    return f"{path['seq']:>6}  {path['client']} > {hops}: {rest} {path['destination']}".rstrip()
