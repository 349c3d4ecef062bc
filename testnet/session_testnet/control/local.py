"""A network of one's own, in a thread of this process."""

import asyncio
from collections.abc import Callable
from typing import Any

from session_testnet.control.commands import execute
from session_testnet.control.handles import NetworkHandle
from session_testnet.control.host import HostedNetwork
from session_testnet.loop_thread import LoopThread
from session_testnet.network_options import NetworkOptions
from session_testnet.topology import Topology

COMMAND_DEADLINE_S = 30.0
# Beyond what the network itself may take to be ready; containers need time to be made, and to go.
START_DEADLINE_S = 60.0
END_DEADLINE_S = 120.0


class LocalNetworkHandle(NetworkHandle):
    """Own a network that runs in a thread of this process; made with :meth:`open`."""

    def __init__(self, thread: LoopThread, hosted: HostedNetwork) -> None:
        """Take the running parts; :meth:`open` makes them."""
        super().__init__(hosted.state())
        self._thread = thread
        self._hosted = hosted

    @classmethod
    def open(cls, topology: Topology, options: NetworkOptions | None = None) -> "LocalNetworkHandle":
        """Start a network and return when it is ready."""
        thread = LoopThread(f"testnet {topology.name}")
        try:
            hosted = thread.run(
                HostedNetwork.start(topology, options),
                timeout_s=START_DEADLINE_S + (options or NetworkOptions()).ready_deadline_s,
                waiting_for="the network to be ready",
            )
        except BaseException:
            thread.close()
            raise
        return cls(thread, hosted)

    def command(self, name: str, **params: Any) -> Any:
        """Carry out a control command on the network's own loop."""
        return self._thread.run(
            execute(self._hosted.network, name, params),
            timeout_s=COMMAND_DEADLINE_S,
            waiting_for=f"command {name}",
        )

    def on_change(self, callback: Callable[[dict[str, Any]], None]) -> None:
        """Call ``callback`` with the new state when nodes have joined or left, on the network's thread."""
        self._hosted.network.subscribe(lambda: callback(self._hosted.state()))

    def wait_for_shutdown_request(self, timeout_s: float) -> bool:
        """Wait until somebody asks for the network's end; tell whether that happened."""
        return self._thread.run(
            _wait_for(self._hosted, timeout_s), timeout_s=timeout_s + 5, waiting_for="a request to shut down"
        )

    def close(self) -> None:
        """End the network and its thread; safe to call twice."""
        if self._thread.loop.is_closed():
            return
        self._thread.run(self._hosted.aclose(), timeout_s=END_DEADLINE_S, waiting_for="the network to end")
        self._thread.close()


async def _wait_for(hosted: HostedNetwork, timeout_s: float) -> bool:
    try:
        await asyncio.wait_for(hosted.control.shutdown_requested.wait(), timeout_s)
    except TimeoutError:
        return False
    return True
