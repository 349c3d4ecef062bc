"""Keep the registry's chain in a file, so that a network that starts again has the nodes that it had.

Without it the topology would bring back nodes that have left, and forget those that have joined, together
with the messages that moved when the swarms changed.
"""

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from session_protocol.service_nodes import NodeIdentity
from session_testnet.services.registry.state import NodeRecord, RegistryState
from session_testnet.services.sqlite_file import DatabaseForm, open_database, transaction
from session_testnet.topology import NodeSpec, Topology, derive_seed

FORM: Final = DatabaseForm(
    owner="session-harness registry",
    application_id=0x53485247,
    version=1,
    # A swarm id is text: it exceeds SQLite's integers.
    schema="""
    CREATE TABLE chain (topology TEXT NOT NULL, height INTEGER NOT NULL, explicit_swarms INTEGER NOT NULL);
    CREATE TABLE nodes (
        position INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        ed25519_pk TEXT NOT NULL,
        swarm_id TEXT NOT NULL,
        active INTEGER NOT NULL,
        registration_height INTEGER NOT NULL,
        state_height INTEGER NOT NULL,
        decommission_count INTEGER NOT NULL
    );
    """,
)


@dataclass(frozen=True, slots=True)
class PastNode:
    """A node as the chain had it when the network ended."""

    spec: NodeSpec
    swarm_id: int
    active: bool
    registration_height: int
    state_height: int
    decommission_count: int


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain as it was when the network ended."""

    height: int
    explicit_swarms: bool
    nodes: tuple[PastNode, ...]

    def carry_on(self, topology: Topology) -> Topology:
        """Return a topology with the chain's nodes in place of those that it began with."""
        return replace(topology, nodes=tuple(node.spec for node in self.nodes))

    def restore(self, state: RegistryState) -> None:
        """Give a state that has just been made for these nodes their history back."""
        past = {node.spec.name: node for node in self.nodes}

        def with_history(record: NodeRecord) -> NodeRecord:
            node = past[record.info.name]
            return NodeRecord(
                replace(record.info, swarm_id=node.swarm_id, active=node.active),
                registration_height=node.registration_height,
                state_height=node.state_height,
                decommission_count=node.decommission_count,
            )

        state.restore(
            [with_history(record) for record in state.records],
            height=self.height,
            explicit_swarms=self.explicit_swarms,
        )


class Ledger:
    """The file of one network's chain.

    A ledger belongs to the topology that it began with. With another one, whose nodes are others, the chain
    begins anew.
    """

    def __init__(self, path: Path, topology: Topology) -> None:
        """Open or make the file; DatabaseRefused for a foreign or damaged one."""
        self._topology = topology
        self._fingerprint = _fingerprint(topology)
        self._database = open_database(path, FORM)

    def read(self) -> Chain | None:
        """Return the chain that this topology's network had at its end; None when it has not run yet."""
        with closing(self._database.cursor()) as cursor:
            chain = cursor.execute("SELECT topology, height, explicit_swarms FROM chain").fetchone()
            if chain is None or chain["topology"] != self._fingerprint:
                return None
            rows = cursor.execute("SELECT * FROM nodes ORDER BY position").fetchall()
        specs = {spec.name: spec for spec in self._topology.nodes}
        nodes = tuple(
            PastNode(
                spec=self._spec(row, specs.get(row["name"])),
                swarm_id=int(row["swarm_id"], 16),
                active=bool(row["active"]),
                registration_height=row["registration_height"],
                state_height=row["state_height"],
                decommission_count=row["decommission_count"],
            )
            for row in rows
        )
        return Chain(chain["height"], bool(chain["explicit_swarms"]), nodes)

    def write(self, state: RegistryState) -> None:
        """Keep the present state."""
        with transaction(self._database):
            self._database.execute("DELETE FROM chain")
            self._database.execute("DELETE FROM nodes")
            self._database.execute(
                "INSERT INTO chain VALUES (?, ?, ?)", (self._fingerprint, state.height, state.explicit_swarms)
            )
            self._database.executemany(
                "INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [_row(position, record) for position, record in enumerate(state.records)],
            )

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._database.close()

    def _spec(self, row: sqlite3.Row, of_topology: NodeSpec | None) -> NodeSpec:
        """Return the node with this key: the topology's own, or one that has joined under that name."""
        if of_topology is not None and _key(of_topology.seed) == row["ed25519_pk"]:
            return of_topology
        name = row["name"]
        swarm_id = int(row["swarm_id"], 16) if self._topology.explicit_swarms else None
        return NodeSpec(name, derive_seed(self._topology.seed, "node", name), swarm_id)


def _row(position: int, record: NodeRecord) -> Sequence[object]:
    info = record.info
    return (
        *(position, info.name, info.ed25519_pk, f"{info.swarm_id:x}", info.active),
        *(record.registration_height, record.state_height, record.decommission_count),
    )


def _key(seed: bytes) -> str:
    return NodeIdentity.from_seed(seed).ed25519_pk.hex()


def _fingerprint(topology: Topology) -> str:
    """Return what tells this topology's chain from others: its seed, its height and its nodes."""
    nodes = [f"{spec.name} {_key(spec.seed)} {spec.swarm_id}" for spec in topology.nodes]
    text = "\n".join([topology.seed, str(topology.height), *nodes])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
