"""The RPC methods that clients may call; ``batch``, ``sequence`` and ``ifelse`` are the dispatcher's."""

from collections.abc import Mapping
from typing import Any, Final

from session_testnet.services.storage.methods.base import LocalMethod, SwarmMethod
from session_testnet.services.storage.methods.deletion import (
    DeleteAllMethod,
    DeleteBeforeMethod,
    DeleteMethod,
)
from session_testnet.services.storage.methods.expiry import ExpireAllMethod, ExpireMethod, GetExpiriesMethod
from session_testnet.services.storage.methods.messages import RetrieveMethod, StoreMethod
from session_testnet.services.storage.methods.network import (
    ActiveNodesMethod,
    GetSwarmMethod,
    InfoMethod,
    OxendMethod,
)
from session_testnet.services.storage.methods.subaccounts import (
    RevokedSubaccountsMethod,
    RevokeMethod,
    UnrevokeMethod,
)

AnyMethod = LocalMethod[Any] | SwarmMethod[Any]

_ALL: Final[tuple[AnyMethod, ...]] = (
    StoreMethod(),
    RetrieveMethod(),
    DeleteMethod(),
    DeleteAllMethod(),
    DeleteBeforeMethod(),
    ExpireMethod(),
    ExpireAllMethod(),
    GetExpiriesMethod(),
    RevokeMethod(),
    UnrevokeMethod(),
    RevokedSubaccountsMethod(),
    GetSwarmMethod(),
    InfoMethod(),
    OxendMethod(),
    ActiveNodesMethod(),
)

METHODS: Final[Mapping[str, AnyMethod]] = {
    **{method.name: method for method in _ALL},
    "get_snodes_for_pubkey": GetSwarmMethod(),
}
SWARM_METHODS: Final[Mapping[str, SwarmMethod[Any]]] = {
    method.name: method for method in _ALL if isinstance(method, SwarmMethod)
}

__all__ = ["METHODS", "SWARM_METHODS", "AnyMethod", "LocalMethod", "SwarmMethod"]
