"""From a client's method and parameters to the answer: single methods, batches, sequences and conditions."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pybase64

from session_testnet.services.storage.conditions import Condition, parse_condition
from session_testnet.services.storage.context import NodeContext
from session_testnet.services.storage.fault_gate import FaultGate
from session_testnet.services.storage.fields import BtParams, Params
from session_testnet.services.storage.methods import METHODS, AnyMethod, SwarmMethod
from session_testnet.services.storage.replication import Replication
from session_testnet.services.storage.requests import Retrieve
from session_testnet.services.storage.results import ParseError, RpcError, RpcResult
from session_testnet.services.storage.settings import MAX_BATCH_PAGES_BYTES, MAX_SUBREQUESTS
from session_testnet.services.storage.version_profile import NEWER_METHODS, VersionProfile
from session_testnet.trace import Trace

# How deep conditions may lie in each other: no client nests more than a few.
_MAX_DEPTH: Final = 50


@dataclass(frozen=True, slots=True)
class Call:
    """A method with its request, ready to be carried out; ``params`` are the client's, for the fault gate."""

    name: str
    method: AnyMethod
    request: Any
    params: Params


@dataclass(frozen=True, slots=True)
class Batch:
    """Several calls at once, or, as a sequence, one after the other until the first that fails."""

    name: str
    calls: tuple[Call, ...]
    params: Params


@dataclass(frozen=True, slots=True)
class Choice:
    """One call or another, or none, depending on the state of the network."""

    name: str
    condition: Condition
    then: "AnyCall | None"
    otherwise: "AnyCall | None"
    params: Params


@dataclass(slots=True)
class ReplyBudget:
    """How many bytes the pages of one batch may still have together."""

    left: int = MAX_BATCH_PAGES_BYTES

    def limit(self, request: Retrieve) -> Retrieve:
        """Return a request for no more than is left; a page has one message at least all the same."""
        return replace(request, max_size=max(0, min(request.max_size, self.left)))

    def spend(self, result: RpcResult) -> None:
        """Take the page of a result off."""
        if isinstance(result.body, dict):
            self.left -= sum(len(each["data"]) + len(each["hash"]) for each in result.body["messages"])


AnyCall = Call | Batch | Choice
META_METHODS: Final = ("batch", "sequence", "ifelse")


def parse_call(method: str, params: Params, profile: VersionProfile, *, depth: int = 0) -> AnyCall | None:
    """Parse a request and everything inside it; None when there is no such method. Raise ParseError."""
    known = METHODS.get(method)
    if known is not None and not profile.newer_methods and method in NEWER_METHODS:
        return None
    if known is not None:
        return Call(method, known, known.parse(params), params)
    if method in ("batch", "sequence"):
        return Batch(method, _parse_subrequests(params, profile, depth), params)
    if method == "ifelse":
        return _parse_choice(params, profile, depth)
    return None


def _parse_subrequests(params: Params, profile: VersionProfile, depth: int) -> tuple[Call, ...]:
    requests = params.get("requests")
    if isinstance(params, BtParams) and requests == []:
        raise ParseError('Invalid batch request: empty "requests" list')
    if not isinstance(requests, Sequence) or isinstance(requests, str) or not requests:
        raise ParseError('Invalid batch request: no valid "requests" field')
    if len(requests) > MAX_SUBREQUESTS:
        raise ParseError("Invalid batch request: subrequest limit exceeded")
    what = "dicts" if isinstance(params, BtParams) else "objects"
    return tuple(_parse_subrequest(each, profile, depth, what) for each in requests)


def _parse_subrequest(request: Any, profile: VersionProfile, depth: int, what: str) -> Call:
    bt = isinstance(request, BtParams)
    if not isinstance(request, Mapping):
        raise ParseError(f"Invalid batch request: requests must be {what}")
    method, params = request.get("method"), request.get("params")
    if bt and not isinstance(method, str):
        raise ParseError("Invalid batch request: subrequests must have a method")
    if bt and not isinstance(params, Mapping):
        raise ParseError("Invalid batch request: subrequests must have a params dict")
    if not isinstance(method, str) or not isinstance(params, Mapping):
        raise ParseError("Invalid batch request: subrequests must have method/params keys")
    call = _parse_inside(method, params, profile, depth)
    if call is None:
        raise ParseError(f'Invalid batch subrequest: invalid method "{method}"')
    if not isinstance(call, Call):
        raise ParseError("Invalid batch subrequest: subrequests may not contain meta-requests")
    return call


def _parse_choice(params: Params, profile: VersionProfile, depth: int) -> Choice:
    condition = params.get("if")
    if not isinstance(condition, Mapping):
        raise ParseError('Invalid ifelse request: no valid "if" field')
    parsed = parse_condition(condition)
    then, otherwise = (
        _parse_branch(params, "then", profile, depth),
        _parse_branch(params, "else", profile, depth),
    )
    if then is None and otherwise is None:
        raise ParseError('Invalid ifelse request: at least one of "then"/"else" required')
    return Choice("ifelse", parsed, then, otherwise, params)


def _parse_branch(params: Params, key: str, profile: VersionProfile, depth: int) -> AnyCall | None:
    branch = params.get(key)
    if branch is None:
        return None
    if not isinstance(branch, Mapping):
        raise ParseError(f"Invalid ifelse request: {key} must be an object")
    method = branch.get("method")
    if not isinstance(method, str) or "params" not in branch:
        raise ParseError(f"Invalid ifelse request: {key} must have method/params keys")
    inner = branch["params"]
    call = _parse_inside(method, inner if isinstance(inner, Mapping) else {}, profile, depth)
    if call is None:
        raise ParseError(f'Invalid ifelse request method "{key}"')
    return call


def _parse_inside(method: str, params: Params, profile: VersionProfile, depth: int) -> AnyCall | None:
    if depth >= _MAX_DEPTH:
        raise ParseError(f"Invalid request: more than {_MAX_DEPTH} requests inside each other")
    return parse_call(method, params, profile, depth=depth + 1)


class Dispatcher:
    """Answer the requests of clients on one node."""

    def __init__(
        self, context: NodeContext, replication: Replication, *, fault_gate: FaultGate, trace: Trace
    ) -> None:
        self._context = context
        self._replication = replication
        self._gate = fault_gate
        self._trace = trace

    async def answer(self, method: str, params: Params, *, via: str) -> RpcResult:
        """Answer a request with whatever status it deserves; only a bug of this package makes it 500.

        ``via`` says how the request came, for the trace: ``direct``, ``omq``, ``onion`` or ``local``.
        """
        try:
            instead = await self._gate.before(self._context.name, method, params)
            result = instead or await self._parse_and_run(method, params, via)
        except RpcError as error:
            result = error.result
        result = await self._gate.after(self._context.name, method, params, result)
        self._record(method, params, result, via)
        return result

    async def _parse_and_run(self, method: str, params: Params, via: str) -> RpcResult:
        try:
            call = parse_call(method, params, self._context.profile)
        except ParseError as error:
            return RpcResult(400, f"invalid request: {error}")
        if call is None:
            return RpcResult(400, f"no method {method}")
        return await self._run(call, via)

    async def _run(self, call: AnyCall, via: str, budget: ReplyBudget | None = None) -> RpcResult:
        match call:
            case Call():
                if isinstance(call.method, SwarmMethod):
                    return await self._replication.carry_out(call.method, call.request)
                if budget is None or not isinstance(call.request, Retrieve):
                    return call.method.answer(self._context, call.request)
                page = call.method.answer(self._context, budget.limit(call.request))
                budget.spend(page)
                return page
            case Batch(name="batch"):
                budget = ReplyBudget()
                results = await asyncio.gather(*(self._run_inside(each, via, budget) for each in call.calls))
                return _batch_result(results, call.params)
            case Batch():
                done: list[RpcResult] = []
                budget = ReplyBudget()
                for each in call.calls:
                    done.append(await self._run_inside(each, via, budget))
                    if not done[-1].is_success:
                        break
                return _batch_result(done, call.params)
            case Choice():
                return await self._choose(call, via)

    async def _choose(self, choice: Choice, via: str) -> RpcResult:
        network, version = self._context.known_network(), self._context.settings.version
        holds = choice.condition.holds(network.hardfork, version, network.height)
        body: dict[str, Any] = {
            "hf": list(network.hardfork),
            "v": list(version),
            "height": network.height,
            "condition": holds,
        }
        branch = choice.then if holds else choice.otherwise
        if branch is not None:
            body["result"] = _subresult(await self._run_inside(branch, via), choice.params)
        return RpcResult(200, body)

    async def _run_inside(self, call: AnyCall, via: str, budget: ReplyBudget | None = None) -> RpcResult:
        """Carry out one request inside another; its failure is its own."""
        try:
            instead = await self._gate.before(self._context.name, call.name, call.params)
            result = instead or await self._run(call, via, budget)
        except RpcError as error:
            result = error.result
        result = await self._gate.after(self._context.name, call.name, call.params, result)
        self._record(call.name, call.params, result, via, inside=True)
        return result

    def _record(
        self, method: str, params: Params, result: RpcResult, via: str, *, inside: bool = False
    ) -> None:
        account = params.get("pubkey", params.get("pubKey"))
        self._trace.record(
            "rpc",
            self._context.name,
            method=method if len(method) <= 40 else f"{method[:40]}…",
            namespace=params.get("namespace") if isinstance(params.get("namespace"), int | str) else None,
            account=account.lower() if isinstance(account, str) and len(account) == 66 else None,
            status=result.status,
            via=via,
            batch=inside,
        )


def json_body(body: Any) -> Any:
    """Return a body as JSON can carry it: binary results are base64 there (storage-rpc §10.14)."""
    return pybase64.b64encode(body).decode() if isinstance(body, bytes) else body


def _subresult(result: RpcResult, params: Params) -> dict[str, Any]:
    body = result.body if isinstance(params, BtParams) else json_body(result.body)
    return {"code": result.status, "body": body}


def _batch_result(results: Sequence[RpcResult], params: Params) -> RpcResult:
    return RpcResult(200, {"results": [_subresult(result, params) for result in results]})
