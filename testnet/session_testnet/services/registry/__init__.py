"""The registry: the seed node that tells clients which service nodes there are."""

from session_testnet.services.registry.app import RegistryApplication
from session_testnet.services.registry.snapshot import NetworkSnapshot, NodeInfo
from session_testnet.services.registry.state import NameRecord, NodeRecord, RegistryError, RegistryState

__all__ = [
    "NameRecord",
    "NetworkSnapshot",
    "NodeInfo",
    "NodeRecord",
    "RegistryApplication",
    "RegistryError",
    "RegistryState",
]
