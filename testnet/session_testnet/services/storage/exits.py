"""Which servers onion requests may leave the network for: this network's own, and nothing else."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from session_testnet.endpoints import Endpoint

Place = tuple[str, str, int]


class ExitMap:
    """Find the local server behind an address that a client's onion request names.

    ``places`` maps (protocol, host, port), as in the request, to a base URL such as
    ``http://127.0.0.1:8080``; ``own`` lists the addresses of this network's services, which are reached as
    they are named, over plain HTTP.
    """

    def __init__(
        self, places: Mapping[Place, str] = MappingProxyType({}), *, own: Iterable[Endpoint] = ()
    ) -> None:
        self._places = {
            (protocol, host.lower(), port): url.rstrip("/") for (protocol, host, port), url in places.items()
        }
        self._own = frozenset((endpoint.host, endpoint.port) for endpoint in own)

    def places(self) -> list[tuple[str, str, int, str]]:
        """Return all addresses as (protocol, host, port, base URL), for a copy in another process."""
        own = [("http", host, port, f"http://{host}:{port}") for host, port in sorted(self._own)]
        return [*((*place, url) for place, url in self._places.items()), *own]

    def base_url(self, protocol: str, host: str, port: int) -> str | None:
        """Return where to send a request for this address; None when it may not leave."""
        mapped = self._places.get((protocol, host.lower(), port))
        if mapped is not None:
            return mapped
        return f"http://{host}:{port}" if protocol == "http" and (host, port) in self._own else None
