"""Broken service nodes: whom ours let do what, their batches and what they say, with one fault each."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from aiohttp import web

from session_conformance.broken.nodes import OtherAnswers, OtherMethods, OtherParameters, broken_node
from session_testnet.services.storage import StorageNode
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.dispatch import AnyCall, Batch, Call, Choice, Dispatcher, ReplyBudget
from session_testnet.services.storage.methods import AnyMethod
from session_testnet.services.storage.methods.messages import RetrieveMethod
from session_testnet.services.storage.requests import Retrieve
from session_testnet.services.storage.results import RpcError, RpcResult


class Open(RetrieveMethod):
    """List messages to anybody who does not sign."""

    def check(self, node: NodeContext, request: Retrieve) -> None:
        if request.authentication is not None:
            super().check(node, request)


@broken_node("node-open-mailboxes", checks=("node_access.gives_nothing_without_a_signature",))
class OpenMailboxes(OtherMethods):
    """List private messages without a signature."""

    instead: ClassVar[Mapping[str, AnyMethod]] = {"retrieve": Open()}


class Unverified(Dispatcher):
    """Carry out, on the asked node, what was refused with some status."""

    lets_pass: ClassVar[tuple[int, ...]] = ()
    subaccounts_only: ClassVar[bool] = False

    async def _run(self, call: AnyCall, via: str, budget: ReplyBudget | None = None) -> RpcResult:
        try:
            return await super()._run(call, via, budget)
        except RpcError as error:
            if not isinstance(call, Call) or error.status not in self.lets_pass:
                raise
            if self.subaccounts_only and "subaccount" not in call.params:
                raise
            method: Any = call.method
            done = method.act(self._context, call.request)
            if isinstance(done, RpcResult):
                return done
            reply = {"swarm": {self._context.ed25519_hex: done}}
            return RpcResult(method.finish(self._context, call.request, reply), self._context.stamped(reply))


@broken_node(
    "node-unverified-signatures",
    checks=(
        "node_access.refuses_what_the_owner_did_not_sign",
        "node_access.refuses_a_key_of_somebody_else",
        "node_access.counts_a_signature_once",
        "node_access.serves_accounts_of_groups",
    ),
)
class UnverifiedSignatures(Unverified):
    """Do what was asked also when the signature is wrong."""

    lets_pass = (401,)


@broken_node(
    "node-any-token",
    checks=(
        "node_access.lets_subaccounts_do_what_they_may",
        "node_access.takes_tokens_of_the_owner_only",
        "node_access.refuses_revoked_subaccounts",
    ),
)
class AnyToken(Unverified):
    """Let sub-accounts do everything."""

    lets_pass = (401,)
    subaccounts_only = True


@broken_node("node-any-signed-time", checks=("node_access.refuses_other_times",))
class AnySignedTime(Unverified):
    """Accept requests that were signed at any time."""

    lets_pass = (406,)


@broken_node("node-second-key-anywhere", checks=("node_access.takes_a_second_key_for_standard_ids_only",))
class SecondKeyAnywhere(OtherParameters):
    """Pass over an Ed25519 key that an account of that kind cannot have."""

    def altered(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        account = params.get("pubkey")
        if isinstance(account, str) and not account.startswith("05"):
            return {name: value for name, value in params.items() if name != "pubkey_ed25519"}
        return params


@broken_node("node-ignores-signed-time", checks=("node_access.checks_the_signed_time_of_a_message",))
class IgnoresSignedTime(OtherParameters):
    """Pass over sig_timestamp."""

    def altered(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in params.items() if name != "sig_timestamp"}


class OtherBatches(Dispatcher):
    """Carry out several requests in another way."""

    async def _run(self, call: AnyCall, via: str, budget: ReplyBudget | None = None) -> RpcResult:
        return await super()._run(self.instead_of(call), via, budget)

    def instead_of(self, call: AnyCall) -> AnyCall:
        return call


@broken_node("node-batch-stops", checks=("node_batches.answers_every_request_of_a_batch",))
class BatchStops(OtherBatches):
    """End a batch at the first failure."""

    def instead_of(self, call: AnyCall) -> AnyCall:
        return replace(call, name="sequence") if isinstance(call, Batch) else call


@broken_node("node-sequence-goes-on", checks=("node_batches.ends_a_sequence_at_the_first_failure",))
class SequenceGoesOn(OtherBatches):
    """Go on with a sequence after a failure."""

    def instead_of(self, call: AnyCall) -> AnyCall:
        return replace(call, name="batch") if isinstance(call, Batch) else call


class Separate(Dispatcher):
    """Answer each request of a batch by itself."""

    def applies(self, requests: list[Any]) -> bool:
        raise NotImplementedError

    async def _parse_and_run(self, method: str, params: Any, via: str) -> RpcResult:
        requests = params.get("requests")
        if (
            method not in ("batch", "sequence")
            or not isinstance(requests, list)
            or not self.applies(requests)
        ):
            return await super()._parse_and_run(method, params, via)
        results = await asyncio.gather(*(self._one(each, via) for each in requests))
        return RpcResult(200, {"results": [{"code": each.status, "body": each.body} for each in results]})

    async def _one(self, request: Any, via: str) -> RpcResult:
        method, params = request.get("method"), request.get("params")
        try:
            return await super()._parse_and_run(method, params if isinstance(params, dict) else {}, via)
        except RpcError as error:
            return error.result


@broken_node("node-batch-unlimited", checks=("node_batches.limits_the_requests_of_a_batch",))
class BatchUnlimited(Separate):
    """Carry out more than 20 requests at once."""

    def applies(self, requests: list[Any]) -> bool:
        return len(requests) > 20


@broken_node("node-nested-batches", checks=("node_batches.refuses_batches_within_batches",))
class NestedBatches(Separate):
    """Carry out batches within batches."""

    def applies(self, requests: list[Any]) -> bool:
        return any(each.get("method") in ("batch", "sequence") for each in requests)


@broken_node("node-half-batches", checks=("node_batches.does_nothing_of_a_batch_that_it_cannot_read",))
class HalfBatches(Separate):
    """Carry out those requests of a batch that can be read."""

    def applies(self, requests: list[Any]) -> bool:
        return len(requests) == 2


@broken_node("node-first-branch", checks=("node_batches.chooses_a_branch",))
class FirstBranch(OtherBatches):
    """Take the first branch whatever the condition."""

    def instead_of(self, call: AnyCall) -> AnyCall:
        return replace(call, otherwise=call.then) if isinstance(call, Choice) else call


@broken_node("node-port-as-number", checks=("node_network.lists_the_swarm_of_an_account",))
class PortAsNumber(OtherAnswers):
    """Name the plain port of a node as a number."""

    changes = ("get_swarm", "get_snodes_for_pubkey")

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "snodes": [{**each, "port": int(each["port"])} for each in body["snodes"]]}


@broken_node("node-nameless-swarm", checks=("node_network.names_the_other_swarm",))
class NamelessSwarm(Dispatcher):
    """Do not name the members of the right swarm with 421."""

    async def _run(self, call: AnyCall, via: str, budget: ReplyBudget | None = None) -> RpcResult:
        try:
            return await super()._run(call, via, budget)
        except RpcError as error:
            if error.status == 421:
                raise RpcError(421, {**error.body, "snodes": []}) from error
            raise


@broken_node("node-wrong-swarm-id", checks=("node_network.agrees_with_the_registry",))
class WrongSwarmId(OtherAnswers):
    """Name another swarm than the registry."""

    changes = ("get_swarm",)

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "swarm": f"{int(body['swarm'], 16) ^ 1:x}"}


@broken_node("node-info-in-seconds", checks=("node_network.tells_about_itself",))
class InfoInSeconds(OtherAnswers):
    """Tell the time in seconds."""

    changes = ("info",)

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "timestamp": body["timestamp"] // 1000}


@broken_node("node-without-time", checks=("node_network.stamps_its_answers",))
class WithoutTime(OtherAnswers):
    """Leave time and hard fork out of answers."""

    changes = ("store", "retrieve", "delete", "get_swarm")

    def changed(self, body: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in body.items() if name not in ("t", "hf")}


@broken_node(
    "node-500-for-bad-requests",
    checks=("node_network.refuses_nonsense", "node_network.refuses_what_is_no_request"),
)
class BadRequestsEndIn500(Dispatcher):
    """Answer 500 to parameters that are wrong."""

    async def _parse_and_run(self, method: str, params: Any, via: str) -> RpcResult:
        result = await super()._parse_and_run(method, params, via)
        return RpcResult(500, "request failed") if result.status == 400 else result


@broken_node("node-open-chain", checks=("node_network.passes_requests_to_the_chain",))
class OpenChain(Dispatcher):
    """Answer requests to any endpoint of the chain."""

    async def _parse_and_run(self, method: str, params: Any, via: str) -> RpcResult:
        result = await super()._parse_and_run(method, params, via)
        return (
            RpcResult(200, {"result": {}}) if method == "oxend_request" and result.status == 400 else result
        )


class OtherHttp(StorageNode):
    """Change what goes out over HTTP."""

    def application(self) -> web.Application:
        application = super().application()

        @web.middleware
        async def change(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            answer = await handler(request)
            assert isinstance(answer, web.Response)
            return self.changed(request.path, answer)

        application.middlewares.append(change)
        return application

    def changed(self, path: str, answer: web.Response) -> web.Response:
        return answer


@broken_node("node-every-path", checks=("node_network.knows_no_other_paths",))
class EveryPath(OtherHttp):
    """Answer 200 on every path."""

    def changed(self, path: str, answer: web.Response) -> web.Response:
        return web.Response(text="") if answer.status == 404 else answer


@broken_node("node-no-types", checks=("node_network.names_its_content_types",))
class NoTypes(OtherHttp):
    """Call every answer binary."""

    def changed(self, path: str, answer: web.Response) -> web.Response:
        answer.content_type = "application/octet-stream"
        return answer


@broken_node(
    "node-plain-onions",
    checks=("node_network.answers_onion_requests", "node_network.passes_onions_on"),
)
class PlainOnions(OtherHttp):
    """Answer onion requests without sealing the answer."""

    def changed(self, path: str, answer: web.Response) -> web.Response:
        if path == "/onion_req/v2" and answer.status == 200:
            return web.Response(text='{"status":200,"body":"{}"}')
        return answer


@broken_node("node-swallows-onions", checks=("node_network.refuses_damaged_onions",))
class SwallowsOnions(OtherHttp):
    """Answer 200 to onion requests that cannot be opened."""

    def changed(self, path: str, answer: web.Response) -> web.Response:
        return web.Response(text="") if path == "/onion_req/v2" and answer.status >= 400 else answer
