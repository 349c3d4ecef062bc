"""Replay the known-answer vectors of accounts, words, sealing, padding, contents, messages, attachments."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from session_conformance import vectors
from session_conformance.vectors import VectorCase
from session_protocol import attachments, content, messages, mnemonic, padding, sealing
from session_protocol.accounts import Account, ed25519_pk_to_x25519, parse_account_id, x25519_pk_to_ed25519
from session_protocol.errors import ProtocolError
from session_protocol.padding import PaddingRule

Answer = Mapping[str, Any]
FILES = ("identity", "mnemonic", "sealing", "padding", "content", "messages", "attachments")


def derive(case: VectorCase) -> Answer:
    account = Account.from_seed(_bytes(case, "seed_hex"))
    return {
        "ed25519_seed": account.ed25519_seed.hex(),
        "ed25519_pk": account.ed25519_pk.hex(),
        "ed25519_sk64": account.ed25519_sk.hex(),
        "x25519_pk": account.x25519_pk.hex(),
        "x25519_sk": account.x25519_sk.hex(),
        "session_id": account.account_id,
    }


def ed25519_secret_to_x25519(case: VectorCase) -> Answer:
    return {"x25519_sk": Account.from_seed(_bytes(case, "ed25519_sk64")[:32]).x25519_sk.hex()}


def decode_words(case: VectorCase) -> Answer:
    data = mnemonic.decode(case.input["words"], case.input["language"])
    return {"seed_hex": data.hex(), "session_id": Account.from_seed(data).account_id}


def describe_words(case: VectorCase) -> Answer:
    listing = mnemonic.word_list(case.input["language"])
    digest = hashlib.sha256("\n".join(listing.words).encode()).hexdigest()
    return {
        "count": len(listing.words),
        "prefix_length": listing.prefix_length,
        "sha256_of_words_joined_by_newline": digest,
    }


def seal_deterministic(case: VectorCase) -> Answer:
    sender = Account.from_seed(_bytes(case, "sender_seed"))
    recipient = parse_account_id(case.input["recipient_session_id"])
    return {"ciphertext": sealing.seal_deterministic(sender, recipient, _bytes(case, "message_hex")).hex()}


def open_sealed(case: VectorCase) -> Answer:
    opened = sealing.open_sealed(
        Account.from_seed(_bytes(case, "recipient_seed")), _bytes(case, "ciphertext")
    )
    return {
        "message_hex": opened.message.hex(),
        "sender_session_id": opened.sender_account_id,
        "sender_ed25519": opened.sender_ed25519.hex(),
    }


def pad(case: VectorCase) -> Answer:
    (rule,) = [PaddingRule(flag.removeprefix("padding:")) for flag in case.flags]
    return {"padded_hex": padding.pad(_bytes(case, "message_hex"), rule).hex()}


def decode_message(case: VectorCase) -> Answer:
    recipient = Account.from_seed(_bytes(case, "recipient_seed"))
    decoded = messages.decode_1o1(recipient, base64.b64decode(case.input["data_base64"], validate=True))
    return {
        "sender_session_id": decoded.sender_account_id,
        "timestamp_ms": decoded.timestamp_ms,
        "content": decoded.content,
        "content_hex": decoded.content_bytes.hex(),
        "envelope": {
            "type": decoded.envelope.type,
            "timestamp": decoded.envelope.timestamp_ms,
            "source": decoded.envelope.source,
            "source_device": decoded.envelope.source_device,
            "prosig_length": len(decoded.envelope.prosig or b""),
        },
    }


def encrypt_legacy(case: VectorCase) -> Answer:
    made = attachments.encrypt_legacy(
        _bytes(case, "data_hex"), key=_bytes(case, "key64"), iv=_bytes(case, "iv")
    )
    return {
        "blob_hex": made.blob.hex(),
        "key64": made.key.hex(),
        "digest_sha256": made.digest.hex(),
        "size": made.size,
    }


def decrypt_legacy(case: VectorCase) -> Answer:
    data = attachments.decrypt_legacy(
        _bytes(case, "blob_hex"), _bytes(case, "key64"), _bytes(case, "digest"), case.input["size"]
    )
    return {"data_hex": data.hex()}


def encrypt_stream(case: VectorCase) -> Answer:
    data = _bytes(case, "data_hex")
    blob, key = attachments.encrypt_stream(_bytes(case, "seed_hex"), data, case.input["domain"])
    assert attachments.decrypt_stream(blob, key) == data
    return {"key32": key.hex(), "blob_hex": blob.hex(), "blob_hex_sha256": hashlib.sha256(blob).hexdigest()}


def picture(case: VectorCase) -> Answer:
    blob = attachments.encrypt_profile_picture(
        _bytes(case, "data_hex"), _bytes(case, "key32"), iv=_bytes(case, "iv12")
    )
    return {"blob_hex": blob.hex()}


OPERATIONS: dict[str, Callable[[VectorCase], Answer]] = {
    "identity.derive": derive,
    "curve.ed_pk_to_x": lambda case: {"x25519_pk": ed25519_pk_to_x25519(_bytes(case, "ed25519_pk")).hex()},
    "curve.x_pk_to_ed": lambda case: {"ed25519_pk": x25519_pk_to_ed25519(_bytes(case, "x25519_pk")).hex()},
    "curve.ed_sk_to_x": ed25519_secret_to_x25519,
    "mnemonic.encode": lambda case: {
        "words": mnemonic.encode(_bytes(case, "seed_hex"), case.input["language"])
    },
    "mnemonic.decode": decode_words,
    "mnemonic.wordlist": describe_words,
    "session.encrypt_deterministic": seal_deterministic,
    "session.decrypt": open_sealed,
    "padding.pad": pad,
    "padding.unpad": lambda case: {"message_hex": padding.unpad(_bytes(case, "padded_hex")).hex()},
    "message.parse_content": lambda case: {"content": content.parse_content(_bytes(case, "content_hex"))},
    "message.build_content": lambda case: {"content_hex": content.build_content(case.input["content"]).hex()},
    "message.decode_1o1": decode_message,
    "attachment.encrypt_legacy": encrypt_legacy,
    "attachment.decrypt_legacy": decrypt_legacy,
    "attachment.legacy_padded_size": lambda case: {
        "padded": attachments.legacy_padded_size(case.input["size"])
    },
    "attachment.encrypt": encrypt_stream,
    "attachment.decrypt": lambda case: {
        "data_hex": attachments.decrypt_stream(_bytes(case, "blob_hex"), _bytes(case, "key32")).hex()
    },
    "attachment.size": lambda case: {
        "size": attachments.stream_blob_size(
            case.input["size"], allow_large=case.input.get("allow_large", False)
        )
    },
    "profile_pic.encrypt_legacy": picture,
    "profile_pic.decrypt_legacy": lambda case: {
        "data_hex": attachments.decrypt_profile_picture(_bytes(case, "blob_hex"), _bytes(case, "key32")).hex()
    },
}
CASES = [case for name in FILES for case in vectors.cases(name)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.operation}:{case.id}")
def test_vector(case: VectorCase) -> None:
    answer = OPERATIONS[case.operation]
    if case.error is not None:
        with pytest.raises(ProtocolError) as refusal:
            answer(case)
        assert refusal.value.code == case.error
        return
    given = answer(case)
    assert case.output, "a case without an answer tests nothing"
    assert {key: given[key] for key in case.output} == dict(case.output)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_has_cases(operation: str) -> None:
    assert any(case.operation == operation for case in CASES)


def _bytes(case: VectorCase, name: str) -> bytes:
    return bytes.fromhex(case.input[name])
