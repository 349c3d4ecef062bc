"""Broken service nodes: how ours delete messages and change their expiries, with one fault each."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, ClassVar

from session_conformance.broken.nodes import (
    OtherAnswers,
    OtherMethods,
    OtherParameters,
    broken_node,
    with_entries,
)
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.dispatch import AnyCall, Call, Dispatcher, ReplyBudget
from session_testnet.services.storage.lives import Kind
from session_testnet.services.storage.methods import AnyMethod
from session_testnet.services.storage.methods.deletion import DeleteAllMethod, DeleteBeforeMethod
from session_testnet.services.storage.methods.expiry import ExpireAllMethod, ExpireMethod, GetExpiriesMethod
from session_testnet.services.storage.requests import DeleteAll, DeleteBefore, Expire, ExpireAll, GetExpiries
from session_testnet.services.storage.results import RpcError, RpcResult


@broken_node("node-backward-deletions", checks=("node_changes.deletes_messages",))
class BackwardDeletions(OtherAnswers):
    """Report deleted messages in another order."""

    changes = ("delete",)

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        entries = {key: {**entry, "deleted": entry["deleted"][::-1]} for key, entry in body["swarm"].items()}
        return {**body, "swarm": entries}


@broken_node("node-ignores-required", checks=("node_changes.says_when_nothing_was_deleted",))
class IgnoresRequired(OtherParameters):
    """Answer 200 also when nothing was deleted, and that was required."""

    def altered(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in params.items() if name != "required"}


@broken_node("node-claims-deletions", checks=("node_changes.changes_nothing_of_another_account",))
class ClaimsDeletions(Dispatcher):
    """Report messages as deleted that belong to another account."""

    async def _run(self, call: AnyCall, via: str, budget: ReplyBudget | None = None) -> RpcResult:
        result = await super()._run(call, via, budget)
        if isinstance(call, Call) and call.name == "delete" and result.status == 200:
            return RpcResult(200, with_entries(result.body, deleted=sorted(call.request.messages)))
        return result


class Everywhere(DeleteAllMethod):
    """Empty every namespace."""

    def act(self, node: NodeContext, request: DeleteAll) -> dict[str, Any]:
        node.database.delete_all(request.account, "all")
        return super().act(node, request)


@broken_node("node-deletes-everywhere", checks=("node_changes.empties_one_namespace",))
class DeletesEverywhere(OtherMethods):
    """Empty all namespaces when one was named."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"delete_all": Everywhere()}


@broken_node("node-flat-deletions", checks=("node_changes.empties_all_namespaces",))
class FlatDeletions(OtherAnswers):
    """Report what was deleted in all namespaces as one list."""

    changes = ("delete_all",)

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        entries = {
            key: {**entry, "deleted": list(chain.from_iterable(entry["deleted"].values()))}
            if isinstance(entry["deleted"], dict)
            else entry
            for key, entry in body["swarm"].items()
        }
        return {**body, "swarm": entries}


class Before(DeleteBeforeMethod):
    """Leave the message of the named time."""

    def act(self, node: NodeContext, request: DeleteBefore) -> dict[str, Any]:
        return super().act(node, replace(request, before=request.before - 1))


@broken_node("node-exclusive-before", checks=("node_changes.deletes_what_is_old_enough",))
class ExclusiveBefore(OtherMethods):
    """Keep the message of exactly the time that delete_before names."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"delete_before": Before()}


class Uncut(ExpireMethod):
    """Let messages live as long as anybody wants."""

    def act(self, node: NodeContext, request: Expire) -> dict[str, Any]:
        return super().act(node, replace(request, latest=max(request.expiries)))


@broken_node("node-no-longest-life", checks=("node_changes.sets_expiries",))
class NoLongestLife(OtherMethods):
    """Set expiries later than in 30 days."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"expire": Uncut()}


class Modeless(ExpireMethod):
    """Set every expiry."""

    def act(self, node: NodeContext, request: Expire) -> dict[str, Any]:
        return super().act(node, replace(request, mode=""))


@broken_node("node-ignores-mode", checks=("node_changes.only_shortens_or_extends",))
class IgnoresMode(OtherMethods):
    """Set expiries whether they should be shortened or extended."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"expire": Modeless()}


class First(ExpireMethod):
    """Give all messages the first expiry."""

    def act(self, node: NodeContext, request: Expire) -> dict[str, Any]:
        return super().act(node, replace(request, expiries=request.expiries[:1]))


@broken_node("node-first-expiry", checks=("node_changes.sets_an_expiry_for_each_message",))
class FirstExpiry(OtherMethods):
    """Give all messages the first of several expiries."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"expire": First()}


class Same(ExpireAllMethod):
    """Give all messages of an account the same life."""

    def act(self, node: NodeContext, request: ExpireAll) -> dict[str, Any]:
        namespace = request.namespace if isinstance(request.namespace, int) else 0
        page = node.database.retrieve(request.account, namespace)
        lives = {each[0]: request.expiry for each in page.messages}
        node.database.change_lives(request.account, Kind.SET, lives)
        return super().act(node, request)


@broken_node("node-expire-all-extends", checks=("node_changes.shortens_all_lives",))
class ExpireAllExtends(OtherMethods):
    """Extend lives by expire_all."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"expire_all": Same()}


class Invented(GetExpiriesMethod):
    """Tell an expiry for every hash."""

    def act(self, node: NodeContext, request: GetExpiries) -> RpcResult:
        known = super().act(node, request).body["expiries"]
        return RpcResult(200, {"expiries": {**dict.fromkeys(request.messages, 0), **known}})


@broken_node("node-invents-expiries", checks=("node_changes.tells_expiries",))
class InventsExpiries(OtherMethods):
    """Tell expiries of messages that do not exist."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"get_expiries": Invented()}


class PastExpire(ExpireMethod):
    """Take expiries of any time."""

    def check(self, node: NodeContext, request: Expire, *, forwarded: bool) -> Expire:
        try:
            return super().check(node, request, forwarded=forwarded)
        except RpcError as error:
            if ">= current" in str(error.body):
                return request
            raise


@broken_node("node-past-expiries", checks=("node_changes.refuses_expiries_that_are_past",))
class PastExpiries(OtherMethods):
    """Set expiries that are long past."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"expire": PastExpire()}
