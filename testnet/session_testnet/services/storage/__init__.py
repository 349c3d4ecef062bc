"""The storage service node: stores messages for a swarm, answers clients, and relays onion requests."""

from session_testnet.services.storage.exits import ExitMap
from session_testnet.services.storage.fault_gate import FaultGate, NoFaults
from session_testnet.services.storage.node import StorageNode, messages_in_file
from session_testnet.services.storage.results import RpcResult
from session_testnet.services.storage.settings import StorageSettings

__all__ = [
    "ExitMap",
    "FaultGate",
    "NoFaults",
    "RpcResult",
    "StorageNode",
    "StorageSettings",
    "messages_in_file",
]
