"""Push notifications: signatures of subscriptions, and what is sealed for a device (push-server)."""

import base64
import json
from pathlib import Path
from typing import Any

import nacl.bindings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_protocol import bencode
from session_protocol.accounts import Account
from session_protocol.ed25519 import sign_detached
from session_protocol.errors import BadFormat, BadPadding, DecryptFailed, InvalidLength, ProtocolError
from session_protocol.push import (
    MAX_BODY_BYTES,
    PADDED_TO,
    Notification,
    monitor_payload,
    notification_of,
    open_notification,
    seal_notification,
    unsubscribe_payload,
)

VECTORS = json.loads((Path(__file__).parent / "data" / "push.json").read_text())
KEY = bytes(range(32))
NONCE = bytes(24)
ACCOUNT_ID = "05" + "ab" * 32


def told(body: bytes | None = b"sealed", **changes: Any) -> Notification:
    values: dict[str, Any] = {"timestamp_ms": 1_760_000_000_000, "expiry_ms": 1_760_000_060_000, **changes}
    return notification_of(ACCOUNT_ID, "hash+/of", -400, body=body, **values)


def sealed(value: bytes, key: bytes = KEY) -> str:
    raw = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(value, None, NONCE, key)
    return base64.b64encode(NONCE + raw).decode()


def opened(enc_payload: str) -> bytes:
    raw = base64.b64decode(enc_payload)
    return bytes(nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(raw[24:], None, raw[:24], KEY))


@pytest.mark.parametrize("vector", VECTORS["signatures"], ids=lambda vector: vector["kind"])
def test_signatures_are_the_published_ones(vector: dict[str, Any]) -> None:
    account = Account.from_seed(bytes.fromhex(VECTORS["account"]["seed"]))
    assert account.account_id == VECTORS["account"]["session_id"]
    if vector["kind"] == "subscribe":
        payload = monitor_payload(
            account.account_id, vector["sig_ts"], vector["namespaces"], with_data=vector["data"]
        )
    else:
        payload = unsubscribe_payload(account.account_id, vector["sig_ts"])
    assert payload.decode() == vector["payload"]
    assert sign_detached(account.ed25519_sk, payload).hex() == vector["signature"]


def test_without_data_the_flag_is_0() -> None:
    assert monitor_payload("05AB", 7, [0], with_data=False) == b"MONITOR05ab700"


@given(
    account_id=st.binary(min_size=33, max_size=33).map(bytes.hex),
    message_hash=st.text(st.characters(codec="utf-8"), max_size=43),
    namespace=st.integers(-(2**15), 2**15 - 1),
    timestamp_ms=st.integers(0, 2**53),
    expiry_ms=st.integers(0, 2**53),
    body=st.none() | st.binary(max_size=MAX_BODY_BYTES + 50),
    key=st.binary(min_size=32, max_size=32),
)
def test_what_is_sealed_comes_out_again(
    account_id: str,
    message_hash: str,
    namespace: int,
    timestamp_ms: int,
    expiry_ms: int,
    body: bytes | None,
    key: bytes,
) -> None:
    sent = notification_of(
        account_id, message_hash, namespace, timestamp_ms=timestamp_ms, expiry_ms=expiry_ms, body=body
    )
    enc_payload = seal_notification(key, sent)
    assert open_notification(key, enc_payload) == sent
    assert (len(base64.b64decode(enc_payload)) - 24 - 16) % PADDED_TO == 0
    assert account_id not in enc_payload
    with pytest.raises(DecryptFailed):
        open_notification(bytes(32) if any(key) else KEY, enc_payload)


@pytest.mark.parametrize(
    ("size", "told_size", "sent"),
    [
        (0, None, None),
        (1, 1, 1),
        (MAX_BODY_BYTES, MAX_BODY_BYTES, MAX_BODY_BYTES),
        (MAX_BODY_BYTES + 1, MAX_BODY_BYTES + 1, None),
    ],
)
def test_a_body_that_is_too_long_is_announced_and_left_out(
    size: int, told_size: int | None, sent: int | None
) -> None:
    notification = told(bytes(size))
    assert notification.size == told_size
    assert notification.body == (None if sent is None else bytes(sent))
    assert notification.too_long == (size > MAX_BODY_BYTES)
    # What is longest still fits into what push services carry.
    assert len(seal_notification(KEY, notification)) < 4000


def test_the_form_with_a_body_is_json_and_the_body() -> None:
    plain = opened(seal_notification(KEY, told(b"\x00sealed\x00"), nonce=NONCE))
    first, body = bencode.decode(plain.rstrip(b"\x00"))  # type: ignore[misc]
    assert json.loads(first) == {  # type: ignore[arg-type]
        "@": ACCOUNT_ID,
        "#": "hash+/of",
        "n": -400,
        "t": 1_760_000_000_000,
        "z": 1_760_000_060_000,
        "l": 8,
    }
    assert body == b"\x00sealed\x00"


def test_the_form_without_a_body_is_a_dictionary() -> None:
    plain = opened(seal_notification(KEY, told(bytes(3000)), nonce=NONCE))
    assert bencode.decode(plain.rstrip(b"\x00")) == [
        {
            b"@": ACCOUNT_ID.encode(),
            b"#": b"hash+/of",
            b"n": -400,
            b"t": 1_760_000_000_000,
            b"z": 1_760_000_060_000,
            b"l": 3000,
            b"B": 1,
        }
    ]


def padded(*parts: Any) -> bytes:
    plain = bencode.encode(list(parts))
    return plain + bytes(-len(plain) % PADDED_TO)


def information(**changes: Any) -> dict[str, Any]:
    known = {"@": ACCOUNT_ID, "#": "h", "n": 0, "l": 3, "B": True, **changes}
    return {key: value for key, value in known.items() if value is not None}


def test_both_forms_are_read_without_a_body_and_older_servers_without_times() -> None:
    expected = Notification(ACCOUNT_ID, "h", 0, size=3, too_long=True)
    assert open_notification(KEY, sealed(padded(information()))) == expected
    assert open_notification(KEY, sealed(padded(json.dumps(information())))) == expected


@pytest.mark.parametrize(
    ("plain", "error"),
    [
        (padded(information())[:-1], BadPadding),
        (bencode.encode([information()]), BadPadding),
        (bytes(PADDED_TO), BadFormat),
        (padded(), BadFormat),
        (padded(1), BadFormat),
        (padded("x"), BadFormat),
        (padded("[]"), BadFormat),
        (padded(information(), 1), BadFormat),
        (padded(information(), "body", "more"), BadFormat),
        (padded(information(), "body"), BadFormat),
        (padded(information(n=None)), BadFormat),
        (padded(information(n="0")), BadFormat),
        (padded({**information(), "x": b"\xff"}), BadFormat),
        (padded(json.dumps(information(B=1))), BadFormat),
        (padded(json.dumps(information(l=True))), BadFormat),
        (padded(json.dumps(information(t="now"))), BadFormat),
        (padded(json.dumps({**information(), "#": 5})), BadFormat),
    ],
)
def test_what_is_no_notification_is_refused(plain: bytes, error: type[ProtocolError]) -> None:
    with pytest.raises(error):
        open_notification(KEY, sealed(plain))


def test_an_account_that_is_none_is_refused() -> None:
    with pytest.raises(ProtocolError):
        open_notification(KEY, sealed(padded({**information(), "@": "05"})))


@given(st.text(max_size=60) | st.binary(max_size=300).map(lambda raw: base64.b64encode(raw).decode()))
def test_anything_else_is_refused_in_words(enc_payload: str) -> None:
    with pytest.raises(ProtocolError):
        open_notification(KEY, enc_payload)


@given(st.binary(max_size=PADDED_TO))
def test_any_plaintext_is_read_or_refused(plain: bytes) -> None:
    try:
        open_notification(KEY, sealed(plain + bytes(-len(plain) % PADDED_TO)))
    except ProtocolError:
        return


def test_keys_and_nonces_have_their_size() -> None:
    for call in (
        lambda: seal_notification(b"short", told()),
        lambda: seal_notification(KEY, told(), nonce=b"short"),
        lambda: open_notification(b"short", "AAAA"),
    ):
        with pytest.raises(InvalidLength):
            call()


@given(st.data())
def test_a_flipped_bit_is_noticed(data: st.DataObject) -> None:
    raw = bytearray(base64.b64decode(seal_notification(KEY, told(), nonce=NONCE)))
    at = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[at // 8] ^= 1 << at % 8
    with pytest.raises(DecryptFailed):
        open_notification(KEY, base64.b64encode(raw).decode())
