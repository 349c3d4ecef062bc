"""OxenMQ, the second transport of the network (omq.md), for storage nodes and the registry.

It needs the optional package ``pyzmq``: :class:`OmqRuntime` says whether it is there. Everything else works
without.
"""

from session_testnet.services.omq.commands import (
    FORBIDDEN,
    FORBIDDEN_SN,
    NOT_A_SERVICE_NODE,
    Command,
    Commands,
    Connection,
)
from session_testnet.services.omq.listener import OmqListener
from session_testnet.services.omq.runtime import OmqRuntime

__all__ = [
    "FORBIDDEN",
    "FORBIDDEN_SN",
    "NOT_A_SERVICE_NODE",
    "Command",
    "Commands",
    "Connection",
    "OmqListener",
    "OmqRuntime",
]
