"""Fetch what is new in an account's namespaces, with a place kept per node (client-protocol §6.3)."""

import asyncio
import base64
import binascii
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from session_protocol import storage_auth
from session_protocol.accounts import Account
from session_testnet.client.bootstrap import ServiceNode
from session_testnet.client.errors import BadReply, ClientError, error_for_status
from session_testnet.client.network_client import NetworkClient

MESSAGES: Final = 0
MESSAGES_MAX_SIZE: Final = -2
CONFIGS_MAX_SIZE: Final = -8
MAX_PAGES: Final = 64
"""Pages fetched from one node in one round, more than any mailbox fills."""


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One entry of a mailbox: storage hash, namespace, and the bytes that were stored."""

    hash: str
    namespace: int
    data: bytes
    timestamp_ms: int


class MailboxPoller:
    """Poll an account's own swarm: a few random members each round, each from where it was left.

    The last hash is kept per (node, namespace), since members may list messages in different orders; a
    change of node therefore brings duplicates, which the storage hash tells (client-protocol §6.3).
    """

    def __init__(
        self, account: Account, network: NetworkClient, rng: random.Random, *, members_per_round: int = 2
    ) -> None:
        self._account = account
        self._network = network
        self._rng = rng
        self._members_per_round = members_per_round
        self.last_hashes: dict[tuple[str, int], str] = {}

    async def fetch(self, namespaces: Sequence[int]) -> list[StoredItem]:
        """Do one round; return each new entry once. Raise only when no member could be asked."""
        members = await self._network.swarm(self._account.account_id)
        chosen = self._rng.sample(members, min(self._members_per_round, len(members)))
        rounds = await asyncio.gather(
            *(self._fetch_from(member, namespaces) for member in chosen), return_exceptions=True
        )
        items: dict[str, StoredItem] = {}
        failure: BaseException | None = None
        reached = False
        for answer in rounds:
            if isinstance(answer, ClientError):
                failure = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                reached = True
                for item in answer:
                    items.setdefault(item.hash, item)
        if not reached and failure is not None:
            raise failure
        return list(items.values())

    async def _fetch_from(self, member: ServiceNode, namespaces: Sequence[int]) -> list[StoredItem]:
        items: list[StoredItem] = []
        open_namespaces = list(namespaces)
        for _ in range(MAX_PAGES):
            answered_by, pages = await self._retrieve(member, open_namespaces)
            still_open = []
            for namespace, page in zip(open_namespaces, pages, strict=True):
                found = _items_of(page, namespace, answered_by)
                items += found
                if found:
                    self.last_hashes[answered_by.ed25519_pk, namespace] = found[-1].hash
                    if page.get("more") is True:
                        still_open.append(namespace)
            if not still_open:
                break
            member, open_namespaces = answered_by, still_open
        return items

    async def _retrieve(
        self, member: ServiceNode, namespaces: Sequence[int]
    ) -> tuple[ServiceNode, list[Mapping[str, Any]]]:
        """Ask for one page of each namespace: a plain retrieve for one, a batch for several.

        Another member may answer in place of the one that fails: it is asked from its own place.
        """
        own_id = self._account.account_id
        if len(namespaces) == 1:
            reply = await self._network.account_rpc(
                own_id,
                "retrieve",
                lambda now_ms, asked: self._request(asked, namespaces[0], now_ms),
                prefer=member,
            )
            return reply.node, [_page(reply.body, reply.node)]
        reply = await self._network.account_rpc(
            own_id,
            "batch",
            lambda now_ms, asked: {
                "requests": [
                    {"method": "retrieve", "params": self._request(asked, namespace, now_ms)}
                    for namespace in namespaces
                ]
            },
            prefer=member,
        )
        results = reply.body.get("results") if isinstance(reply.body, Mapping) else None
        if not isinstance(results, list) or len(results) != len(namespaces):
            raise BadReply(f"{reply.node.label} did not answer every part of a batch")
        return reply.node, [_sub_page(result, reply.node) for result in results]

    def _request(self, member: ServiceNode, namespace: int, now_ms: int) -> dict[str, Any]:
        params = {
            "namespace": namespace,
            "last_hash": self.last_hashes.get((member.ed25519_pk, namespace), ""),
            "max_size": MESSAGES_MAX_SIZE if namespace == MESSAGES else CONFIGS_MAX_SIZE,
            "timestamp": now_ms,
        }
        return storage_auth.sign_request(self._account, "retrieve", params)


def _sub_page(result: Any, node: ServiceNode) -> Mapping[str, Any]:
    code = result.get("code") if isinstance(result, Mapping) else None
    if code != 200:
        body = result.get("body") if isinstance(result, Mapping) else None
        raise error_for_status(code if isinstance(code, int) else 500, body, f"retrieve at {node.label}")
    return _page(result.get("body"), node)


def _page(body: Any, node: ServiceNode) -> Mapping[str, Any]:
    if not isinstance(body, Mapping) or not isinstance(body.get("messages"), list):
        raise BadReply(f"{node.label} answered a retrieve without a list of messages")
    return body


def _items_of(page: Mapping[str, Any], namespace: int, node: ServiceNode) -> list[StoredItem]:
    items = []
    for index, entry in enumerate(page["messages"]):
        try:
            items.append(
                StoredItem(
                    hash=_text(entry["hash"]),
                    namespace=namespace,
                    data=base64.b64decode(_text(entry["data"]) + "==", validate=False),
                    timestamp_ms=int(entry["timestamp"]),
                )
            )
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise BadReply(f"{node.label}: messages[{index}] is malformed: {error!r}") from None
    return items


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value
