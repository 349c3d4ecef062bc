"""How the network distributes its nodes over swarms, in consensus at every change (network §7).

Clients never need this: they are told the swarms. It exists so that a network of *n* nodes looks like the
real one.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, Generic, TypeVar

from session_protocol.errors import InvalidArgument
from session_protocol.swarms import UNASSIGNED

MIN_SWARM_SIZE: Final = 5
NEW_SWARM_SIZE: Final = 7
IDEAL_SWARM_MARGIN: Final = 2
MAX_SWARM_ID: Final = UNASSIGNED - 1
_EXCESS_BASE: Final = 5
_FILL_PERCENTILE: Final = 25
_REDISTRIBUTION_PERCENTILE: Final = 0
_STEALING_PERCENTILE: Final = 75

_MASK: Final = 2**64 - 1
_STATE_WORDS: Final = 312
_MIDDLE_WORD: Final = 156
_UPPER_BITS: Final = 0xFFFFFFFF80000000
_LOWER_BITS: Final = 0x7FFFFFFF
_TWIST: Final = 0xB5026F5AA96619E9
_SEED_FACTOR: Final = 6364136223846793005

K = TypeVar("K")


class Mt19937_64:  # noqa: N801 - the generator's own name
    """The 64-bit Mersenne Twister, with the network's own way to draw a uniform number."""

    def __init__(self, seed: int) -> None:
        state = [seed & _MASK]
        for index in range(1, _STATE_WORDS):
            last = state[-1]
            state.append((_SEED_FACTOR * (last ^ last >> 62) + index) & _MASK)
        self._state = state
        self._index = _STATE_WORDS

    def next(self) -> int:
        """Return the next number, 0 to 2**64 - 1."""
        if self._index == _STATE_WORDS:
            self._refill()
        x = self._state[self._index]
        self._index += 1
        x ^= x >> 29 & 0x5555555555555555
        x ^= x << 17 & 0x71D67FFFEDA60000
        x ^= x << 37 & 0xFFF7EEE000000000
        return x ^ x >> 43

    def uniform(self, count: int) -> int:
        """Return a number of 0 to ``count`` - 1, each equally likely; ``count`` is 1 or more."""
        if count < 1:
            raise InvalidArgument(f"cannot choose among {count} things")
        limit = _MASK - _MASK % count
        while (x := self.next()) >= limit:
            pass
        return x // (limit // count)

    def _refill(self) -> None:
        state = self._state
        for index in range(_STATE_WORDS):
            x = state[index] & _UPPER_BITS | state[(index + 1) % _STATE_WORDS] & _LOWER_BITS
            twisted = x >> 1 ^ (_TWIST if x & 1 else 0)
            state[index] = state[(index + _MIDDLE_WORD) % _STATE_WORDS] ^ twisted
        self._index = 0


def new_swarm_id(swarm_ids: Sequence[int]) -> int:
    """Return the id of the next swarm: the middle of the widest gap between the existing ids on the ring."""
    if not swarm_ids:
        return 0
    ids = sorted(swarm_ids)
    gaps = [right - left for left, right in pairwise(ids)]
    gaps.append(MAX_SWARM_ID - ids[-1] + ids[0] + 1)
    widest = gaps.index(max(gaps))
    left, half = ids[widest], gaps[widest] // 2
    room = MAX_SWARM_ID - left
    return half - room - 1 if half > room else left + half


def assign(swarms: Mapping[int, Sequence[K]], unassigned: Sequence[K], seed: int) -> dict[int, list[K]]:
    """Return the swarms after ``unassigned`` nodes have joined and the network has balanced itself.

    ``swarms`` maps ids to the nodes that they have now, ``unassigned`` is in ascending order of public
    keys; ``seed`` is the first 8 bytes of the block hash, little endian. Lists keep the order in which
    nodes came. The same input gives what the network's consensus gives, with one exception: where all
    nodes together are fewer than a swarm needs, the last swarm is kept; the reference implementation
    fails there (network §7).
    """
    assignment = _Assignment({swarm: list(nodes) for swarm, nodes in swarms.items()}, Mt19937_64(seed))
    if not unassigned and not any(swarms.values()):
        return assignment.swarms
    if not assignment.swarms:
        assignment.swarms[new_swarm_id(())] = []
    assignment.fill(unassigned, _FILL_PERCENTILE)
    assignment.steal_for_poor_swarms()
    assignment.create_swarms()
    assignment.dissolve_poor_swarms()
    return dict(sorted(assignment.swarms.items()))


class _Assignment(Generic[K]):
    """The state of one computation: the swarms, and the random numbers that all nodes draw alike."""

    def __init__(self, swarms: dict[int, list[K]], random: Mt19937_64) -> None:
        self.swarms = swarms
        self._random = random

    def fill(self, nodes: Sequence[K], percentile: int) -> None:
        """Put each node into a swarm not above the size at ``percentile``; make new swarms on the way."""
        for node in nodes:
            by_size = self._ids_by_size()
            sizes = [len(self.swarms[swarm]) for swarm in by_size]
            largest = sizes[percentile * (len(sizes) - 1) // 100]
            chosen = by_size[self._random.uniform(bisect_right(sizes, largest))]
            self.swarms[chosen].append(node)
            self.create_swarms()

    def create_swarms(self) -> None:
        """Make new swarms of nodes that the others can spare, unless some swarm is itself too small."""
        if any(len(nodes) < MIN_SWARM_SIZE for nodes in self.swarms.values()):
            return
        while self._excess() >= NEW_SWARM_SIZE + IDEAL_SWARM_MARGIN * len(self.swarms):
            members = [self._take(self._pool(MIN_SWARM_SIZE)) for _ in range(NEW_SWARM_SIZE)]
            self.swarms[new_swarm_id(list(self.swarms))] = members

    def steal_for_poor_swarms(self) -> None:
        """Bring small swarms to the minimum with nodes of large ones, as long as those can spare enough."""
        by_size = self._ids_by_size()
        rich = len(self.swarms[by_size[_STEALING_PERCENTILE * (len(by_size) - 1) // 100]])
        if rich == 0:
            return
        limit = max(MIN_SWARM_SIZE, rich - 1)
        for poor in by_size:
            while len(self.swarms[poor]) < MIN_SWARM_SIZE:
                pool = self._pool(limit)
                spare = sum(len(self.swarms[swarm]) - _EXCESS_BASE for swarm in {swarm for swarm, _ in pool})
                if spare < MIN_SWARM_SIZE - len(self.swarms[poor]):
                    return
                self.swarms[poor].append(self._take(pool))

    def dissolve_poor_swarms(self) -> None:
        """Distribute the nodes of swarms that stayed too small over the others; the last swarm is kept."""
        while len(self.swarms) > 1:
            poor = [swarm for swarm, nodes in self.swarms.items() if len(nodes) < MIN_SWARM_SIZE]
            if not poor:
                return
            self.fill(self.swarms.pop(min(poor)), _REDISTRIBUTION_PERCENTILE)

    def _ids_by_size(self) -> list[int]:
        return sorted(sorted(self.swarms), key=lambda swarm: len(self.swarms[swarm]))

    def _excess(self) -> int:
        return sum(max(0, len(nodes) - _EXCESS_BASE) for nodes in self.swarms.values())

    def _pool(self, limit: int) -> list[tuple[int, K]]:
        return [
            (swarm, node)
            for swarm, nodes in sorted(self.swarms.items())
            if len(nodes) > limit
            for node in nodes
        ]

    def _take(self, pool: list[tuple[int, K]]) -> K:
        swarm, node = pool[self._random.uniform(len(pool))]
        self.swarms[swarm].remove(node)
        return node
