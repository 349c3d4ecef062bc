"""Protobuf classes of the messages on the wire, generated from ``session.proto`` by ``ci/generate-proto``."""

from session_protocol.proto import session_pb2 as wire

__all__ = ["wire"]
