"""Run a network together with its control interface, inside the calling event loop."""

from typing import Any

from aiohttp import web

from session_testnet.control.app import ControlServer
from session_testnet.endpoints import LOOPBACK, bind_socket
from session_testnet.network import Network
from session_testnet.network_options import NetworkOptions
from session_testnet.services.http_runner import http_runner
from session_testnet.topology import Topology


class HostedNetwork:
    """Own a network and the HTTP server that controls it; made with :meth:`start`."""

    def __init__(self, network: Network, control: ControlServer, runner: web.AppRunner, url: str) -> None:
        """Take the parts; :meth:`start` makes them."""
        self.network = network
        self.control = control
        self._runner = runner
        self._url = url

    @classmethod
    async def start(cls, topology: Topology, options: NetworkOptions | None = None) -> "HostedNetwork":
        """Start the network, wait until it is ready, and serve its control interface."""
        network = await Network.start(topology, options)
        try:
            control = ControlServer(network, network.control_token)
            runner = http_runner(control.application(), shutdown_s=0.5)
            await runner.setup()
            listener = bind_socket(network.options.control_ip or LOOPBACK, 0)
            await web.SockSite(runner, listener).start()
            host, port = listener.getsockname()[:2]
        except BaseException:
            await network.aclose()
            raise
        return cls(network, control, runner, f"http://{host}:{port}")

    def state(self) -> dict[str, Any]:
        """Return the whole state file: the network, and how to control it."""
        state = self.network.state()
        for node in state["nodes"]:
            node["control_url"] = f"{self._url}/nodes/{node['name']}"
        return {**state, "control": {"url": self._url, "token": self.network.control_token}}

    async def aclose(self) -> None:
        """End the control interface and the network; safe to call twice."""
        await self._runner.cleanup()
        await self.network.aclose()
