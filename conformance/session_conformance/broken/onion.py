"""Faults in onion requests."""

import base64
import json
from typing import Any

import nacl.bindings

from session_conformance.broken.fault import broken
from session_conformance.testees.kit_python.session_testee_kit import Params
from session_conformance.testees.reference.stateless_onion import read_reply_key
from session_conformance.testees.reference.testee import ReferenceTestee
from session_protocol import onion
from session_protocol.errors import ProtocolError


@broken("layers-reversed", "onion")
class LayersReversed(ReferenceTestee):
    """Wrap the layers in the order of the path, so that the last relay's is the outermost."""

    def onion_build(self, params: Params) -> dict[str, Any]:
        return super().onion_build(params.changed(path=params.array("path")[::-1]))


@broken("ephemeral-keys-fixed", "onion")
class EphemeralKeysFixed(ReferenceTestee):
    """Use the same ephemeral keys for every request."""

    def onion_build(self, params: Params) -> dict[str, Any]:
        layers = len(params.array("path")) + 1
        return super().onion_build(
            params.changed(ephemeral_seeds=[f"{layer + 1:064x}" for layer in range(layers)])
        )


@broken("destination-skipped", "onion")
class DestinationSkipped(ReferenceTestee):
    """Leave the first relay out of the path."""

    def onion_build(self, params: Params) -> dict[str, Any]:
        return super().onion_build(params.changed(path=params.array("path")[1:]))


@broken("server-port-lost", "onion")
class ServerPortLost(ReferenceTestee):
    """Send every request to a server to port 443 over https."""

    def onion_build(self, params: Params) -> dict[str, Any]:
        destination = dict(params.mapping("destination"))
        if destination["kind"] == "server":
            destination.update(protocol="https", port=443)
        return super().onion_build(params.changed(destination=destination))


@broken("always-aes", "onion")
class AlwaysAes(ReferenceTestee):
    """Seal with aes-gcm and say xchacha20."""

    def onion_build(self, params: Params) -> dict[str, Any]:
        built = super().onion_build(params.changed(enc_type="aes-gcm"))
        if params.text("enc_type", None) != "xchacha20":
            return built
        outer = onion.parse_outer(built["body"])
        routing = {"ephemeral_key": outer.ephemeral_key.hex(), "enc_type": "xchacha20"}
        return {**built, "body": onion.frame(outer.blob, routing)}


@broken("raw-answers-only", "onion")
class RawAnswersOnly(ReferenceTestee):
    """Open answers only as raw bytes, not as base64 text."""

    def onion_open_reply(self, params: Params) -> dict[str, Any]:
        _, key = read_reply_key(params.text("reply_key"))
        reply = onion.parse_node_reply(onion.open_reply(key, params.hex("reply")))
        return {"status": reply.status, "body": json.dumps(reply.body).encode()}


@broken("answers-unauthenticated", "onion")
class AnswersUnauthenticated(ReferenceTestee):
    """Take an answer that does not open for an empty one."""

    def onion_open_reply(self, params: Params) -> dict[str, Any]:
        try:
            return super().onion_open_reply(params)
        except ProtocolError:
            return {"status": 200, "body": b"{}"}


@broken("relays-taken-for-own", "onion")
class RelaysTakenForOwn(ReferenceTestee):
    """Take every layer for a request to the node itself."""

    def onion_peel(self, params: Params) -> dict[str, Any]:
        peeled = super().onion_peel(params)
        return {**peeled, "layer": {"kind": "node", "control": {}, "json": False, "base64": True}}


@broken("layers-unauthenticated", "onion")
class LayersUnauthenticated(ReferenceTestee):
    """Answer a layer that does not open with an empty request."""

    def onion_peel(self, params: Params) -> dict[str, Any]:
        try:
            return super().onion_peel(params)
        except ProtocolError:
            public = nacl.bindings.crypto_scalarmult_base(params.hex("node_x25519_sk"))
            empty = {"kind": "node", "control": {}, "json": False, "base64": True}
            return {"layer": empty, "inner": b"", "reply_key": base64.b64encode(public).decode()}
