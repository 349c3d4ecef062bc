"""The gateway: a forward proxy that lets unmodified clients in, and nothing out of the machine."""

from session_testnet.services.gateway.proxy import Gateway
from session_testnet.services.gateway.routes import Route, RouteMap

__all__ = ["Gateway", "Route", "RouteMap"]
