"""Answers of onion requests: sealed by the destination, opened by the client (onion-requests §§4.4, 5)."""

import base64
import binascii
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from session_protocol.errors import BadFormat, InvalidArgument
from session_protocol.onion.encryption import ReplyKey, decrypt, encrypt
from session_protocol.onion.frames import dump_json, parse_json_object


@dataclass(frozen=True, slots=True)
class NodeReply:
    """What a service node answered: its status, and its body as JSON value or as text."""

    status: int
    body: Any


def seal_reply(
    reply_key: ReplyKey,
    plaintext: bytes,
    *,
    nonce: bytes | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Encrypt an answer with the key of the request's last layer; the nonce is random unless given."""
    return encrypt(
        reply_key, plaintext, random_bytes(reply_key.enc_type.nonce_bytes) if nonce is None else nonce
    )


def open_reply(reply_key: ReplyKey, data: bytes) -> bytes:
    """Decrypt the raw bytes of an answer. Raise DecryptFailed."""
    return decrypt(reply_key, data)


def node_reply_plaintext(status: int, body: Any, *, embed_json: bool) -> bytes:
    """Write a node's answer: ``{"body": …, "status": …}``, compact, keys in alphabetical order.

    A text (or bytes in UTF-8) stays a string; a JSON value is written into a string, or, with
    ``embed_json``, as it is (onion-requests §4.4). Raise InvalidArgument for what JSON cannot express.
    """
    if isinstance(body, bytes):
        try:
            body = body.decode()
        except UnicodeDecodeError as error:
            raise InvalidArgument(f"a node's answer is text or JSON, not binary: {error}") from None
    elif not isinstance(body, str) and not embed_json:
        body = dump_json(body).decode()
    return dump_json({"body": body, "status": status})


def parse_node_reply(plaintext: bytes) -> NodeReply:
    """Read a node's answer; a body string that holds a JSON object or list is read as such.

    A string that holds another JSON value stays text: nodes answer with objects, and a text may look like
    a number. Raise BadFormat.
    """
    reply = parse_json_object(plaintext)
    status = reply.get("status")
    if not isinstance(status, int) or isinstance(status, bool):
        raise BadFormat("a node's answer needs an integer under status")
    if "body" not in reply:
        raise BadFormat("a node's answer needs a body")
    body = reply["body"]
    if isinstance(body, str) and body.lstrip()[:1] in ("{", "["):
        try:
            body = orjson.loads(body)
        except orjson.JSONDecodeError:
            return NodeReply(status, body)
    return NodeReply(status, body)


def open_node_reply(reply_key: ReplyKey, data: bytes) -> NodeReply:
    """Decrypt and read a node's answer, in base64 as by default, or raw. Raise DecryptFailed or BadFormat."""
    # A raw answer that happens to be made of base64 letters alone would need 28 bytes of luck.
    with contextlib.suppress(binascii.Error):
        data = base64.b64decode(data, validate=True)
    return parse_node_reply(open_reply(reply_key, data))
