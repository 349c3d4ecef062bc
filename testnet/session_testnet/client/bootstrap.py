"""The first step of every client: the list of service nodes from a seed (network §§3.3, 11)."""

import asyncio
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from session_protocol.onion import Hop
from session_testnet.client.errors import BadReply, NetworkError, NotEnoughNodes, error_for_status
from session_testnet.client.http_client import HttpClient

# Addresses that a registry gives for a node without a known one; clients leave such nodes out (network §3.3).
UNKNOWN_ADDRESSES = frozenset({"", "0.0.0.0", "255.255.255.255"})  # noqa: S104  # compared, never bound

NODE_FIELDS = ("public_ip", "storage_port", "pubkey_ed25519", "pubkey_x25519")


@dataclass(frozen=True, slots=True)
class ServiceNode:
    """A storage node as clients know it: two public keys (lower-case hex), IPv4 address, HTTPS port."""

    ed25519_pk: str
    x25519_pk: str
    ip: str
    port: int

    @property
    def base_url(self) -> str:
        """Return the root of the node's HTTPS front."""
        return f"https://{self.ip}:{self.port}"

    @property
    def hop(self) -> Hop:
        """Return the node as a hop of an onion path."""
        return Hop(bytes.fromhex(self.ed25519_pk), bytes.fromhex(self.x25519_pk))

    @property
    def label(self) -> str:
        """Name the node for errors: the start of its key and its address."""
        return f"{self.ed25519_pk[:8]} at {self.ip}:{self.port}"


async def fetch_service_nodes(
    http: HttpClient, seed_urls: Sequence[str], *, timeout_s: float, at_least: int = 1
) -> tuple[ServiceNode, ...]:
    """Ask all seeds at once and return the first good list, in the registry's order.

    Raise NotEnoughNodes when the lists are valid but shorter than ``at_least``, otherwise the NetworkError of
    the last seed; its ``data`` has every seed's failure.
    """
    if not seed_urls:
        raise NotEnoughNodes(
            "no seed URL is known: give at least one registry, such as http://127.0.0.1:1280"
        )
    tasks = [asyncio.create_task(_ask_seed(http, url, timeout_s, at_least)) for url in seed_urls]
    failures: dict[str, str] = {}
    last: NetworkError | None = None
    try:
        for answer in asyncio.as_completed(tasks):
            try:
                return await answer
            except NetworkError as error:
                last = error
                failures[str(error.data.get("seed", ""))] = error.message
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert last is not None, "at least one seed was asked"
    last.data["seeds"] = failures
    raise last


async def _ask_seed(
    http: HttpClient, seed_url: str, timeout_s: float, at_least: int
) -> tuple[ServiceNode, ...]:
    base = seed_url.rstrip("/")
    url = base if base.endswith("/json_rpc") else f"{base}/json_rpc"
    fields = dict.fromkeys((*NODE_FIELDS, "requested_unlock_height", "height"), True)
    request = {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "get_n_service_nodes",
        "params": {"active_only": True, "fields": fields},
    }
    try:
        reply = await http.post(
            url,
            json.dumps(request).encode(),
            timeout_s=timeout_s,
            waiting_for="the list of service nodes",
            headers={"Content-Type": "application/json"},
        )
        if reply.status != 200:
            failure = error_for_status(reply.status, reply.text, f"the registry {url}")
            raise BadReply(failure.message, **failure.data)
        nodes = parse_node_list(reply.body, url)
        if len(nodes) < at_least:
            raise NotEnoughNodes(
                f"the registry {url} lists {len(nodes)} usable nodes, {at_least} are needed", nodes=len(nodes)
            )
    except NetworkError as error:
        error.data["seed"] = seed_url
        raise
    return nodes


def parse_node_list(body: bytes, source: str) -> tuple[ServiceNode, ...]:
    """Read a registry's answer; nodes without a known address, and second entries of one key, are left out.

    One malformed node refuses the whole list, as in Session Desktop (network §3.3). Raise BadReply.
    """
    try:
        document = json.loads(body)
        entries = document["result"]["service_node_states"]
    except (ValueError, KeyError, TypeError):
        raise BadReply(f"{source} did not answer with result.service_node_states") from None
    if not isinstance(entries, list):
        raise BadReply(f"{source}: result.service_node_states is not a list")
    nodes: dict[str, ServiceNode] = {}
    for index, entry in enumerate(entries):
        node = _registry_node(entry, f"{source}: service_node_states[{index}]")
        if node.ip not in UNKNOWN_ADDRESSES:
            nodes.setdefault(node.ed25519_pk, node)
    return tuple(nodes.values())


def _registry_node(entry: Any, where: str) -> ServiceNode:
    if not isinstance(entry, Mapping):
        raise BadReply(f"{where} is not an object")
    return make_node(
        entry.get("pubkey_ed25519"),
        entry.get("pubkey_x25519"),
        entry.get("public_ip"),
        entry.get("storage_port"),
        where,
    )


def make_node(ed25519_pk: Any, x25519_pk: Any, ip: Any, port: Any, where: str) -> ServiceNode:
    """Check the four values of a node; raise BadReply that names the place and the value."""
    if not isinstance(ip, str) or (ip not in UNKNOWN_ADDRESSES and not _is_ipv4(ip)):
        raise BadReply(f"{where}: {ip!r} is not an IPv4 address")
    # A node that is not reachable yet may have no port either.
    lowest = 0 if ip in UNKNOWN_ADDRESSES else 1
    if not isinstance(port, int) or isinstance(port, bool) or not lowest <= port <= 65_535:
        raise BadReply(f"{where}: {port!r} is not a port")
    return ServiceNode(_key(ed25519_pk, where), _key(x25519_pk, where), ip, port)


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _key(text: Any, where: str) -> str:
    if isinstance(text, str) and len(text) == 64:
        try:
            return bytes.fromhex(text).hex()
        except ValueError:
            pass
    raise BadReply(f"{where}: {text!r} is not a public key of 64 hex digits")
