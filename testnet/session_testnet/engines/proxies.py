"""A proxy in front of each service, at the address that clients are told: faults of connections act there."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from session_testnet.endpoints import NodeEndpoints, bind_socket, endpoints_of
from session_testnet.faults.tcp_faults import StrikeCounts, TcpFault, TcpStrike
from session_testnet.faults.tcp_proxy import TcpProxy
from session_testnet.trace import Trace


class Proxies:
    """Put proxies in front of services, and let the faults strike that concern each."""

    def __init__(self, seed: str, counts: StrikeCounts, trace: Trace, advertise_ip: str | None) -> None:
        """Take where chance comes from, and what counts and records strikes."""
        self._seed = seed
        self._counts = counts
        self._trace = trace
        self._advertise_ip = advertise_ip
        self._proxies: dict[str, list[TcpProxy]] = {}
        self._faults: Sequence[TcpFault] = ()

    def front(self, name: str, service: NodeEndpoints) -> NodeEndpoints:
        """Put a proxy in front of a service; return where that is reached from now on."""
        listener = bind_socket(service.bind.host)

        def struck(strike: TcpStrike) -> None:
            self._trace.record("fault", name, rule=strike.fault.id, action=strike.fault.action)

        proxy = TcpProxy(
            listener,
            (service.inner.host, service.inner.port),
            seed=f"{self._seed} {name}",
            counts=self._counts,
            on_strike=struck,
        )
        proxy.start()
        proxy.set_faults([fault for fault in self._faults if fault.fits(name)])
        self._proxies.setdefault(name, []).append(proxy)
        return replace(endpoints_of(listener, self._advertise_ip), bind=service.bind)

    def set_faults(self, faults: Sequence[TcpFault]) -> None:
        """Let these faults act, on connections that there are and on new ones, and no others."""
        self._faults = faults
        for name, proxies in self._proxies.items():
            for proxy in proxies:
                proxy.set_faults([fault for fault in faults if fault.fits(name)])

    async def remove(self, name: str) -> None:
        """Take the proxies of a service away."""
        await asyncio.gather(*(proxy.close() for proxy in self._proxies.pop(name, ())))

    async def close(self) -> None:
        """Take all away; safe to call twice."""
        await asyncio.gather(*(self.remove(name) for name in tuple(self._proxies)))
