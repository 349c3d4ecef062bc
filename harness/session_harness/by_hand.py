"""Accounts and messages for a person who tries the testnet out."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from session_harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from session_protocol.accounts import Account
    from session_testnet import NetworkHandle
    from session_testnet.client import MessagingClient, ReceivedMessage, SentMessage

T = TypeVar("T")

WATCH_INTERVAL_S: Final = 0.5
NODES_OF_AN_ONION_REQUEST: Final = 4  # three relays and the destination (onion-requests §2)


def read_account(text: str) -> "Account":
    """Return the account of a recovery password, a hex seed, a file that holds one, or stdin (``-``).

    Raise UsageError for anything else.
    """
    from session_protocol.accounts import Account
    from session_protocol.errors import ProtocolError

    secret, where = _secret(text)
    try:
        if _is_seed(secret):
            return Account.from_seed(bytes.fromhex(secret))
        return Account.from_recovery_password(secret)
    except ProtocolError as error:
        raise UsageError(
            f"{where} is no recovery password: {error}",
            hint="make an account with: session-harness account new",
        ) from error


def describe_account(account: "Account") -> dict[str, str]:
    """Return what is shown of an account, its recovery password included."""
    return {
        "account_id": account.account_id,
        "recovery_password": account.recovery_password,
        "ed25519_pk": account.ed25519_pk.hex(),
        "x25519_pk": account.x25519_pk.hex(),
        "seed_hex": account.entropy.hex(),
    }


def read_recipient(text: str) -> str:
    """Return a recipient's Account ID in lower case; raise UsageError for anything else."""
    from session_protocol.accounts import IdKind, id_kind

    if id_kind(text) is not IdKind.STANDARD:
        raise UsageError(
            f"{text!r} is no Account ID",
            hint="an Account ID is 05 and 64 hexadecimal digits, as account new prints it",
        )
    return text.lower()


def send_text(network: "NetworkHandle", sender: "Account", recipient: str, text: str) -> dict[str, Any]:
    """Send one text message and return its timestamp (ms) and hashes."""

    async def run() -> "SentMessage":
        async with _client(network, sender) as client:
            return await client.send(recipient, {"kind": "text", "body": text})

    sent = _run(run())
    return {"timestamp_ms": sent.timestamp_ms, "hash": sent.hash, "sync_hash": sent.sync_hash}


def poll_once(network: "NetworkHandle", account: "Account") -> list[dict[str, Any]]:
    """Return the messages that wait for an account."""

    async def run() -> list[dict[str, Any]]:
        async with _client(network, account) as client:
            return [_plain(message) for message in await client.poll()]

    return _run(run())


def watch(network: "NetworkHandle", account: "Account", write: Callable[[dict[str, Any]], None]) -> None:
    """Poll until interrupted and hand over each message as it comes."""

    async def run() -> None:
        async with _client(network, account) as client:
            while True:
                for message in await client.poll():
                    write(_plain(message))
                await asyncio.sleep(WATCH_INTERVAL_S)

    _run(run())


@asynccontextmanager
async def _client(network: "NetworkHandle", account: "Account") -> AsyncIterator["MessagingClient"]:
    from session_testnet.client import FileServerInfo, MessagingClient, NetworkClient

    files = network.state["files"]
    connection = NetworkClient(
        account,
        [network.state["registry"]["url"]],
        use_onion=len(network.state["nodes"]) >= NODES_OF_AN_ONION_REQUEST,
        file_server=FileServerInfo(files["url"], bytes.fromhex(files["pubkey_x25519"])),
        offset_ms=network.clock.offset_ms,
    )
    try:
        yield MessagingClient(account, connection, device="session-harness")
    finally:
        await connection.aclose()


def _run(work: Coroutine[Any, Any, T]) -> T:
    from session_testnet.client import ClientError

    try:
        return asyncio.run(work)
    except ClientError as error:
        raise HarnessError(error.message, hint="see how the nodes do: session-harness status") from error


def _plain(message: "ReceivedMessage") -> dict[str, Any]:
    return {
        "sender": message.sender,
        "conversation": message.conversation,
        "outgoing": message.outgoing,
        "timestamp_ms": message.timestamp_ms,
        "hash": message.hash,
        "content": dict(message.content),
    }


def _secret(text: str) -> tuple[str, str]:
    if text == "-":
        return sys.stdin.read().strip(), "stdin"
    if " " not in text.strip() and not _is_seed(text.strip()):
        try:
            return Path(text).read_text("utf-8").strip(), f"the file {text}"
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(
                f"{text!r} is neither a recovery password nor a readable file: {reason}",
                hint="quote the words of a recovery password: they are one argument",
            ) from error
    return text.strip(), "the text"


def _is_seed(text: str) -> bool:
    return len(text) in (32, 64) and all(digit in "0123456789abcdefABCDEF" for digit in text)
