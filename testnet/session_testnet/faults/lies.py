"""Answers of a node that lies or breaks off: cut short, with forged messages, with those of others."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
import pybase64

from session_protocol import bencode
from session_protocol.accounts import Account, account_id_from_x25519
from session_protocol.errors import InvalidArgument
from session_protocol.messages import encode_1o1
from session_protocol.primitives import STRICT, Primitives
from session_protocol.storage_auth import message_hash
from session_testnet.services.storage.bt_form import to_bt
from session_testnet.services.storage.results import RpcResult

_STANDARD_PREFIX: Final = 5
_SEED_BYTES: Final = 32
# How many bytes a message has that was made up for an account whose messages are not sealed for its key.
_NOISE_BYTES: Final = 480
_TTL_MS: Final = 14 * 24 * 3600 * 1000
_WORDS: Final = ("hello", "see you there", "send me your recovery password", "it was not me", "ok")


def can_be_truncated(result: RpcResult) -> bool:
    """Tell whether an answer has a body of which something would be left."""
    return not isinstance(result.body, str | bytes) or len(result.body) > 1


def truncated(result: RpcResult, rng: random.Random, *, bt: bool = False) -> RpcResult:
    """Return an answer whose body ends early, at a place drawn from all there are, though not empty.

    Objects are written out first, as JSON or in bt, and never parse again. A body that cannot be cut is left
    as it is.
    """
    if not can_be_truncated(result):
        return result
    body = result.body
    if not isinstance(body, str | bytes):
        body = bencode.encode(to_bt(body)) if bt else _json(body)
    return RpcResult(result.status, body[: rng.randrange(1, len(body))])


def forged(
    messages: Sequence[Any], rng: random.Random, account: bytes, *, namespace: int, now_ms: int
) -> list[Any]:
    """Return messages with one among them that nobody sent, at a place drawn by ``rng``.

    It opens with the key of the account (33 bytes), and the signature of its sender is wrong inside
    (client-protocol §2.1). For an account whose messages are not sealed for a key of its own, it is noise.
    """
    sender = Account.from_seed(rng.randbytes(_SEED_BYTES))
    data = _sealed(sender, account, rng, now_ms, _FalseSigner())
    return _with(messages, _message(account, namespace, data, now_ms), rng)


def foreign(messages: Sequence[Any], rng: random.Random, *, namespace: int, now_ms: int) -> list[Any]:
    """Return messages with one among them that is another account's, at a place drawn by ``rng``.

    It is sound in itself, and was never meant for who retrieves it.
    """
    sender, recipient = (Account.from_seed(rng.randbytes(_SEED_BYTES)) for _ in range(2))
    account = bytes.fromhex(recipient.account_id)
    data = _sealed(sender, account, rng, now_ms, STRICT)
    return _with(messages, _message(account, namespace, data, now_ms), rng)


def time_of(body: Mapping[str, Any]) -> int:
    """Return the time that an answer tells, in ms, or that of its newest message; 0 when it tells none."""
    told = body.get("t")
    if isinstance(told, int):
        return told
    times = [message.get("timestamp") for message in body.get("messages", ()) if isinstance(message, Mapping)]
    return max((each for each in times if isinstance(each, int)), default=0)


class _FalseSigner:
    """Sign so that nobody can verify it; check as others do."""

    def sign(self, account: Account, message: bytes) -> bytes:
        signature = bytearray(STRICT.sign(account, message))
        signature[0] ^= 1
        return bytes(signature)

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        STRICT.verify(public_key, message, signature)

    def account_id(self, ed25519_pk: bytes) -> str:
        return STRICT.account_id(ed25519_pk)


def _sealed(
    sender: Account, account: bytes, rng: random.Random, now_ms: int, primitives: Primitives
) -> bytes:
    """Return the data of a text message for an account."""
    content = {"kind": "text", "body": rng.choice(_WORDS)}
    if account[0] == _STANDARD_PREFIX:
        try:
            return encode_1o1(
                sender,
                account_id_from_x25519(account[1:]),
                content,
                now_ms,
                random_bytes=rng.randbytes,
                primitives=primitives,
            )
        except InvalidArgument:
            # Nobody has the key of this account.
            pass
    return rng.randbytes(_NOISE_BYTES)


def _message(account: bytes, namespace: int, data: bytes, now_ms: int) -> dict[str, Any]:
    """Return a message as ``retrieve`` lists it."""
    return {
        "hash": message_hash(account, namespace, data),
        "timestamp": now_ms,
        "expiration": now_ms + _TTL_MS,
        "data": pybase64.b64encode(data).decode(),
    }


def _with(messages: Sequence[Any], message: Any, rng: random.Random) -> list[Any]:
    place = rng.randint(0, len(messages))
    return [*messages[:place], message, *messages[place:]]


def _json(body: Any) -> str:
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()
