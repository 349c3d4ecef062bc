"""Where the relays of a network reach its servers."""

from collections.abc import Mapping

from session_testnet.endpoints import Endpoint
from session_testnet.services.gateway.routes import FILE_SERVER
from session_testnet.services.storage import ExitMap


def exits_of(advertised: Mapping[str, Endpoint], reached: Mapping[str, Endpoint]) -> ExitMap:
    """Send relays to where they reach each server, whatever clients are told."""
    places = {("http", told.host, told.port): f"http://{reached[name]}" for name, told in advertised.items()}
    places[("http", *FILE_SERVER)] = f"http://{reached['files']}"
    return ExitMap(places)
