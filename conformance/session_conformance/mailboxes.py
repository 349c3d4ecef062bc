"""Look past the testees into mailboxes and the file server, to see what they really hold."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from session_conformance.actors import Actor
from session_conformance.checks import reading
from session_conformance.testnet_errors import TestnetErred
from session_protocol import attachments, messages

if TYPE_CHECKING:
    from session_testnet import NetworkHandle

DOWNLOAD_S: Final = 10.0


def mailbox(network: "NetworkHandle", owner: Actor) -> list[messages.DecodedMessage]:
    """Read a mailbox as its owner from every member.

    Raise TestnetErred when the members hold different messages, AssertionError for one that cannot be read.
    """
    held = [
        network.stored_messages(node.name, owner.account_id, 0) for node in network.swarm(owner.account_id)
    ]
    if any(_hashes(one) != _hashes(held[0]) for one in held):
        raise TestnetErred(f"the members of a swarm hold different messages of {owner.account_id}")
    with reading("a message that the testee stored"):
        return [messages.decode_1o1(owner.account, bytes.fromhex(message["data"])) for message in held[0]]


def _hashes(stored: list[dict[str, Any]]) -> list[str]:
    return sorted(message["hash"] for message in stored)


def uploaded_file(network: "NetworkHandle", pointer: Mapping[str, Any]) -> bytes:
    """Fetch what an attachment pointer names from the network's own file server, and open it.

    Raise AssertionError when there is no such file, or the pointer does not open it.
    """
    file_id = str(pointer["url"]).partition("#")[0].rpartition("/")[2]
    url = f"{network.state['files']['url']}/file/{file_id}"
    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_S) as answer:  # noqa: S310  # our own server
            blob = answer.read()
    except urllib.error.HTTPError as error:
        raise AssertionError(f"the file server answers {error.code} for {pointer['url']}") from error
    key, digest = bytes.fromhex(pointer["key_hex"]), bytes.fromhex(pointer.get("digest_hex") or "")
    with reading("the attachment that the testee uploaded"):
        if len(key) == attachments.STREAM_KEY_BYTES and not digest:
            return attachments.decrypt_stream(blob, key)
        return attachments.decrypt_legacy(blob, key, digest, pointer["size"])
