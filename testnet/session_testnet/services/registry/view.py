"""Which state a registry shows to clients: its own, or another one while a fault says so."""

from typing import Protocol

from session_testnet.services.registry.state import RegistryState


class RegistryView(Protocol):
    """Choose the state that one request is answered from."""

    async def shown(self) -> RegistryState:
        """Return the registry's own state, or a copy that differs from it."""
