"""Onion requests as client, and as node (testee-operations §2.5).

The opaque ``reply_key`` is text, ``<node or server>:<encryption type>:<key hex>``, so that it lives in no
table here.
"""

import json
from typing import Any

import nacl.bindings

from session_conformance.testees.kit_python.session_testee_kit import Params, Rejected, operation
from session_conformance.testees.reference.operations import Operations, base64_text
from session_protocol import onion

TO_NODE = "node"
TO_SERVER = "server"


class OnionOperations(Operations):
    """Layers on, layers off, answers."""

    @operation("onion.build")
    def onion_build(self, params: Params) -> dict[str, Any]:
        """Build the bytes that are posted to the guard."""
        path = [_hop(entry, f"path[{index}]") for index, entry in enumerate(params.array("path"))]
        destination = Params(params.mapping("destination"))
        seeds = params.array("ephemeral_seeds", None)
        built = onion.build(
            path,
            _destination(destination),
            params.hex("payload"),
            enc_type=onion.parse_encryption_type(params.text("enc_type", None)),
            ephemeral_secrets=None if seeds is None else [_secret(seed) for seed in seeds],
            nonces=_nonces(params),
            random_bytes=self.random_bytes,
        )
        kind = destination.text("kind")
        return {"body": built.body, "reply_key": write_reply_key(kind, built.reply_key)}

    @operation("onion.open_reply")
    def onion_open_reply(self, params: Params) -> dict[str, Any]:
        """Open an answer, raw or base64 as it stood on the wire, given as hex."""
        kind, reply_key = read_reply_key(params.text("reply_key"))
        answer = params.hex("reply")
        if kind == TO_SERVER:
            response = onion.decode_v4_response(onion.open_reply(reply_key, answer))
            return {"status": response.code, "headers": dict(response.headers), "body": response.body or b""}
        reply = onion.open_node_reply(reply_key, answer)
        return {"status": reply.status, "body": _body_bytes(reply.body)}

    @operation("onion.peel")
    def onion_peel(self, params: Params) -> dict[str, Any]:
        """Take one layer off; ``inner`` is the next hop's body, the request, or what a server gets."""
        secret = params.hex("node_x25519_sk", length=32)
        public = nacl.bindings.crypto_scalarmult_base(secret)
        outer = onion.parse_outer(params.hex("body"))
        peeled = onion.peel(secret, public, outer.blob, outer.ephemeral_key, outer.enc_type)
        layer = peeled.layer
        described: dict[str, Any]
        if isinstance(layer, onion.RelayToNode):
            routing = {"ephemeral_key": layer.ephemeral_key.hex(), "enc_type": layer.enc_type.value}
            described = {"kind": "relay", "destination": layer.next_ed25519, **routing}
            inner = onion.frame(layer.blob, routing)
        elif isinstance(layer, onion.RelayToServer):
            described = {
                "kind": TO_SERVER,
                "host": layer.host,
                "port": layer.port,
                "protocol": layer.protocol,
                "target": layer.target,
            }
            inner = layer.payload
        else:
            described = {
                "kind": TO_NODE,
                "control": layer.control,
                "json": layer.json,
                "base64": layer.base64,
            }
            inner = layer.body
        return {"layer": described, "inner": inner, "reply_key": write_reply_key(TO_NODE, peeled.reply_key)}

    @operation("onion.seal_reply")
    def onion_seal_reply(self, params: Params) -> dict[str, Any]:
        """Seal a node's answer as it goes over the wire: base64 text, here as hex."""
        _, reply_key = read_reply_key(params.text("reply_key"))
        plaintext = onion.node_reply_plaintext(
            params.integer("status"), _given_body(params), embed_json=False
        )
        sealed = onion.seal_reply(reply_key, plaintext, random_bytes=self.random_bytes)
        return {"reply": base64_text(sealed).encode()}


def write_reply_key(kind: str, key: onion.ReplyKey) -> str:
    """Write the handle for an answer."""
    return f"{kind}:{key.enc_type.value}:{key.key.hex()}"


def read_reply_key(handle: str) -> tuple[str, onion.ReplyKey]:
    """Read a handle back; Rejected when it is none of ours."""
    try:
        kind, enc_type, key_hex = handle.split(":")
        return kind, onion.ReplyKey(bytes.fromhex(key_hex), onion.EncryptionType(enc_type))
    except ValueError:
        raise Rejected("invalid_argument", "reply_key is not one that this testee gave") from None


def _hop(entry: Any, where: str) -> onion.Hop:
    if not isinstance(entry, dict):
        raise Rejected("invalid_argument", f"{where} must be an object")
    keys = Params(entry)
    return onion.Hop(keys.hex("ed25519_pk", length=32), keys.hex("x25519_pk", length=32))


def _destination(given: Params) -> onion.NodeDestination | onion.ServerDestination:
    kind = given.text("kind")
    if kind == TO_NODE:
        return onion.NodeDestination(given.hex("ed25519_pk", length=32), given.hex("x25519_pk", length=32))
    if kind == TO_SERVER:
        protocol = given.text("protocol", "https")
        return onion.ServerDestination(
            host=given.text("host"),
            target=given.text("target", "/oxen/v4/lsrpc"),
            x25519_pk=given.hex("x25519_pk", length=32),
            protocol=protocol,
            port=given.integer("port", 80 if protocol == "http" else 443),
        )
    raise Rejected("invalid_argument", f"destination.kind must be node or server, not {kind!r}")


def _secret(text: Any) -> bytes:
    return Params({"ephemeral_seeds": text}).hex("ephemeral_seeds", length=32)  # type: ignore[no-any-return]


def _nonces(params: Params) -> list[bytes] | None:
    nonces = params.array("nonces", None)
    return None if nonces is None else [Params({"nonces": nonce}).hex("nonces") for nonce in nonces]


def _body_bytes(body: Any) -> bytes:
    """Return a node's body as the bytes it had: text as it is, JSON written anew."""
    return body.encode() if isinstance(body, str) else json.dumps(body, separators=(",", ":")).encode()


def _given_body(params: Params) -> Any:
    """Read the body to seal: JSON as it is; text is the hex of the body's bytes."""
    body = params.get("body")
    return params.hex("body").decode("utf-8", "surrogateescape") if isinstance(body, str) else body
