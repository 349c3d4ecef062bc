"""A Session network in a box: registry, service nodes, community server, file server and gateway.

``open_local`` starts one in this process; ``attach`` finds one that is running.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from session_testnet.control.attached import AttachedNetworkHandle
    from session_testnet.control.handles import NetworkHandle, NodeHandle
    from session_testnet.control.local import LocalNetworkHandle
    from session_testnet.network_options import NetworkOptions
    from session_testnet.topology import Topology

__all__ = [
    "AttachedNetworkHandle",
    "LocalNetworkHandle",
    "NetworkHandle",
    "NetworkOptions",
    "NodeHandle",
    "Topology",
    "attach",
    "open_local",
]

# The network stack is heavy: a name of it is imported when it is first used.
_HOMES = {
    "AttachedNetworkHandle": "session_testnet.control.attached",
    "LocalNetworkHandle": "session_testnet.control.local",
    "NetworkHandle": "session_testnet.control.handles",
    "NodeHandle": "session_testnet.control.handles",
    "NetworkOptions": "session_testnet.network_options",
    "Topology": "session_testnet.topology",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def open_local(
    topology: "Topology | None" = None, options: "NetworkOptions | None" = None
) -> "LocalNetworkHandle":
    """Start a network in a thread of this process and return its handle when it is ready."""
    from session_testnet.control.local import LocalNetworkHandle
    from session_testnet.topology import Topology

    return LocalNetworkHandle.open(topology or Topology.default(), options)


def attach(state: "Path | str | None" = None) -> "AttachedNetworkHandle":
    """Return a handle on a running network, by its state file or by its name."""
    from session_testnet.control.attached import AttachedNetworkHandle
    from session_testnet.control.state_file import default_state_path

    path = state if isinstance(state, Path) else default_state_path(state or "default")
    return AttachedNetworkHandle.from_state_file(path)
