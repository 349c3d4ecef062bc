"""Join what single nodes saw of onion requests into the paths that these took.

No node knows more than its neighbours; only the testnet sees all of them (onion-requests §4).
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_DEEDS = frozenset({"onion_relay", "onion_final", "onion_exit"})


@dataclass(frozen=True, slots=True)
class OnionPath:
    """One request: where it came from, the nodes that it went through, and where it ended.

    ``client`` is the address that the guard saw; ``bytes`` is the size of what each node received.
    ``outcome`` is "final" for a request that its last node answered itself, "exit" for one that left for a
    server, "refused" where the last node did neither, "lost" where the next one never saw it. ``destination``
    names the node or the server that was meant, as far as somebody knew.
    """

    seq: int
    client: str
    hops: tuple[str, ...]
    bytes: tuple[int, ...]
    outcome: str
    destination: str

    def as_dict(self) -> dict[str, Any]:
        """Return the path as JSON values."""
        return {
            "seq": self.seq,
            "client": self.client,
            "hops": list(self.hops),
            "bytes": list(self.bytes),
            "outcome": self.outcome,
            "destination": self.destination,
        }


@dataclass(slots=True)
class _Visit:
    """What one node saw of one request: its arrival, and what became of it there."""

    arrival: Mapping[str, Any]
    deed: Mapping[str, Any] | None = None


def join_paths(events: Iterable[Mapping[str, Any]], name_of_key: Mapping[str, str]) -> list[OnionPath]:
    """Return the paths of a trace's onion requests, in the order of their beginning.

    ``name_of_key`` tells a node's name by its Ed25519 key (hex). Only the order of each node's own events
    counts. A path whose beginning has fallen out of the trace is left out. Requests of one size between the
    same two nodes are told apart by their order, in which they travel.
    """
    visits = list(_visits(events))
    arrivals: dict[tuple[str, str, int], deque[_Visit]] = defaultdict(deque)
    for visit in visits:
        sender = visit.arrival.get("sender")
        if sender is not None:
            key = (name_of_key.get(sender, sender), visit.arrival["node"], visit.arrival["bytes"])
            arrivals[key].append(visit)

    def next_visit(visit: _Visit) -> _Visit | None:
        deed = visit.deed
        if deed is None or deed["kind"] != "onion_relay":
            return None
        following = name_of_key.get(deed["next"], deed["next"])
        waiting = arrivals.get((deed["node"], following, deed["bytes"]))
        return waiting.popleft() if waiting else None

    followed = {id(visit): next_visit(visit) for visit in visits}
    paths = []
    for visit in visits:
        if visit.arrival.get("address") is None:
            continue
        chain: list[_Visit] = [visit]
        while (following := followed[id(chain[-1])]) is not None:
            chain.append(following)
        paths.append(_path(chain, name_of_key))
    return paths


def _visits(events: Iterable[Mapping[str, Any]]) -> Iterable[_Visit]:
    """Yield what each node saw of each request, in the order of arrival."""
    latest: dict[str, _Visit] = {}
    found: list[_Visit] = []
    for event in events:
        kind, node = event["kind"], event["node"]
        if kind == "onion_in":
            latest[node] = _Visit(event)
            found.append(latest[node])
        elif kind in _DEEDS and node in latest and latest[node].deed is None:
            # What a node does with a request it does before it looks at the next one.
            latest[node].deed = event
    return found


def _path(chain: list[_Visit], name_of_key: Mapping[str, str]) -> OnionPath:
    first, last = chain[0].arrival, chain[-1]
    outcome, destination = "refused", ""
    if last.deed is not None:
        match last.deed["kind"]:
            case "onion_final":
                outcome, destination = "final", last.deed["node"]
            case "onion_exit":
                server = last.deed
                outcome = "exit"
                destination = f"{server['protocol']}://{server['host']}:{server['port']}{server['target']}"
            case _:
                outcome = "lost"
                destination = name_of_key.get(last.deed["next"], last.deed["next"])
    return OnionPath(
        first["seq"],
        first["address"],
        tuple(visit.arrival["node"] for visit in chain),
        tuple(visit.arrival["bytes"] for visit in chain),
        outcome,
        destination,
    )
