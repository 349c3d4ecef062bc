"""A client of a Session network: bootstrap, onion paths, swarms, files and messages."""

import importlib
from typing import TYPE_CHECKING, Any

from session_testnet.client.bootstrap import ServiceNode
from session_testnet.client.errors import ClientError, NetworkError
from session_testnet.client.files import FileServerInfo, UploadedFile
from session_testnet.client.network_client import NetworkClient, RpcReply, Timeouts

if TYPE_CHECKING:
    from session_testnet.client.messaging import MessagingClient, ReceivedMessage, SentMessage

__all__ = [
    "ClientError",
    "FileServerInfo",
    "MessagingClient",
    "NetworkClient",
    "NetworkError",
    "ReceivedMessage",
    "RpcReply",
    "SentMessage",
    "ServiceNode",
    "Timeouts",
    "UploadedFile",
]

# Messages bring the protobuf code with them: a network that only proves to be ready does without.
_MESSAGING = ("MessagingClient", "ReceivedMessage", "SentMessage")


def __getattr__(name: str) -> Any:
    if name not in _MESSAGING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("session_testnet.client.messaging"), name)
