"""``status``, ``env``, ``logs`` and ``down``: commands about a running testnet as a whole."""

import shlex
import time
from pathlib import Path

import click

from session_harness.cli.options import json_option, network_options
from session_harness.cli.output import note, write_json, write_line

NO_PROXY = "127.0.0.0/8"
FOLLOW_INTERVAL_S = 0.3
FOLLOW_WINDOW = 1000


@click.command("status")
@network_options
@json_option
def status(state: Path | None, name: str, *, as_json: bool) -> None:
    """Show the running testnet: its services, and how each node does."""
    from session_harness.running import running_network

    with running_network(state, name) as network:
        nodes = network.command("nodes")
        offset_ms = network.clock.offset_ms
        faults = network.faults.list()
    if as_json:
        write_json({**network.state, "nodes": nodes, "clock_offset_ms": offset_ms, "faults": faults})
        return
    from session_harness.cli.network_view import show_nodes, show_services

    show_services(network.state)
    write_line()
    show_nodes(nodes)
    if offset_ms:
        write_line(f"\nthe clock is moved by {offset_ms / 1000:+g} s")
    if faults:
        write_line(f"\n{len(faults)} fault(s) active; see: session-harness faults list")


@click.command("env")
@network_options
@json_option
def env(state: Path | None, name: str, *, as_json: bool) -> None:
    """Print the environment that points clients at the testnet.

    In a shell: eval "$(session-harness env)"
    """
    from session_harness.running import read_running_state, state_path

    variables = environment_of(read_running_state(state_path(state, name)))
    if as_json:
        write_json(variables)
    else:
        for key, value in variables.items():
            write_line(f"export {key}={shlex.quote(value)}")


def environment_of(state: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the variables that clients read: the seed, and the gateway as proxy beyond loopback."""
    seed, gateway = state["registry"]["url"], state["gateway"]["url"]
    proxies = {"HTTP_PROXY": gateway, "HTTPS_PROXY": gateway, "NO_PROXY": NO_PROXY}
    # Some programs, curl for plain HTTP among them, read the lower-case names alone.
    lower = {name.lower(): value for name, value in proxies.items()}
    return {"LOCAL_DEVNET_SEED_URL": seed, "DEVNET_SEED_URL": seed, **proxies, **lower}


@click.command("logs")
@click.argument("node", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines until Ctrl-C.")
@click.option("--tail", type=click.IntRange(0), default=200, show_default=True, help="Number of last lines.")
@network_options
@json_option
def logs(node: str | None, state: Path | None, name: str, *, follow: bool, tail: int, as_json: bool) -> None:
    """Show what the services logged: one of them, or all."""
    from session_harness.following import appended
    from session_harness.running import running_network

    def write(lines: list[str]) -> None:
        for line in lines:
            if as_json:
                write_json({"line": line})
            else:
                write_line(line)

    with running_network(state, name) as network:
        window = max(tail, FOLLOW_WINDOW) if follow else tail
        seen = network.logs(node, tail=window)
        write(seen[len(seen) - min(tail, len(seen)) :])
        while follow:
            time.sleep(FOLLOW_INTERVAL_S)
            now = network.logs(node, tail=window)
            write(appended(seen, now))
            seen = now


@click.command("down")
@network_options
@json_option
def down(state: Path | None, name: str, *, as_json: bool) -> None:
    """End the running testnet."""
    from session_harness.running import state_path
    from session_harness.serving import end_network

    result = end_network(state_path(state, name))
    if as_json:
        write_json({"name": name, "message": result})
    else:
        note(result)
