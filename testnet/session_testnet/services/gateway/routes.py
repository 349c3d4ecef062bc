"""Which hosts the gateway lets clients reach, and where they really are. Everything else is refused."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from session_testnet.endpoints import Endpoint

# Seed nodes that clients have built in, with the port for plain http and those for TLS (network §1, §3.3).
SEED_HOSTS = ("seed1.getsession.org", "seed2.getsession.org", "seed3.getsession.org")
SEED_HTTP_PORTS = (80, 38157)
SEED_TLS_PORTS = (4443, 443)
# Seeds of the public test network and of the Android devnet build (network §1, real-clients §7).
OTHER_SEEDS = (
    ("public.loki.foundation", 38157),
    ("public.session.foundation", 38157),
    ("sesh-net.local", 1280),
)
FILE_SERVER = ("filev2.getsession.org", 80)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a host and port lead; ``tls``: the service there speaks TLS, so that only CONNECT reaches it."""

    service: str
    endpoint: Endpoint
    tls: bool = False


class RouteMap:
    """Map what clients ask for to services of this network."""

    def __init__(self, routes: Mapping[tuple[str, int], Route]) -> None:
        self._routes = {(_normal(host), port): route for (host, port), route in routes.items()}
        self._names = {host for host, _ in self._routes if not _is_address(host)}

    @classmethod
    def of_network(
        cls,
        *,
        registry_http: Endpoint,
        registry_https: Endpoint,
        files: Endpoint,
        own: Iterable[Endpoint] | Mapping[Endpoint, Endpoint] = (),
    ) -> "RouteMap":
        """Map production names to this network; ``own`` addresses pass as they are.

        A mapping for ``own`` leads from the advertised address to the one at which this machine reaches the
        service.
        """
        plain = Route("registry", registry_http)
        secure = Route("registry", registry_https, tls=True)
        routes = {(host, port): plain for host in SEED_HOSTS for port in SEED_HTTP_PORTS}
        routes |= {(host, port): secure for host in SEED_HOSTS for port in SEED_TLS_PORTS}
        routes |= dict.fromkeys(OTHER_SEEDS, plain)
        routes[FILE_SERVER] = Route("files", files)
        inner = own if isinstance(own, Mapping) else {endpoint: endpoint for endpoint in own}
        routes |= {(said.host, said.port): Route("own", reached) for said, reached in inner.items()}
        return cls(routes)

    def find(self, host: str, port: int) -> Route | None:
        """Return where a host and port lead, or None: that is refused."""
        return self._routes.get((_normal(host), port))

    def add_own(self, said: Endpoint, reached: Endpoint) -> None:
        """Let requests to an address of this network pass: a node has joined."""
        self._routes[_normal(said.host), said.port] = Route("own", reached)

    def remove_own(self, said: Endpoint) -> None:
        """Refuse an address from now on: a node has left."""
        self._routes.pop((_normal(said.host), said.port), None)

    def knows_name(self, host: str) -> bool:
        """Tell whether a host name (not an address) is mapped at some port."""
        return _normal(host) in self._names

    @property
    def names(self) -> list[tuple[str, int]]:
        """Return the mapped names with their ports, for people to read."""
        return [(host, port) for host, port in self._routes if host in self._names]


def _normal(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
