"""Where the relays of a network reach its servers."""

from session_testnet.engines.base import ServiceEndpoints
from session_testnet.services.gateway.routes import FILE_SERVER
from session_testnet.services.storage import ExitMap


def exits_of(endpoints: ServiceEndpoints) -> ExitMap:
    """Send relays, which run on this machine, to inner addresses, whatever clients are told."""
    places = {
        ("http", server.advertised.host, server.advertised.port): f"http://{server.inner}"
        for server in (endpoints.files, endpoints.community, endpoints.push)
    }
    places[("http", *FILE_SERVER)] = f"http://{endpoints.files.inner}"
    return ExitMap(places)
