"""How a testnet is shown to people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from session_harness.cli.console import result_console

_STATUS_STYLES = {"running": "green", "paused": "yellow", "stopped": "red"}
# Without OMQ the registry has no address for it.
_REGISTRY_ADDRESSES = ("url", "https_url", "omq_address")


def show_services(state: Mapping[str, Any]) -> None:
    """Write where everything listens."""
    swarms = {node["swarm_id"] for node in state["nodes"]}
    console = result_console()
    count = len(state["nodes"])
    size = f"{count} service node{_s(count)} in {len(swarms)} swarm{_s(len(swarms))}"
    console.print(
        f"[bold]testnet {escape(state['name'])}[/]  {size}, engine {state['engine']}, "
        f"seed {escape(state['seed'])}"
    )
    rows = _services(state)
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        # Not broken into lines: addresses are there to be copied.
        console.print(f"  [dim]{escape(label.ljust(width))}[/]  {escape(value)}", soft_wrap=True)


def show_nodes(nodes: Sequence[Mapping[str, Any]]) -> None:
    """Write one line for each service node."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("node", "status", "address", "swarm", "Ed25519 key"):
        table.add_column(heading, no_wrap=heading != "Ed25519 key")
    for node in nodes:
        style = _STATUS_STYLES.get(node["status"], "")
        table.add_row(
            node["name"],
            f"[{style}]{node['status']}[/]" if style else node["status"],
            f"https://{node['ip']}:{node['https_port']}",
            node["swarm_id"],
            node["pubkey_ed25519"],
        )
    result_console().print(table)


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _services(state: Mapping[str, Any]) -> list[tuple[str, str]]:
    registry = state["registry"]
    rows = [
        ("registry", "  ".join(registry[key] for key in _REGISTRY_ADDRESSES if key in registry)),
        ("community", state["community"]["url"]),
        *((f"  room {room['token']}", room["join_url"]) for room in state["community"]["rooms"]),
        ("files", state["files"]["url"]),
        *((("push", state["push"]["url"]),) if "push" in state else ()),
        ("gateway", state["gateway"]["url"]),
        ("control", state["control"]["url"]),
    ]
    rows += [
        (f"account {account['name']}", f"{account['account_id']}  {account['recovery_password']}")
        for account in state.get("accounts", ())
    ]
    return rows
