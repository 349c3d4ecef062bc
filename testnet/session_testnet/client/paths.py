"""Onion paths: who relays, which guard stays, and what failures do to them (onion-requests §8.1, 8.2)."""

import random
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from session_protocol.onion import Hop
from session_testnet.client.bootstrap import ServiceNode
from session_testnet.client.errors import NotEnoughNodes

RELAYS = 3
KEPT_PATHS = 2
STRIKES = 3
"""Failures after which a node, and with it a guard, is given up (onion-requests §8.1)."""


@dataclass(frozen=True, slots=True)
class Path:
    """The relays of an onion request in order; only the first, the guard, sees our address."""

    nodes: tuple[ServiceNode, ...]

    @property
    def guard(self) -> ServiceNode:
        """Return the first relay."""
        return self.nodes[0]

    @property
    def hops(self) -> tuple[Hop, ...]:
        """Return the relays as what an onion request is built from."""
        return tuple(node.hop for node in self.nodes)

    @property
    def keys(self) -> frozenset[str]:
        """Return the Ed25519 keys of the relays."""
        return frozenset(node.ed25519_pk for node in self.nodes)

    @property
    def label(self) -> str:
        """Show the path for errors."""
        return " → ".join(node.ed25519_pk[:8] for node in self.nodes)


class PathBook:
    """Keep a few paths over the known nodes, and count strikes against guards and relays.

    Guards are chosen once and stay until they fail: who keeps changing guards meets a bad one sooner. Kept
    paths share no node while the pool is large enough. Nothing here waits or sends.
    """

    def __init__(self, rng: random.Random, *, relays: int = RELAYS, kept: int = KEPT_PATHS) -> None:
        if relays < 1 or kept < 1:
            raise ValueError("an onion path needs at least one relay, and at least one path has to be kept")
        self._rng = rng
        self._relays = relays
        self._kept = kept
        self._pool: dict[str, ServiceNode] = {}
        self._guards: list[str] = []
        self._paths: list[Path] = []
        self._strikes: Counter[str] = Counter()

    @property
    def relays(self) -> int:
        """Return the number of relays of a path."""
        return self._relays

    @property
    def nodes(self) -> tuple[ServiceNode, ...]:
        """Return the nodes that may be relays or destinations."""
        return tuple(self._pool.values())

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the paths that are kept at present."""
        return tuple(self._paths)

    @property
    def is_usable(self) -> bool:
        """Tell whether a path and a destination outside it are left."""
        return len(self._pool) > self._relays

    def learn(self, nodes: Iterable[ServiceNode]) -> None:
        """Replace the pool by a new list; strikes are forgotten, paths of nodes that remain stay."""
        self._pool = {node.ed25519_pk: node for node in nodes}
        self._strikes.clear()
        self._guards = [guard for guard in self._guards if guard in self._pool]
        self._paths = [path for path in self._paths if set(path.nodes) <= set(self._pool.values())]

    def choose(self, *, without: Collection[str] = (), other_than: Collection[Path] = ()) -> Path:
        """Return a path that has none of the nodes ``without`` and is not one of ``other_than``.

        A kept path is preferred; where none fits, one is made for this request. Raise NotEnoughNodes.
        """
        self._fill()
        fitting = [path for path in self._paths if path not in other_than and not path.keys & set(without)]
        if fitting:
            return self._rng.choice(fitting)
        used_guards = {path.guard.ed25519_pk for path in other_than}
        preferred = [guard for guard in self._guards if guard not in without and guard not in used_guards]
        return self._build(set(without), preferred)

    def succeeded(self, path: Path) -> None:
        """Forget the strikes against the nodes of a path that worked."""
        for node in path.nodes:
            self._strikes.pop(node.ed25519_pk, None)

    def failed(self, path: Path) -> None:
        """Count a failure that may be any node's of the path.

        The path is given up, but not its guard: the next one is built behind it, of other relays where there
        are any. A guard goes with the third failure in a row, as every node does.
        """
        self._give_up(path)
        for node in path.nodes:
            self.strike(node.ed25519_pk)

    def strike(self, ed25519_pk: str) -> None:
        """Count a failure of one node; the third drops it."""
        self._strikes[ed25519_pk] += 1
        if self._strikes[ed25519_pk] >= STRIKES:
            self.drop(ed25519_pk)

    def drop(self, ed25519_pk: str) -> None:
        """Take a node out of the pool and end every path that leads through it."""
        self._pool.pop(ed25519_pk, None)
        self._strikes.pop(ed25519_pk, None)
        if ed25519_pk in self._guards:
            self._guards.remove(ed25519_pk)
        for path in [path for path in self._paths if ed25519_pk in path.keys]:
            self._give_up(path)

    def _give_up(self, path: Path) -> None:
        if path in self._paths:
            self._paths.remove(path)

    def _fill(self) -> None:
        """Build the paths that should be kept, as far as the pool allows paths without common nodes."""
        while len(self._paths) < self._kept:
            taken = {key for path in self._paths for key in path.keys}
            if self._paths and len(self._pool) - len(taken) < self._relays:
                return
            free_guards = [guard for guard in self._guards if guard not in taken]
            path = self._build(taken, free_guards)
            if path.guard.ed25519_pk not in self._guards:
                self._guards.append(path.guard.ed25519_pk)
            self._paths.append(path)

    def _build(self, without: Collection[str], preferred_guards: list[str]) -> Path:
        usable = [node for node in self._pool.values() if node.ed25519_pk not in without]
        if len(usable) < self._relays:
            raise NotEnoughNodes(
                f"an onion path needs {self._relays} relays besides the destination, {len(usable)} of"
                f" {len(self._pool)} nodes are left: use a larger network, fewer relays, or direct requests",
                nodes=len(self._pool),
            )
        guard = self._pool[preferred_guards[0]] if preferred_guards else self._rng.choice(usable)
        others = [node for node in usable if node is not guard]
        shuffled = self._rng.sample(others, len(others))
        # Suspects and the guards of other paths come last: they are taken only where nobody else is left.
        shuffled.sort(key=lambda node: (self._strikes[node.ed25519_pk], node.ed25519_pk in self._guards))
        return Path((guard, *shuffled[: self._relays - 1]))
