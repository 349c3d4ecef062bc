"""A node's copy of the network's fault rules: which might strike is known here, whether one does, there."""

from collections.abc import Mapping, Sequence
from typing import Any

from session_testnet.channel import Channel, ChannelClosed
from session_testnet.faults.rules import FaultRule, Strike

CLAIM_S = 10.0


class RuleCopies:
    """Find rules in a copy, and ask the network's book before one strikes: the book counts for all nodes."""

    def __init__(self, channel: Channel) -> None:
        """Take the channel to the network; there are no rules yet."""
        self._channel = channel
        self._rules: tuple[FaultRule, ...] = ()

    def replace(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Take over all rules of the network's book."""
        self._rules = tuple(
            FaultRule.parse({key: value for key, value in rule.items() if key != "used"}) for rule in rules
        )

    def fitting(
        self, actions: Sequence[str], node: str, *, method: str | None = None, path: str | None = None
    ) -> Sequence[FaultRule]:
        """Return the rules with these actions that concern a request."""
        return [
            rule
            for rule in self._rules
            if rule.action in actions and rule.fits(node, method=method, path=path)
        ]

    async def claim(self, rule_id: str) -> Strike | None:
        """Use a rule once; None when it has been used up or removed, or chance spares this request."""
        rule = next((rule for rule in self._rules if rule.id == rule_id), None)
        try:
            used = await self._channel.call("fault.claim", rule_id, timeout_s=CLAIM_S)
        except ChannelClosed:
            return None
        return None if used is None or rule is None else Strike(rule, *used)
