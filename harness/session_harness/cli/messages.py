"""``send`` and ``watch``: messages by hand."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from session_harness.cli.options import json_option, network_options
from session_harness.cli.output import note, write_json, write_line


@click.command("send")
@click.option(
    "--from", "sender", required=True, metavar="WORDS|FILE", help="Recovery password of the sender."
)
@click.option("--to", "recipient", required=True, metavar="ID", help="Account ID of the recipient.")
@click.argument("text")
@network_options
@json_option
def send(sender: str, recipient: str, text: str, state: Path | None, name: str, *, as_json: bool) -> None:
    """Send a text message over the testnet."""
    from session_harness.by_hand import read_account, read_recipient, send_text
    from session_harness.running import running_network

    account, to = read_account(sender), read_recipient(recipient)
    with running_network(state, name) as network:
        sent = send_text(network, account, to, text)
    if as_json:
        write_json({**sent, "from": account.account_id, "to": to})
    else:
        write_line(f"sent to {to} as {sent['hash']}")


@click.command("watch")
@click.argument("account_words", metavar="WORDS|FILE")
@click.option("--once", is_flag=True, help="Poll once and end.")
@network_options
@json_option
def watch(account_words: str, state: Path | None, name: str, *, once: bool, as_json: bool) -> None:
    """Show the messages that arrive for an account, until Ctrl-C."""
    from session_harness import by_hand
    from session_harness.running import running_network

    account = by_hand.read_account(account_words)

    def write(message: dict[str, Any]) -> None:
        if as_json:
            write_json(message)
        else:
            write_line(_line(message))

    with running_network(state, name) as network:
        if once:
            for message in by_hand.poll_once(network, account):
                write(message)
        else:
            note(f"Watching for {account.account_id}; press Ctrl-C to end.")
            by_hand.watch(network, account, write)


def _line(message: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(message["timestamp_ms"] / 1000, UTC).strftime("%H:%M:%S")
    content = message["content"]
    shown = content.get("body") if content["kind"] == "text" else None
    arrow = "→" if message["outgoing"] else "←"
    # repr keeps control characters of a stranger's text from the terminal.
    text = repr(shown)[1:-1] if isinstance(shown, str) else f"({content['kind']})"
    return f"{at}  {arrow} {message['conversation'][:12]}…  {text}"
