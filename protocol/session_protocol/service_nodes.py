"""Service nodes: their keys, their addresses, and the compact node list (network §§2, 4.2)."""

import ipaddress
import struct
from dataclasses import dataclass, field

import nacl.bindings

from session_protocol.ed25519 import sign_detached
from session_protocol.errors import BadFormat, InvalidArgument, InvalidLength

_SEED_BYTES = 32
_BASE32Z_ALPHABET = "ybndrfg8ejkmcpqxot1uwisza345h769"
_BITS_PER_DIGIT = 5

_RECORD = struct.Struct(">32sQ4sHH3B")
ACTIVE_NODE_BYTES = _RECORD.size
_LARGEST_VERSION_PART = 255


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """The keys of a node; its X25519 pair is the image of its Ed25519 pair (network §2)."""

    ed25519_pk: bytes
    ed25519_sk: bytes = field(repr=False)
    x25519_pk: bytes
    x25519_sk: bytes = field(repr=False)

    @classmethod
    def from_seed(cls, seed: bytes) -> "NodeIdentity":
        """Derive all keys from a 32-byte Ed25519 seed. Raise InvalidLength."""
        if len(seed) != _SEED_BYTES:
            raise InvalidLength(f"a node's seed has {_SEED_BYTES} bytes, not {len(seed)}")
        public, secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        return cls(
            ed25519_pk=public,
            ed25519_sk=secret,
            x25519_pk=nacl.bindings.crypto_sign_ed25519_pk_to_curve25519(public),
            x25519_sk=nacl.bindings.crypto_sign_ed25519_sk_to_curve25519(secret),
        )

    @property
    def snode_address(self) -> str:
        """Return the ``.snode`` address, under which swarm lists name the node."""
        return f"{base32z_encode(self.ed25519_pk)}.snode"

    def sign(self, payload: bytes) -> bytes:
        """Sign an answer; 64 bytes (storage-rpc §9)."""
        return sign_detached(self.ed25519_sk, payload)


@dataclass(frozen=True, slots=True)
class ActiveNode:
    """One record of the compact node list: who, in which swarm, and where to reach it."""

    ed25519_pk: bytes
    swarm_id: int
    ip: str
    https_port: int
    omq_port: int
    version: tuple[int, int, int]


def base32z_encode(data: bytes) -> str:
    """Write bytes in base32z, most significant bit first, without padding; 32 bytes give 52 characters."""
    digits = -(-8 * len(data) // _BITS_PER_DIGIT)
    number = int.from_bytes(data, "big") << (digits * _BITS_PER_DIGIT - 8 * len(data))
    return "".join(
        _BASE32Z_ALPHABET[number >> shift & 31]
        for shift in range((digits - 1) * _BITS_PER_DIGIT, -1, -_BITS_PER_DIGIT)
    )


def encode_active_nodes_record(
    ed25519_pk: bytes,
    swarm_id: int,
    ip: str,
    https_port: int,
    omq_port: int,
    version: tuple[int, int, int],
) -> bytes:
    """Write the 51 bytes that ``active_nodes_bin`` has for a node (network §4.2).

    Parts of ``version`` above 255 are written as 255. Raise InvalidLength for a key, InvalidArgument for
    the rest.
    """
    if len(ed25519_pk) != _SEED_BYTES:
        raise InvalidLength(f"an Ed25519 key has {_SEED_BYTES} bytes, not {len(ed25519_pk)}")
    try:
        address = ipaddress.IPv4Address(ip).packed
        parts = (min(part, _LARGEST_VERSION_PART) for part in version)
        return _RECORD.pack(ed25519_pk, swarm_id, address, https_port, omq_port, *parts)
    except (ValueError, struct.error) as error:
        raise InvalidArgument(f"node {ed25519_pk.hex()} does not fit a record: {error}") from None


def decode_active_nodes(data: bytes) -> tuple[ActiveNode, ...]:
    """Read the records of ``active_nodes_bin``; raise BadFormat unless they have 51 bytes each."""
    if len(data) % ACTIVE_NODE_BYTES:
        raise BadFormat(f"{len(data)} bytes are no whole number of {ACTIVE_NODE_BYTES}-byte node records")
    return tuple(
        ActiveNode(
            key, swarm_id, str(ipaddress.IPv4Address(address)), https_port, omq_port, (major, minor, patch)
        )
        for key, swarm_id, address, https_port, omq_port, major, minor, patch in _RECORD.iter_unpack(data)
    )
