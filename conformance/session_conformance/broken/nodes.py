"""Broken service nodes: how ours keep and list messages, with one fault each."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from session_conformance.broken.server_fault import broken_server
from session_conformance.servers.address import ServerKind
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.dispatch import AnyCall, Call, Dispatcher, ReplyBudget
from session_testnet.services.storage.lives import Kind
from session_testnet.services.storage.methods import AnyMethod
from session_testnet.services.storage.methods.messages import RetrieveMethod, StoreMethod
from session_testnet.services.storage.requests import Retrieve, Store
from session_testnet.services.storage.results import RpcError, RpcResult
from session_testnet.services.storage.stored import StoredMessage

broken_node = partial(broken_server, server=ServerKind.STORAGE)


class OtherMethods(Dispatcher):
    """Carry some methods out in another way."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {}

    async def _run(self, call: AnyCall, via: str, budget: ReplyBudget | None = None) -> RpcResult:
        if isinstance(call, Call) and call.name in self.instead:
            call = replace(call, method=self.instead[call.name])
        return await super()._run(call, via, budget)


class OtherAnswers(Dispatcher):
    """Change what single methods have answered."""

    changes: ClassVar[tuple[str, ...]] = ()

    async def _run(self, call: AnyCall, via: str, budget: ReplyBudget | None = None) -> RpcResult:
        result = await super()._run(call, via, budget)
        if not isinstance(call, Call) or call.name not in self.changes or result.status != 200:
            return result
        return RpcResult(200, self.changed(result.body))

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        return body


class OtherParameters(Dispatcher):
    """Carry out another request than was sent."""

    async def _parse_and_run(self, method: str, params: Any, via: str) -> RpcResult:
        return await super()._parse_and_run(method, self.altered(method, dict(params)), via)

    def altered(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return params


def with_entries(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a reply whose members' entries have these values."""
    return {**body, "swarm": {key: {**entry, **changes} for key, entry in body["swarm"].items()}}


@broken_node("node-other-hash", checks=("node_messages.stores_on_the_whole_swarm",))
class OtherHash(OtherAnswers):
    """Name another hash than the message's."""

    changes = ("store",)

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**with_entries(body, hash="A" * 43), "hash": "A" * 43}


@broken_node("node-lone-entry", checks=("node_messages.stores_on_the_whole_swarm",))
class LoneEntry(OtherAnswers):
    """Answer with one member's entry only."""

    changes = ("store",)

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "swarm": dict(list(body["swarm"].items())[:1])}


@broken_node(
    "node-empty-signatures",
    checks=(
        "node_messages.stores_on_the_whole_swarm",
        "node_changes.deletes_messages",
        "node_changes.sets_expiries",
        "node_messages.takes_capital_hex_digits",
    ),
)
class EmptySignatures(OtherAnswers):
    """Put a signature of nothing into the members' entries."""

    changes = ("store", "delete", "delete_all", "delete_before", "expire", "expire_all")

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        return with_entries(body, signature=self._context.signature(""))


@broken_node("node-whole-seconds", checks=("node_messages.gives_back_what_was_stored",))
class WholeSeconds(OtherAnswers):
    """Give the times of messages back in whole seconds."""

    changes = ("retrieve",)

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        messages = [
            {**each, "timestamp": each["timestamp"] // 1000 * 1000 + 1000} for each in body["messages"]
        ]
        return {**body, "messages": messages}


@broken_node("node-by-timestamp", checks=("node_messages.lists_in_the_order_of_arrival",))
class ByTimestamp(OtherAnswers):
    """List messages by their timestamps."""

    changes = ("retrieve",)

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "messages": sorted(body["messages"], key=lambda each: each["timestamp"])}


@broken_node("node-ignores-last-hash", checks=("node_messages.lists_in_the_order_of_arrival",))
class IgnoresLastHash(OtherParameters):
    """List all messages also after a last_hash."""

    def altered(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in params.items() if name != "last_hash"}


@broken_node("node-never-more", checks=("node_messages.counts_the_messages_of_a_page",))
class NeverMore(OtherAnswers):
    """Say of every page that it is the last."""

    changes = ("retrieve",)

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "more": False}


@broken_node("node-ignores-max-size", checks=("node_messages.cuts_a_page_by_its_size",))
class IgnoresMaxSize(OtherParameters):
    """Send pages of any size."""

    def altered(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in params.items() if name != "max_size"}


class LastExpiry(StoreMethod):
    """Let the last expiry of a message count."""

    def act(self, node: NodeContext, request: Store) -> dict[str, Any]:
        entry = super().act(node, request)
        node.database.change_lives(request.account, Kind.SET, {request.hash: request.expiry})
        return {**entry, "expiry": request.expiry}


@broken_node("node-lowers-expiry", checks=("node_messages.keeps_one_copy_of_a_message",))
class LowersExpiry(OtherMethods):
    """Lower the expiry of a message that is stored again."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"store": LastExpiry()}


@broken_node("node-hides-duplicates", checks=("node_messages.keeps_one_copy_of_a_message",))
class HidesDuplicates(OtherAnswers):
    """Do not say that a message is there already."""

    changes = ("store",)

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        entries = {
            key: {name: value for name, value in entry.items() if name != "already"}
            for key, entry in body["swarm"].items()
        }
        return {**body, "swarm": entries}


class Lenient(StoreMethod):
    """Store in spite of one kind of refusal."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = statuses

    def check(self, node: NodeContext, request: Store, *, forwarded: bool) -> Store:
        try:
            return super().check(node, request, forwarded=forwarded)
        except RpcError as error:
            if error.status in self._statuses:
                return request
            raise


@broken_node("node-any-life", checks=("node_messages.refuses_lives_out_of_range",))
class AnyLife(OtherMethods):
    """Store messages that live too long, or not long enough."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"store": Lenient(403)}


@broken_node("node-any-time", checks=("node_messages.refuses_messages_of_another_time",))
class AnyTime(OtherMethods):
    """Store messages of the future and of the past."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"store": Lenient(406)}


@broken_node(
    "node-unsigned-store",
    checks=(
        "node_access.takes_signed_messages_only",
        "node_messages.keeps_the_newest_message_of_an_outbox",
    ),
)
class UnsignedStore(OtherMethods):
    """Store in any namespace without a signature."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"store": Lenient(401)}


@broken_node("node-any-size", checks=("node_messages.limits_the_size_of_a_message",))
class AnySize(OtherParameters):
    """Store what fits of a message that is too large."""

    def altered(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        data = params.get("data")
        return {**params, "data": data[:102_400]} if isinstance(data, str) else params


class FromTheDefault(RetrieveMethod):
    """List the default namespace, whichever is asked for."""

    def act(self, node: NodeContext, request: Retrieve) -> RpcResult:
        return super().act(node, replace(request, namespace=0))


@broken_node("node-one-mailbox", checks=("node_messages.keeps_namespaces_apart",))
class OneMailbox(OtherMethods):
    """Make no difference between namespaces when messages are listed."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"retrieve": FromTheDefault()}


class Hoard(StoreMethod):
    """Keep all messages of an outbox."""

    def act(self, node: NodeContext, request: Store) -> dict[str, Any]:
        node.database.store(
            StoredMessage(
                request.account,
                request.hash,
                request.namespace,
                request.timestamp,
                request.expiry,
                request.data,
            )
        )
        return {"hash": request.hash, "expiry": request.expiry, "signature": node.signature(request.hash)}


@broken_node("node-full-outbox", checks=("node_messages.keeps_the_newest_message_of_an_outbox",))
class FullOutbox(OtherMethods):
    """Keep more than the newest message of an outbox."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"store": Hoard()}


class NoLegacy(RetrieveMethod):
    """Demand a signature in every namespace."""

    def check(self, node: NodeContext, request: Retrieve) -> None:
        if request.authentication is None:
            raise RpcError(401, "retrieve: request signature required")
        super().check(node, request)


@broken_node("node-signed-legacy", checks=("node_messages.serves_legacy_groups_without_signatures",))
class SignedLegacy(OtherMethods):
    """Demand a signature for the messages of legacy groups."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"retrieve": NoLegacy()}


@broken_node("node-keeps-to-itself", checks=("node_messages.replicates_what_it_was_given",))
class KeepsToItself(Dispatcher):
    """Store on the asked member only."""

    async def _run(self, call: AnyCall, via: str, budget: ReplyBudget | None = None) -> RpcResult:
        if not (isinstance(call, Call) and isinstance(call.method, StoreMethod)):
            return await super()._run(call, via, budget)
        node, request = self._context, call.request
        node.check_swarm(request.account)
        entry = call.method.act(node, call.method.check(node, request, forwarded=False))
        return RpcResult(
            200,
            node.stamped({"hash": request.hash, "swarm": {node.ed25519_hex: {**entry, "t": node.now_ms()}}}),
        )


@broken_node("node-prefix-blind", checks=("node_messages.keeps_prefixes_apart",))
class PrefixBlind(OtherParameters):
    """Take accounts that differ in the prefix for one."""

    def altered(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        account = params.get("pubkey")
        return {**params, "pubkey": "05" + account[2:]} if isinstance(account, str) else params


@broken_node("node-small-digits", checks=("node_messages.takes_capital_hex_digits",))
class SmallDigits(Dispatcher):
    """Refuse accounts in capital hex digits."""

    async def _parse_and_run(self, method: str, params: Any, via: str) -> RpcResult:
        account = params.get("pubkey")
        if isinstance(account, str) and account != account.lower():
            return RpcResult(400, "invalid request: Pubkey must be 66 hex digits (33 bytes) long")
        return await super()._parse_and_run(method, params, via)
