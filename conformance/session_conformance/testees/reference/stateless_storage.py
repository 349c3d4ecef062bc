"""Requests to storage nodes: signatures, bodies, hashes (testee-operations §2.5)."""

from typing import Any

import nacl.bindings

from session_conformance.testees.kit_python.session_testee_kit import (
    Params,
    Rejected,
    Unsupported,
    operation,
)
from session_conformance.testees.reference.operations import (
    Operations,
    account_from,
    base64_from,
    base64_text,
)
from session_protocol import namespaces, storage_auth
from session_protocol.accounts import account_bytes

# Parameters of an operation that are not parameters of the request, or are renamed or signed.
_OWN_PARAMETERS = frozenset(
    {"seed_hex", "method", "timestamp_ms", "expiry_ms", "before_ms", "ttl_ms", "data_base64"}
)


class StorageOperations(Operations):
    """What a client sends to a swarm, without sending it."""

    @operation("storage.sign")
    def storage_sign(self, params: Params) -> dict[str, Any]:
        """Sign a request of an account, or of a group by its seed."""
        if params.get("auth_data") is not None:
            raise Unsupported("signing as a subaccount (auth_data) is not implemented")
        payload = self.storage_payload(params)
        if params.get("group_seed") is not None:
            _, secret = nacl.bindings.crypto_sign_seed_keypair(params.hex("group_seed", length=32))
            signature = nacl.bindings.crypto_sign(payload, secret)[:64]
        else:
            signature = storage_auth.sign(account_from(params), payload)
        return {"signature_base64": base64_text(signature), "signed_hex": payload}

    @operation("storage.build_request")
    def storage_build_request(self, params: Params) -> dict[str, Any]:
        """Build the whole body of a request, with the wire's names, signed where the method is."""
        method = params.text("method")
        wire = {name: value for name, value in params.items() if name not in _OWN_PARAMETERS}
        for ours, theirs in (("timestamp_ms", "timestamp"), ("expiry_ms", "expiry"), ("before_ms", "before")):
            if params.get(ours) is not None:
                wire[theirs] = params.integer(ours)
        if params.get("ttl_ms") is not None:
            wire["ttl"] = params.integer("ttl_ms")
        if params.get("data_base64") is not None:
            wire["data"] = params.text("data_base64")
        return {
            "request": {"method": method, "params": self.storage_params(params, method, wire)},
        }

    @operation("storage.message_hash")
    def storage_message_hash(self, params: Params) -> dict[str, Any]:
        """Compute the hash that a node gives a message."""
        computed = storage_auth.message_hash(
            account_bytes(params.text("pubkey")),
            params.integer("namespace", 0),
            base64_from(params, "data_base64"),
        )
        return {"hash": computed}

    def storage_payload(self, params: Params) -> bytes:
        """Put together what is signed (storage-rpc §6.1)."""
        shorten, extend = params.flag("shorten", default=False), params.flag("extend", default=False)
        if shorten and extend:
            raise Rejected("invalid_argument", "shorten and extend exclude each other")
        return storage_auth.signature_payload(
            params.text("method"),
            namespace=_namespace(params),
            timestamp_ms=params.integer("timestamp_ms", None),
            messages=_texts(params, "messages"),
            expiry_ms=_times(params, "expiry_ms" if "expiry_ms" in params else "expiry"),
            mode="shorten" if shorten else "extend" if extend else "",
            before_ms=params.integer("before_ms" if "before_ms" in params else "before", None),
        )

    def storage_params(self, params: Params, method: str, wire: dict[str, Any]) -> dict[str, Any]:
        """Add account and signature to the parameters of a request."""
        account = account_from(params)
        if method in ("get_swarm", "info"):
            return wire if method == "info" else {"pubkey": account.account_id, **wire}
        if method == "store" and namespaces.allows_unauthenticated_store(wire.get("namespace", 0)):
            return {"pubkey": account.account_id, **wire}
        return storage_auth.sign_request(account, method, wire)


def _namespace(params: Params) -> int | str:
    value = params.get("namespace", 0)
    if value == "all":
        return "all"
    namespace: int = params.integer("namespace", 0)
    return namespace


def _texts(params: Params, name: str) -> list[str]:
    values = params.array(name, [])
    if not all(isinstance(value, str) for value in values):
        raise Rejected("invalid_argument", f"{name} must be a list of strings")
    return list(values)


def _times(params: Params, name: str) -> int | list[int] | None:
    value = params.get(name)
    times = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(time, int) and not isinstance(time, bool) for time in times):
        raise Rejected("invalid_argument", f"{name} must be a time in ms, or a list of them")
    return value
