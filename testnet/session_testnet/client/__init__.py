"""A client of a Session network: bootstrap, onion paths, swarms, files and messages."""

from session_testnet.client.bootstrap import ServiceNode
from session_testnet.client.errors import ClientError, NetworkError
from session_testnet.client.files import FileServerInfo, UploadedFile
from session_testnet.client.messaging import MessagingClient, ReceivedMessage, SentMessage
from session_testnet.client.network_client import NetworkClient, RpcReply, Timeouts

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
