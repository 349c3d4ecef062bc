"""Known answers: hashes, signatures of clients and of nodes (storage-rpc §17)."""

import base64
from typing import Any

import pytest

from session_conformance import vectors
from session_protocol.accounts import Account
from session_protocol.service_nodes import NodeIdentity
from session_protocol.storage_auth import sign_request
from session_testnet.clock import Clock
from session_testnet.peers import DirectPeerLink
from session_testnet.services.registry import NetworkSnapshot, NodeInfo
from session_testnet.services.storage import StorageNode
from session_testnet.trace import Trace

TS = 1_700_000_000_123
USER = Account.from_seed(bytes(range(32)))
SESSION_ID = "054701d08488451f545a409fb58ae3e58581ca40ac3f7f114698cd71deac73ca01"
GROUP_ID = "0303a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
H1 = "SHpOiupvBW6BNdF6fHuYrA4JxSEBflu9BHSDSNj2+eY"
H2 = "us9obLvoiRUUrhwc1FPWQ2HLmeo9zPeCEP4EMaZH55M"
TOKEN = "AwMAACmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"
OWNER_SIGNATURE = "lsVhDBA8WBVs9grdG1tBNblrbwJVWo1c/cTfb6YfmbUQ6QxoMrXT4N+4uJ+00kri8wXFpgOGobLxVUgo5/WPDA=="

SIGNATURES = {
    "retrieve": ("zhexSfqcwZpslCJpGuNGFFMo+bXhGT1vknqNqa0k6lQHfLuVyIFZZ57Uas06WvJhgEjER4pZc0YJsvNAr4zKDw=="),
    "store-42": ("8oBW38isWOSXss/nWQ1bTkjZnC0y9sV/+7d1qa8IObBrml4LwD1U6XCR4qeJ2fhJLlzOYzLkzuOnElRKnx4lDw=="),
    "delete_all": (
        "K3gzt7V3TS4+jeMxdVIMpAFuswPOwrYw4jEh/HMYM6GugX8GHQksIw3r43OSWe5Xju1YPuCfXXHak7mXDNYxBw=="
    ),
    "delete_before": (
        "PgYRqUHw0KNL22tfMFKmymaR1fUQq3zkGMSMv1tIAn4ThxRKgdserAlzhtYAJHfPXtYhoxr1pWB+Dia0SsEkBQ=="
    ),
    "expire_all": (
        "4bsqOPhPsciIqBywGHTGTHHFjQW2w40lCkcl2Q5X6s/2iLP6a82YulBty28oM+IxTJSAdK4tKPS1g9AZVha1Bw=="
    ),
    "delete": ("UdiD69GVatb7YzsCUUhAKyVw9EWnNQwDFaXr6UcW96MqUEIlrrvzz/nDM0TpBweM4UA0OhJLJGq7JbxVeHkqAQ=="),
    "expire": ("wJIijWd8j8WvJujBoNJaoE8RGb6HBQAW3+yxkDZTKaKG4mcG8wJbV3dqMbc7rghsRDEOuGvLhBVSEaA4HYy4Dw=="),
    "get_expiries": (
        "SL0PZ4JuM8CH4fjBKaYofme4DccMl0eR1j9tda82kxTtET0YgAteHVtGF1HSSUzu2fvL8PhXCz76axCMvvEjCQ=="
    ),
    "revoked_subaccounts": (
        "AgcY7jkFsR9qQvE/ww+UAKbPJ7IhSJmUbM4+r7NquGUbS9bl9gswbz9oTQw1fA4o9GT0DWsOsS5cFjuBx+gwCQ=="
    ),
    "revoke_subaccount": (
        "9bVFIewXwawJgsbY8yU5FB2m2ScGjuYjpt2N39WE/qLCI48sVfORsZYdFGsE6YGj+6aQ8D/1nlK5Zs1TclhOBA=="
    ),
    "unrevoke_subaccount": (
        "cthh7IOdwH3xqtNEIR80VDTSpT8+Y5v5TpBlrUeGlv9WzORwpcyrXUDYdXKrW1ctUzGRQd1C4LAmCpd3mAMvAA=="
    ),
    "sub_retrieve": (
        "Os6ba9RSSHQqvOrzf0/+FIcJ3t/iMOYYZwEF/NNqUNqQ5bBHgTGa9rldNnfy15+9nEO3pbih3aRvpcPV69aXCQ=="
    ),
}
NODE_SIGNATURES = {
    "delete": ("RXAPMx3JFiIaG33w49ozhE/Ba9yQg77JF6pPSzdOM9YjPMiVp94Cc+XQxwup64UwUBFCR7aDXGgXwIueXozOBQ=="),
    "expire": ("IIGbFxJyd3pgDOIU2d7SbXQLxVbW8sLXCh60V0d9yndWd2uATf1j0PuA1UrEliQ+c2NDb5X0klcoYQw2AdafDg=="),
    "store": ("e5415bFsIyiFPbCUo6Ff1/oFMJEEPezfLWu0SH2H/RLUhs8THCb6fvNNcgSKwOckvvVXQGGFgZrESp5Kp/vmDA=="),
    "delete_all": (
        "PsSX6TIRWOamSQOD7Z2P+q9BWnhxrKywZoIpWG8ZfzZomMvkNTD50e1cSJesc0jDzby/GsK+ExA0ONcNGEI/Dw=="
    ),
    "revoke": ("dCeI+i4Z/9staxzoFjh4KuNtPepXUslDGlskSdZRUNNeRirzyJDO6PbN13p1eNuzfMEqs0DvgQUvSWQygydDCA=="),
}


@pytest.fixture
def ask(runner: Any) -> Any:
    """Return a function that asks the node of the vectors, whose clock stands at their time."""
    identity = NodeIdentity.from_seed(bytes(range(0x40, 0x60)))
    assert identity.ed25519_pk.hex() == "2543b92ff1095511476adc8369db6ddc933665a11978dda1404ee1066ca9559d"
    clock = Clock(lambda: TS * 1_000_000)
    node = StorageNode(identity, "node", clock=clock, peers=DirectPeerLink(), trace=Trace(clock))
    info = NodeInfo(
        "node", identity.ed25519_pk.hex(), identity.x25519_pk.hex(), "127.0.1.1", 22021, 22020, swarm_id=1
    )
    node.update_network(NetworkSnapshot.of([info], height=1, block_hash="00" * 32))

    def ask(method: str, params: dict[str, Any]) -> Any:
        result = runner.run(node.rpc(method, params))
        assert result.status == 200, result
        swarm = result.body.get("swarm")
        return swarm[node.ed25519_hex] if isinstance(swarm, dict) else result.body

    yield ask
    runner.run(node.aclose())
    node.close()


def owned(method: str, **params: Any) -> dict[str, Any]:
    key = {"pubkey": SESSION_ID, "pubkey_ed25519": USER.ed25519_pk.hex()}
    return {**key, "signature": SIGNATURES[method], **params}


def grouped(method: str, **params: Any) -> dict[str, Any]:
    return {"pubkey": GROUP_ID, "signature": SIGNATURES[method], **params}


def stored(account: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {
        "pubkey": account,
        "timestamp": TS,
        "ttl": 60_000,
        "data": base64.b64encode(data).decode(),
        **more,
    }


def test_store(ask: Any) -> None:
    entry = ask("store", stored(SESSION_ID, b"abc 123"))
    assert (entry["hash"], entry["signature"]) == (H1, NODE_SIGNATURES["store"])
    assert ask("store", stored(SESSION_ID, b"def 456"))["hash"] == H2
    signed = owned("store-42", **stored(SESSION_ID, b"abc 123", namespace=-42))
    assert ask("store", signed)["hash"] == "tp4wjt/dfpBO1f3NejPeyZASJ54f3BIISvCQYu74Mj0"


def test_client_signatures_are_accepted(ask: Any) -> None:
    ask("store", stored(SESSION_ID, b"abc 123"))
    ask("store", stored(SESSION_ID, b"def 456"))
    assert len(ask("retrieve", owned("retrieve", timestamp=TS))["messages"]) == 2
    assert set(ask("get_expiries", owned("get_expiries", timestamp=TS, messages=[H1, H2]))["expiries"]) == {
        H1,
        H2,
    }
    ask("expire_all", owned("expire_all", namespace=-42, expiry=TS))
    assert ask("delete", owned("delete", messages=[H1, H2]))["deleted"] == [H1, H2]


def test_node_signature_of_delete_all(ask: Any) -> None:
    ask("store", stored(SESSION_ID, b"abc 123"))
    ask("store", stored(SESSION_ID, b"def 456"))
    entry = ask("delete_all", owned("delete_all", namespace="all", timestamp=TS))
    assert entry == {"deleted": {"0": [H1, H2]}, "signature": NODE_SIGNATURES["delete_all"]}


def test_delete_before(ask: Any) -> None:
    ask("store", stored(SESSION_ID, b"abc 123"))
    assert ask("delete_before", owned("delete_before", before=TS))["deleted"] == [H1]


def test_expire(ask: Any) -> None:
    # The time of the vector lies before the message's expiry, so that extending leaves it as it is.
    ask("store", stored(SESSION_ID, b"abc 123"))
    entry = ask("expire", owned("expire", extend=True, expiry=TS, messages=[H1, H2]))
    assert (entry["updated"], entry["unchanged"]) == ([], {H1: TS + 60_000})


def test_revocation(ask: Any) -> None:
    params = {"timestamp": TS, "revoke": TOKEN}
    entry = ask("revoke_subaccount", grouped("revoke_subaccount", **params))
    assert entry["signature"] == NODE_SIGNATURES["revoke"]
    back = ask("unrevoke_subaccount", grouped("unrevoke_subaccount", timestamp=TS, unrevoke=[TOKEN]))
    assert back["count"] == 0
    listed = ask("revoked_subaccounts", grouped("revoked_subaccounts", timestamp=TS))
    assert listed["revoked_subaccounts"] == []


def test_subaccount(ask: Any) -> None:
    params = grouped(
        "sub_retrieve", namespace=42, timestamp=TS, subaccount=TOKEN, subaccount_sig=OWNER_SIGNATURE
    )
    assert ask("retrieve", params)["messages"] == []


def test_node_signature_of_delete(ask: Any) -> None:
    ask("store", stored(SESSION_ID, b"abc 123"))
    entry = ask("delete", sign_request(USER, "delete", {"messages": [H2, H1]}))
    assert entry == {"deleted": [H1], "signature": NODE_SIGNATURES["delete"]}


def test_node_signature_of_expire(ask: Any) -> None:
    old = {"ttl": None, "timestamp": TS - 20_000}
    ask("store", stored(SESSION_ID, b"abc 123") | old | {"expiry": TS - 5_000})
    ask("store", stored(SESSION_ID, b"def 456") | old | {"expiry": TS + 5})
    entry = ask("expire", sign_request(USER, "expire", {"messages": [H2, H1], "expiry": TS, "extend": True}))
    assert entry == {
        "updated": [H1],
        "expiry": TS,
        "unchanged": {H2: TS + 5},
        "signature": NODE_SIGNATURES["expire"],
    }


@pytest.mark.parametrize("case", vectors.cases("storage", "node.page"), ids=lambda case: case.id)
def test_page_sizes(ask: Any, case: vectors.VectorCase) -> None:
    size, limit, count = case.input["message_bytes"], case.input["max_size"], case.output["messages"]
    for number in range(count + 1):
        ask("store", stored(SESSION_ID, number.to_bytes(4) * (size // 4)))
    page = ask("retrieve", owned("retrieve", timestamp=TS, max_size=limit))
    assert (len(page["messages"]), page["more"]) == (count, True)
