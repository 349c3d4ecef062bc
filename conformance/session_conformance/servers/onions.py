"""Onion requests to a judged server: version 4 for servers, and the last layer for service nodes."""

from collections.abc import Mapping
from random import Random
from typing import Any

import orjson

from session_conformance.contract.testee import Testee
from session_conformance.servers.answers import Answer, ask
from session_protocol import onion
from session_protocol.errors import ProtocolError
from session_protocol.onion import EncryptionType

ONION_V4: str = "/oxen/v4/lsrpc"


def ask_v4(
    server: Testee,
    url: str,
    public_key: bytes,
    random: Random,
    method: str,
    endpoint: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    enc_type: EncryptionType = EncryptionType.AES_GCM,
) -> Answer:
    """Ask an endpoint inside an onion request; an answer that cannot be opened fails the check."""
    payload = onion.encode_v4_request(method, endpoint, dict(headers or {}), body)
    built = onion.build(
        [],
        onion.ServerDestination(host="localhost", x25519_pk=public_key),
        payload,
        enc_type=enc_type,
        random_bytes=random.randbytes,
    )
    outer = ask(server, "POST", url + ONION_V4, body=built.body, asked=f"{method} {endpoint} in an onion")
    outer.expect(200)
    try:
        inner = onion.decode_v4_response(onion.open_reply(built.reply_key, outer.body))
    except ProtocolError as error:
        raise AssertionError(f"the onion answer to {method} {endpoint} cannot be read: {error}") from error
    return Answer(f"{method} {endpoint} in an onion", inner.code, inner.headers, inner.body)


def ask_node_in_onion(
    server: Testee,
    url: str,
    keys: tuple[bytes, bytes],
    random: Random,
    request: Mapping[str, Any],
    *,
    relays: list[tuple[bytes, bytes]] | None = None,
    enc_type: EncryptionType = EncryptionType.AES_GCM,
    control: Mapping[str, Any] | None = None,
) -> tuple[int, Any]:
    """Send a request to a node (its Ed25519 and X25519 keys) as onion; return status and body inside.

    ``relays`` are the nodes before it, the one at ``url`` first.
    """
    built = onion.build(
        [onion.Hop(ed, x) for ed, x in relays or ()],
        onion.NodeDestination(*keys),
        orjson.dumps(dict(request)),
        enc_type=enc_type,
        control=control,
        random_bytes=random.randbytes,
    )
    outer = ask(server, "POST", f"{url}/onion_req/v2", body=built.body, asked="an onion request").expect(200)
    try:
        reply = onion.open_node_reply(built.reply_key, outer.body)
    except ProtocolError as error:
        raise AssertionError(f"the onion answer cannot be read: {error}") from error
    return reply.status, reply.body
