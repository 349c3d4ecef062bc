"""Addresses of services: where they listen, where services reach them, and what clients are told."""

import errno
import ipaddress
import socket
from dataclasses import dataclass

from session_testnet.hinted_error import HintedError

# Node number n (from 1) lives at 127.0.n.1; 254 numbers fit into an octet without 0 and 255.
_NODES_PER_OCTET = 254
# Connections that may wait to be accepted; a burst of a load test fits.
_BACKLOG = 1024
LOOPBACK = "127.0.0.1"
ANY = "0.0.0.0"  # noqa: S104 - bound only when the user asks to be reached from elsewhere


class EndpointError(HintedError, OSError):
    """Say which address cannot be used and why, in one line, with a hint how to mend it."""


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A host and a TCP port; its text is ``host:port``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class NodeEndpoints:
    """The three addresses of a node.

    ``bind`` is where its socket listens, ``inner`` where other services of the network reach it,
    ``advertised`` what the registry, ``get_swarm`` and 421 answers tell clients: a node must advertise
    exactly the address at which the client reaches it (real-clients §9).
    """

    bind: Endpoint
    inner: Endpoint
    advertised: Endpoint


def node_address(number: int) -> str:
    """Return the loopback address of node ``number`` (from 1): 127.0.n.1, past 254 127.a.b.1.

    Each node has a /24 of its own, which satisfies the diversity rules of the official clients (network §11).
    Raises EndpointError beyond 64,770 nodes: 127.254 is the last usable second octet.
    """
    if not 1 <= number <= _NODES_PER_OCTET * 255:
        raise EndpointError(
            f"there is no loopback address for node {number}", "nodes are numbered from 1 to 64770"
        )
    high, low = divmod(number - 1, _NODES_PER_OCTET)
    return f"127.{high}.{low + 1}.1"


def loopback_range_works() -> bool:
    """Tell whether this system binds 127.0.0.0/8 beyond 127.0.0.1 (Linux does, macOS needs aliases)."""
    return can_bind(node_address(1)) and can_bind(node_address(_NODES_PER_OCTET + 1))


def can_bind(host: str) -> bool:
    """Tell whether a socket of this machine can listen at ``host``."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def allocate_node_addresses(count: int, *, own_addresses: bool | None = None) -> list[str]:
    """Return an address for each of ``count`` nodes: one of their own, or 127.0.0.1 for all.

    ``own_addresses`` None asks the system once whether it binds 127.a.b.1. With a shared address nodes differ
    by port.
    """
    if own_addresses is None:
        own_addresses = loopback_range_works()
    return [node_address(number) if own_addresses else LOOPBACK for number in range(1, count + 1)]


def parse_advertise_ip(text: str) -> str:
    """Return the IPv4 address to tell clients, in its usual form; EndpointError if none can connect to it."""
    try:
        address = ipaddress.IPv4Address(text.strip())
    except ValueError:
        raise EndpointError(
            f"{text!r} is no IPv4 address", "clients take addresses like 127.0.0.1, 192.168.1.20 or 10.0.2.2"
        ) from None
    # Clients drop nodes at 0.0.0.0 and 255.255.255.255 (network §3.3).
    if address.is_unspecified or address.is_multicast or int(address) == 2**32 - 1:
        raise EndpointError(
            f"no client can connect to {address}", "advertise the address at which it reaches this machine"
        )
    return str(address)


def listening_host(advertise_ip: str | None) -> str:
    """Return where a service has to listen so that clients reach it at ``advertise_ip``.

    That is the address itself if it belongs to this machine. Otherwise (10.0.2.2 of the Android emulator, an
    address translated on its way) it is every address of the machine.
    """
    if advertise_ip is None:
        return LOOPBACK
    address = parse_advertise_ip(advertise_ip)
    return address if can_bind(address) else ANY


def endpoints_of(listener: socket.socket, advertise_ip: str | None = None) -> NodeEndpoints:
    """Tell the three addresses of a service from the socket at which it listens."""
    host, port = listener.getsockname()[:2]
    inner = LOOPBACK if host == ANY else host
    advertised = inner if advertise_ip is None else parse_advertise_ip(advertise_ip)
    return NodeEndpoints(Endpoint(host, port), Endpoint(inner, port), Endpoint(advertised, port))


def bind_socket(host: str, port: int = 0) -> socket.socket:
    """Return a socket that listens at ``host``; port 0 lets the system choose.

    It listens at once: two sockets that are only bound may share a port on Linux when both allow address
    reuse, and the clash would show much later. Raises EndpointError with a hint for an address that is taken,
    foreign or forbidden.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except (OSError, OverflowError) as error:
        listener.close()
        raise EndpointError(
            f"cannot listen at {host}:{port}: {_reason(error)}", _hint(error, port)
        ) from error
    return listener


def _reason(error: OSError | OverflowError) -> str:
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)


def _hint(error: OSError | OverflowError, port: int) -> str:
    if isinstance(error, OverflowError):
        return "ports go from 0, which lets the system choose, to 65535"
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"another program listens at port {port}: stop it, or choose another port; 0 takes a free one"
            )
        case errno.EACCES | errno.EPERM:
            return "ports below 1024 need privileges: choose a higher one; 0 takes a free one"
        case errno.EADDRNOTAVAIL:
            return "the address does not belong to this machine"
        case errno.EMFILE | errno.ENFILE:
            return "too many open files: raise the limit with `ulimit -n`, or use fewer nodes"
        case _:
            return ""
