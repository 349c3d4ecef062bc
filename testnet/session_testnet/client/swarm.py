"""Which nodes hold an account's mailbox: looked up once, replaced by what a 421 says (network §5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from session_testnet.client.bootstrap import UNKNOWN_ADDRESSES, ServiceNode, make_node
from session_testnet.client.errors import BadReply

FEWEST_MEMBERS = 3
"""A cached swarm with fewer members than this is looked up anew, unless it never had more (network §5)."""


@dataclass(frozen=True, slots=True)
class Swarm:
    """The members of an account's swarm, and the swarm's id in hex as nodes write it."""

    swarm_id: str
    members: tuple[ServiceNode, ...]


def parse_swarm(body: Any, source: str) -> Swarm | None:
    """Read the answer of ``get_swarm`` or the body of a 421; None when it has no usable member.

    `port_https` is preferred to the historic ``port``, a string. Raise BadReply for malformed entries.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("snodes"), list):
        return None
    members: dict[str, ServiceNode] = {}
    for index, entry in enumerate(body["snodes"]):
        member = _member(entry, f"{source}: snodes[{index}]")
        if member.ip not in UNKNOWN_ADDRESSES:
            members.setdefault(member.ed25519_pk, member)
    if not members:
        return None
    swarm_id = body.get("swarm")
    return Swarm(swarm_id if isinstance(swarm_id, str) else "", tuple(members.values()))


def _member(entry: Any, where: str) -> ServiceNode:
    if not isinstance(entry, Mapping):
        raise BadReply(f"{where} is not an object")
    port = entry.get("port_https", entry.get("port"))
    if isinstance(port, str) and port.isascii() and port.isdigit():
        port = int(port)
    return make_node(entry.get("pubkey_ed25519"), entry.get("pubkey_x25519"), entry.get("ip"), port, where)


class SwarmCache:
    """Remember swarms by account."""

    def __init__(self) -> None:
        self._swarms: dict[str, Swarm] = {}
        self._sizes: dict[str, int] = {}

    def get(self, account_id: str) -> Swarm | None:
        """Return what is known, or None when it should be looked up."""
        swarm = self._swarms.get(account_id)
        if swarm is None or len(swarm.members) < min(FEWEST_MEMBERS, self._sizes[account_id]):
            return None
        return swarm

    def put(self, account_id: str, swarm: Swarm) -> None:
        """Remember a swarm that a node told."""
        self._swarms[account_id] = swarm
        self._sizes[account_id] = len(swarm.members)

    def forget(self, account_id: str) -> None:
        """Forget a swarm, so that the next use looks it up."""
        self._swarms.pop(account_id, None)

    def drop_member(self, account_id: str, ed25519_pk: str) -> None:
        """Take a node out of an account's swarm: it said 421 and did not say who else."""
        swarm = self._swarms.get(account_id)
        if swarm is not None:
            left = tuple(member for member in swarm.members if member.ed25519_pk != ed25519_pk)
            self._swarms[account_id] = Swarm(swarm.swarm_id, left)
