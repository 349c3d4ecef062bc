"""How a broken server is declared: a class of our own services with one fault."""

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from session_conformance.servers.address import ServerKind

if TYPE_CHECKING:
    from session_conformance.servers.testee import OpenServer

SERVER_MODULES: Final = ("nodes", "node_changes", "node_access", "file_servers", "communities")
_MARK: Final = "session_server_fault"

C = TypeVar("C", bound=type)


@dataclass(frozen=True, slots=True)
class ServerFault:
    """Describe one broken server: the class with the fault, and globs of the checks that must catch it."""

    id: str
    sentence: str
    server: ServerKind
    server_class: type[Any]
    checks: tuple[str, ...]
    kind: Literal["server"] = "server"

    @property
    def suites(self) -> tuple[str, ...]:
        """Return the suites that judge it."""
        return tuple(dict.fromkeys(glob.partition(".")[0] for glob in self.checks))

    @property
    def expected_checks(self) -> tuple[str, ...]:
        """Return globs of the checks that must catch it."""
        return self.checks

    def open(self) -> "OpenServer":
        """Start the server with the fault."""
        from session_conformance.servers import own

        match self.server:
            case ServerKind.STORAGE:
                from session_testnet.services.storage import StorageNode

                if issubclass(self.server_class, StorageNode):
                    return own.open_storage(self.server_class)
                return own.open_storage(dispatcher=self.server_class)
            case ServerKind.FILES:
                return own.open_files(self.server_class)
            case ServerKind.COMMUNITY:
                return own.open_community(self.server_class)


def broken_server(fault_id: str, server: ServerKind, checks: tuple[str, ...]) -> Callable[[C], C]:
    """Declare a class of our services to have a fault that these checks catch; its docstring says what."""

    def declare(server_class: C) -> C:
        sentence = (server_class.__doc__ or "").strip().partition("\n")[0]
        if not sentence or not checks:
            raise TypeError(f"the fault {fault_id} needs a sentence and the checks that catch it")
        setattr(server_class, _MARK, ServerFault(fault_id, sentence, server, server_class, checks))
        return server_class

    return declare


@functools.cache
def server_faults() -> tuple[ServerFault, ...]:
    """Return all broken servers, in the order of their modules."""
    found: list[ServerFault] = []
    for name in SERVER_MODULES:
        module = importlib.import_module(f"session_conformance.broken.{name}")
        for value in vars(module).values():
            fault = vars(value).get(_MARK) if isinstance(value, type) else None
            if isinstance(fault, ServerFault) and value.__module__ == module.__name__:
                found.append(fault)
    ids = [fault.id for fault in found]
    if len(set(ids)) != len(ids):
        raise TypeError(f"two faults share an id: {sorted(ids)}")
    return tuple(found)
