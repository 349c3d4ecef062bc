"""How a network runs: its nodes in this process, in processes of their own, or in containers."""

from collections.abc import Callable

from session_testnet.engines.base import NodeProvider


def _embedded() -> NodeProvider:
    from session_testnet.engines.embedded import EmbeddedProvider

    return EmbeddedProvider()


def _process() -> NodeProvider:
    from session_testnet.engines.processes import ProcessLauncher
    from session_testnet.engines.remote.provider import RemoteProvider

    return RemoteProvider(ProcessLauncher())


def _docker() -> NodeProvider:
    from session_testnet.engines.docker import DockerLauncher
    from session_testnet.engines.remote.provider import RemoteProvider

    return RemoteProvider(DockerLauncher())


def _docker_swarm() -> NodeProvider:
    from session_testnet.engines.docker_swarm import SwarmLauncher
    from session_testnet.engines.remote.provider import RemoteProvider

    return RemoteProvider(SwarmLauncher())


# Each is imported when it is chosen: some need more than the others.
_PROVIDERS: dict[str, Callable[[], NodeProvider]] = {
    "embedded": _embedded,
    "process": _process,
    "docker": _docker,
    "docker-swarm": _docker_swarm,
}


def provider_of(engine: str) -> NodeProvider:
    """Return a provider of nodes for an engine of :data:`~session_testnet.network_options.ENGINES`."""
    return _PROVIDERS[engine]()
