"""The exact texts of refused parameters (storage-rpc §3)."""

import base64
from typing import Any

import pytest

from session_protocol.accounts import Account

Nodes = Any
HASH = "A" * 43
SIGNATURE = base64.b64encode(bytes(64)).decode()
TOKEN = base64.b64encode(bytes(36)).decode()
NOW = 1_700_000_000_123
MISSING = object()

PUBKEY = Account.from_seed(bytes(range(32))).account_id
SIGNED = {"pubkey": PUBKEY, "signature": SIGNATURE}

# Complete parameters of each method, which the cases below change.
COMPLETE: dict[str, dict[str, Any]] = {
    "store": {"pubkey": PUBKEY, "timestamp": NOW, "ttl": 60_000, "data": "AAAA"},
    "retrieve": {**SIGNED, "timestamp": NOW},
    "delete": {**SIGNED, "messages": [HASH]},
    "delete_all": {**SIGNED, "timestamp": NOW},
    "delete_before": {**SIGNED, "before": NOW},
    "expire": {**SIGNED, "messages": [HASH], "expiry": NOW},
    "expire_all": {**SIGNED, "expiry": NOW},
    "get_expiries": {**SIGNED, "messages": [HASH], "timestamp": NOW},
    "revoke_subaccount": {**SIGNED, "revoke": TOKEN, "timestamp": NOW},
    "unrevoke_subaccount": {**SIGNED, "unrevoke": TOKEN, "timestamp": NOW},
    "revoked_subaccounts": {**SIGNED, "timestamp": NOW},
    "get_swarm": {"pubkey": PUBKEY},
    "oxend_request": {"endpoint": "get_service_nodes"},
}

INTEGER_TIME = "integer timestamp (in milliseconds)"
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("store", {"pubkey": MISSING}, "Required field 'pubkey' missing"),
    ("store", {"pubkey": None}, "Required field 'pubkey' missing"),
    ("store", {"pubKey": PUBKEY}, "Cannot specify both 'pubkey' and 'pubKey'"),
    ("store", {"pubkey": PUBKEY[:-2]}, "Pubkey must be 66 hex digits (33 bytes) long"),
    ("store", {"pubkey": "zz" + PUBKEY[2:]}, "Pubkey must be 66 hex digits (33 bytes) long"),
    ("store", {"pubkey": 5}, "Invalid value given for 'pubkey': expected string"),
    ("store", {"timestamp": MISSING}, "Required field 'timestamp' missing"),
    ("store", {"timestamp": "1e9"}, "Invalid value given for 'timestamp': \"1e9\""),
    ("store", {"timestamp": 1.5}, "Invalid value given for 'timestamp': expected integer"),
    ("store", {"ttl": MISSING}, "Required field 'expiry' or 'ttl' missing"),
    ("store", {"expiry": NOW}, "Cannot specify both 'expiry' and 'ttl'"),
    ("store", {"ttl": -1}, "Invalid value given for 'ttl': expected positive integer"),
    ("store", {"ttl": True}, "Invalid value given for 'ttl': expected positive integer"),
    ("store", {"ttl": MISSING, "expiry": "1"}, f"Invalid value given for 'expiry': expected {INTEGER_TIME}"),
    (
        "store",
        {"ttl": MISSING, "expiry": 999_999_999},
        "Invalid timestamp for 'expiry': timestamp must be in milliseconds",
    ),
    (
        "store",
        {"sig_timestamp": 12},
        "Invalid timestamp for 'sig_timestamp': timestamp must be in milliseconds",
    ),
    ("store", {"data": MISSING}, "Required field 'data' missing"),
    ("store", {"data": 1}, "Invalid value given for 'data': expected string"),
    ("store", {"data": "A"}, "Invalid 'data' value: not base64 encoded"),
    ("store", {"data": "AA=A"}, "Invalid 'data' value: not base64 encoded"),
    ("store", {"data": "AA=="[:3]}, "Invalid 'data' value: not base64 encoded"),
    ("store", {"data": "A_A-"}, "Invalid 'data' value: not base64 encoded"),
    ("store", {"namespace": 32_768}, "Invalid value given for 'namespace': value out of range"),
    ("store", {"namespace": -32_769}, "Invalid value given for 'namespace': value out of range"),
    ("store", {"namespace": "0"}, "Invalid value given for 'namespace': expected 16-bit integer"),
    ("store", {"namespace": "all"}, "Invalid value given for 'namespace': expected 16-bit integer"),
    ("retrieve", {"signature": MISSING}, "Required field 'signature' missing"),
    ("retrieve", {"timestamp": MISSING}, "Required field 'timestamp' missing"),
    ("retrieve", {"last_hash": "abc"}, "Invalid last_hash: expected base64 (43 chars)"),
    ("retrieve", {"last_hash": "!" * 43}, "Invalid last_hash: not base64"),
    ("retrieve", {"last_hash": HASH, "lastHash": HASH}, "Cannot specify both 'last_hash' and 'lastHash'"),
    ("retrieve", {"max_count": "5"}, "Invalid value given for 'max_count': expected integer"),
    ("retrieve", {"max_size": 1.0}, "Invalid value given for 'max_size': expected integer"),
    ("retrieve", {"reverse_direction": 1}, "Invalid value given for 'reverse_direction': expected boolean"),
    ("retrieve", {"timestamp": -1}, f"Invalid value given for 'timestamp': expected {INTEGER_TIME}"),
    ("retrieve", {"signature": "A" * 85}, "invalid signature: expected base64 encoded Ed25519 signature"),
    ("retrieve", {"signature": "A" * 88}, "invalid signature: expected base64 encoded Ed25519 signature"),
    (
        "retrieve",
        {"pubkey_ed25519": "ab"},
        "Invalid pubkey_ed25519: expected 64 hex char or 32 byte pubkey",
    ),
    ("retrieve", {"pubkey_ed25519": "z" * 64}, "invalid pubkey_ed25519: value is not hex"),
    (
        "retrieve",
        {"pubkey": "03" + PUBKEY[2:], "pubkey_ed25519": "ab" * 32},
        "pubkey_ed25519 is only permitted for 05[...] pubkeys",
    ),
    (
        "retrieve",
        {"subaccount": TOKEN},
        "invalid subaccount: subaccount_sig is required when using subaccount",
    ),
    (
        "retrieve",
        {"subaccount": TOKEN[:-1], "subaccount_sig": SIGNATURE},
        "invalid subaccount: expected base64 or hex-encoded subaccount token",
    ),
    (
        "retrieve",
        {"subaccount": TOKEN, "subaccount_sig": "A"},
        "invalid subaccount signature: expected base64 encoded Ed25519 signature",
    ),
    ("delete", {"messages": MISSING}, "Required field 'messages' missing"),
    ("delete", {"messages": []}, "messages does not contain any message hashes"),
    ("delete", {"messages": [HASH, 5]}, "Invalid value given for 'messages': expected string array"),
    ("delete", {"messages": {}}, "Invalid value given for 'messages': expected string array"),
    ("delete", {"messages": [HASH, "abc"]}, "invalid message hash: abc"),
    ("delete", {"messages": "A" * 42 + "="}, f"invalid message hash: {'A' * 42}="),
    ("delete", {"required": 0}, "Invalid value given for 'required': expected boolean"),
    ("delete", {"pubkey": MISSING, "pubKey": PUBKEY}, "Required field 'pubkey' missing"),
    ("delete_all", {"timestamp": MISSING}, "Required field 'timestamp' missing"),
    ("delete_all", {"namespace": "none"}, "Invalid value given for 'namespace': expected integer or \"all\""),
    ("delete_all", {"namespace": 40_000}, "Invalid value given for 'namespace': value out of range"),
    ("delete_before", {"before": MISSING}, "Required field 'before' missing"),
    ("delete_before", {"before": 1}, "Invalid timestamp for 'before': timestamp must be in milliseconds"),
    ("expire", {"expiry": MISSING}, "Required field 'expiry' missing"),
    ("expire", {"expiry": []}, "'expiry' does not contain any expiration timestamps"),
    ("expire", {"expiry": ["x"]}, "Invalid value given for 'expiry': expected timestamp array"),
    ("expire", {"expiry": -1}, "Invalid value given for 'expiry': expected timestamp array"),
    (
        "expire",
        {"expiry": [NOW, NOW]},
        "'expiry' must be a single expiry, or the same length as 'messages'",
    ),
    ("expire", {"shorten": True, "extend": True}, "cannot specify both 'shorten' and 'extend'"),
    ("expire", {"shorten": "yes"}, "Invalid value given for 'shorten': expected boolean"),
    ("expire", {"messages": ["abc"]}, "invalid message hash: abc"),
    ("expire_all", {"expiry": MISSING}, "Required field 'expiry' missing"),
    ("get_expiries", {"messages": []}, "messages does not contain any message hashes"),
    ("get_expiries", {"timestamp": MISSING}, "Required field 'timestamp' missing"),
    ("revoke_subaccount", {"revoke": MISSING}, "Required field 'revoke' missing"),
    ("revoke_subaccount", {"revoke": [1]}, "Invalid value given for 'revoke': expected string array"),
    ("unrevoke_subaccount", {"unrevoke": MISSING}, "Required field 'unrevoke' missing"),
    ("revoked_subaccounts", {"signature": MISSING}, "Required field 'signature' missing"),
    ("get_swarm", {"pubkey": MISSING}, "Required field 'pubkey' missing"),
    ("get_swarm", {"pubkey": PUBKEY[2:]}, "Pubkey must be 66 hex digits/33 bytes long"),
    ("oxend_request", {"endpoint": MISSING}, "Required field 'endpoint' missing"),
    ("oxend_request", {"endpoint": "get_info"}, "Invalid oxend endpoint 'get_info'"),
]


@pytest.mark.parametrize(("method", "change", "text"), CASES)
def test_refused_parameters(nodes: Nodes, method: str, change: dict[str, Any], text: str) -> None:
    merged = {**COMPLETE[method], **change}
    params = {name: value for name, value in merged.items() if value is not MISSING}
    answer = nodes.ask(method, params)
    assert (answer.status, answer.body) == (400, f"invalid request: {text}")
    assert answer.headers["Content-Type"] == "text/plain"


@pytest.mark.parametrize("method", sorted(COMPLETE))
def test_complete_parameters_are_not_refused_as_such(nodes: Nodes, method: str) -> None:
    assert nodes.ask(method, COMPLETE[method]).status != 400


@pytest.mark.parametrize(
    "change",
    [{"ttl": None, "expiry": NOW + 60_000}, {"namespace": None}, {"extra": 1}, {"signature": None}],
)
def test_null_is_absent_and_unknown_keys_are_ignored(nodes: Nodes, change: dict[str, Any]) -> None:
    assert nodes.ask("store", {**COMPLETE["store"], **change}).status == 200


def test_raw_keys_are_taken(nodes: Nodes) -> None:
    raw = "\x05" + "k" * 32
    answer = nodes.ask("get_swarm", {"pubkey": raw})
    assert answer.status == 200
    stored = nodes.ask("store", {**COMPLETE["store"], "pubkey": raw})
    assert stored.status == 200
