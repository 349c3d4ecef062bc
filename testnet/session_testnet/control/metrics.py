"""Figures of a running network in Prometheus' text form."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from session_testnet.network import Network
from session_testnet.services.storage.methods import METHODS

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PREFIX: Final = "session_testnet"

# Name, what it counts, its labels.
_COUNTERS: Final = {
    "storage_requests": ("Storage requests that nodes have answered.", ("node", "method", "status", "via")),
    "onion_arrivals": ("Onion requests that have arrived at a node.", ("node", "role")),
    "peer_requests": ("Requests of one node to another.", ("node", "command", "outcome")),
    "fault_uses": ("Uses of fault rules.", ("node", "action")),
    "server_requests": ("Requests to the community and the file server.", ("server", "method", "status")),
}
_METHODS: Final = frozenset({*METHODS, "batch", "sequence", "ifelse"})


class Metrics:
    """Count what the trace tells, and look at the network when somebody asks."""

    def __init__(self, network: Network) -> None:
        """Count from now on."""
        self._network = network
        self._counts: dict[str, Counter[tuple[str, ...]]] = {name: Counter() for name in _COUNTERS}
        network.trace.listen(self._count)

    async def text(self) -> tuple[bytes, str]:
        """Return all figures, and the content type that they have."""
        # Imported by whoever asks for figures, not by every start of a network.
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

        await self._network.engine.collect()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry), CONTENT_TYPE_LATEST

    def collect(self) -> "Iterator[Metric]":
        """Yield all figures as the library takes them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for name, (sentence, labels) in _COUNTERS.items():
            family = CounterMetricFamily(f"{PREFIX}_{name}", sentence, labels=labels)
            for values, count in self._counts[name].items():
                family.add_metric(values, count)
            yield family
        for name, sentence, label, figures in self._gauges():
            gauge = GaugeMetricFamily(f"{PREFIX}_{name}", sentence, labels=[label] if label else None)
            for value, figure in figures.items():
                gauge.add_metric([value] if label else [], figure)
            yield gauge

    def _gauges(self) -> Iterator[tuple[str, str, str, Mapping[str, float]]]:
        """Yield name, sentence, label and figures of what stands now."""
        network, engine = self._network, self._network.engine
        snapshot = engine.registry.snapshot()
        up = {name: float(engine.node_status(name) == "running") for name in network.node_names()}
        yield "node_up", "1 for a node that runs, 0 for one that is paused or stopped.", "node", up
        skews = {name: engine.clock_skew(name) / 1000 for name in network.node_names()}
        yield "node_clock_skew_seconds", "How far a node's clock is ahead of the network's.", "node", skews
        members = {f"{swarm_id:x}": float(len(nodes)) for swarm_id, nodes in snapshot.swarms.items()}
        yield "swarm_members", "Nodes of a swarm.", "swarm", members
        yield "height", "Height of the chain.", "", {"": snapshot.height}
        offset_s = network.clock.offset_ms / 1000
        yield (
            "clock_offset_seconds",
            "How far the network's clock is ahead of the machine's.",
            "",
            {"": offset_s},
        )
        yield "fault_rules", "Fault rules that stand.", "", {"": len(network.faults.list())}

    def _count(self, event: Mapping[str, Any]) -> None:
        node = event["node"] or ""
        match event["kind"]:
            case "rpc":
                # Clients may ask for anything: what is no method is counted as one.
                method = event["method"] if event["method"] in _METHODS else "unknown"
                self._counts["storage_requests"][node, method, str(event["status"]), event["via"]] += 1
            case "onion_in":
                role = "relay" if event.get("address") is None else "guard"
                self._counts["onion_arrivals"][node, role] += 1
            case "peer":
                self._counts["peer_requests"][node, event["command"], str(event["outcome"])] += 1
            case "fault":
                self._counts["fault_uses"][node, event["action"]] += 1
            case "community_request" | "file_server_request":
                self._counts["server_requests"][node, event["method"], str(event["status"])] += 1
