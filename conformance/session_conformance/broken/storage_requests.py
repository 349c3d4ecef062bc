"""Faults in requests to storage nodes."""

import base64
import hashlib
from typing import Any

from session_conformance.broken.fault import broken
from session_conformance.testees.kit_python.session_testee_kit import Params
from session_conformance.testees.reference.testee import ReferenceTestee
from session_protocol.accounts import Account


@broken("namespace-zero-signed", "storage_requests")
class NamespaceZeroSigned(ReferenceTestee):
    """Write namespace 0 into the signed text, where it stands for nothing."""

    def storage_payload(self, params: Params) -> bytes:
        payload = super().storage_payload(params)
        method: bytes = params.text("method").encode()
        takes_namespace = params.text("method") in ("retrieve", "store", "delete_all")
        if takes_namespace and params.get("namespace", 0) == 0:
            return method + b"0" + payload.removeprefix(method)
        return payload

    def storage_build_request(self, params: Params) -> dict[str, Any]:
        built = super().storage_build_request(params)
        if params.get("namespace", 0) == 0:
            signed = self.storage_sign(params)
            built["request"]["params"]["signature"] = signed["signature_base64"]
        return built


@broken("namespace-not-signed", "storage_requests")
class NamespaceNotSigned(ReferenceTestee):
    """Leave the namespace out of the signed text."""

    def storage_payload(self, params: Params) -> bytes:
        return super().storage_payload(params.changed(namespace=0))


@broken("hashes-sorted", "storage_requests")
class HashesSorted(ReferenceTestee):
    """Sign message hashes in alphabetical order instead of the request's."""

    def storage_payload(self, params: Params) -> bytes:
        return super().storage_payload(
            params.changed(messages=sorted(params.array("messages", []), reverse=True))
        )


@broken("expire-mode-not-signed", "storage_requests")
class ExpireModeNotSigned(ReferenceTestee):
    """Leave shorten and extend out of the signed text."""

    def storage_payload(self, params: Params) -> bytes:
        return super().storage_payload(params.changed(shorten=None, extend=None))


@broken("signed-by-converted-key", "storage_requests")
class SignedByOtherKey(ReferenceTestee):
    """Name the X25519 key as the Ed25519 key of a request."""

    def storage_build_request(self, params: Params) -> dict[str, Any]:
        built = super().storage_build_request(params)
        account = Account.from_seed(params.hex("seed_hex"))
        built["request"]["params"]["pubkey_ed25519"] = account.x25519_pk.hex()
        return built


@broken("hash-without-namespace", "storage_requests")
class HashWithoutNamespace(ReferenceTestee):
    """Compute message hashes without the namespace."""

    def storage_message_hash(self, params: Params) -> dict[str, Any]:
        account = bytes.fromhex(params.text("pubkey"))
        data = base64.b64decode(params.text("data_base64"))
        digest = hashlib.blake2b(account + data, digest_size=32).digest()
        return {"hash": base64.b64encode(digest).decode().rstrip("=")}


@broken(
    "only-retrieves-signed",
    "storage_requests",
    checks=tuple(
        f"storage_requests.builds_a_signed_{method}"
        for method in ("store", "delete", "delete_all", "expire", "get_expiries")
    ),
)
class OnlyRetrievesSigned(ReferenceTestee):
    """Sign every request but a retrieve as if it were one."""

    def storage_build_request(self, params: Params) -> dict[str, Any]:
        built = super().storage_build_request(params)
        if params.text("method") != "retrieve":
            signed = self.storage_sign(params.changed(method="retrieve", timestamp_ms=1))
            built["request"]["params"]["signature"] = signed["signature_base64"]
        return built
