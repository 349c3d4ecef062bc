"""Let the faults of a network's roster act where an engine has to do something for them."""

from collections.abc import Mapping
from typing import Any

from session_testnet.engines.base import Node, NodeProvider
from session_testnet.engines.proxies import Proxies
from session_testnet.faults import FaultRoster, FaultRule
from session_testnet.faults.partition import CLIENTS
from session_testnet.faults.rules import USE_KEYS


class FaultEffects:
    """Tell nodes and proxies of the faults that stand, and nothing of others."""

    def __init__(
        self,
        roster: FaultRoster,
        provider: NodeProvider,
        nodes: Mapping[str, Node],
        proxies: Proxies | None,
    ) -> None:
        """Take the roster and whom it concerns; ``nodes`` are those that there are at any time, by name."""
        self._roster = roster
        self._provider = provider
        self._nodes = nodes
        self._proxies = proxies

    async def apply(self) -> None:
        """Let the faults of the roster act, and no others."""
        if self._proxies is not None:
            self._proxies.set_faults(self._roster.tcp_faults)
        await self._provider.faults_changed()
        await self._cut_apart()

    def answers_wrong_swarm(self, node: str) -> bool:
        """Tell whether a node's knob for 421 is turned: it is a fault rule."""
        return _wrong_swarm_rule(node) in self._roster.ids()

    async def set_wrong_swarm(self, node: str, *, wrong: bool) -> None:
        """Turn a node's knob for 421."""
        if wrong == self.answers_wrong_swarm(node):
            return
        if wrong:
            self._roster.add(FaultRule("wrong_swarm", id=_wrong_swarm_rule(node), node=node))
        else:
            self._roster.clear(_wrong_swarm_rule(node))
        await self.apply()

    def standing(self) -> list[dict[str, Any]]:
        """Return the faults with what is left of each; those that are knobs of nodes stand there."""
        of_knobs = {_wrong_swarm_rule(name) for name in self._nodes}
        left = (_what_is_left(fault) for fault in self._roster.list() if fault["id"] not in of_knobs)
        return [fault for fault in left if fault is not None]

    async def _cut_apart(self) -> None:
        """Let nodes and clients reach each other as the partitions allow."""
        partitions = self._roster.partitions

        def allowed(one: str, other: str) -> bool:
            return all(partition.allows(one, other) for partition in partitions)

        for name, node in self._nodes.items():
            others = {each.ed25519_hex for other, each in self._nodes.items() if not allowed(name, other)}
            await node.cut_off(others, clients=not allowed(name, CLIENTS))


def _what_is_left(fault: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a listed fault as it can be added again; None when it has been used up."""
    left = {key: value for key, value in fault.items() if key not in USE_KEYS}
    if left.get("times") is not None:
        left["times"] -= fault.get("used", 0)
        if left["times"] < 1:
            return None
    return left


def _wrong_swarm_rule(node_name: str) -> str:
    return f"knob-wrong-swarm-{node_name}"
