"""A judged community: its visitors, who sign or do not, and rooms that its control endpoint makes."""

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from session_conformance.contract.testee import Testee
from session_conformance.fixtures import CaseContext
from session_conformance.servers.answers import Answer, ask
from session_protocol.accounts import Account
from session_protocol.blinding import NonceRule, blind15_key
from session_protocol.community import auth_headers, sign_community_message
from session_protocol.padding import pad

Mode = Literal["unblinded", "blinded15"]
JSON: Final = "application/json"


class JudgedCommunity:
    """Ask one community; without a visitor, a request is anonymous."""

    def __init__(self, testee: Testee, case: CaseContext) -> None:
        self.testee = testee
        self.random = case.random
        self.url: str = testee.features["urls"][0]
        self.public_key = bytes.fromhex(testee.features["public_key"])

    def ask(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        visitor: "Visitor | None" = None,
    ) -> Answer:
        """Send a request straight over HTTP, signed by a visitor if there is one."""
        sent = dict(headers or {})
        if document is not None:
            body, sent["Content-Type"] = orjson.dumps(document), JSON
        if visitor is not None:
            sent |= visitor.headers(method, path, body)
        return ask(self.testee, method, self.url + path, headers=sent, body=body)

    def control(self, op: str, **arguments: Any) -> Any:
        """Carry out an operation of the control endpoint."""
        body = orjson.dumps({"op": op, **arguments})
        headers = {"Content-Type": JSON}
        return ask(self.testee, "POST", f"{self.url}/_control", headers=headers, body=body, control=True).ok()

    def requires_blinding(self) -> bool:
        """Tell whether only blinded ids are let in."""
        return "blind" in self.ask("GET", "/capabilities").ok()["capabilities"]

    def visitor(self, mode: Mode | None = None) -> "Visitor":
        """Return somebody new, who signs as the server wants it unless ``mode`` says how."""
        account = Account.from_seed(self.random.randbytes(32))
        chosen: Mode = mode or ("blinded15" if self.requires_blinding() else "unblinded")
        return Visitor(self, account, chosen)

    def room(self, **defaults: bool) -> str:
        """Make a room, without rate limit, and return its token; ``default_…`` are its rights."""
        token = f"judge-{self.random.randbytes(8).hex()}"
        self.control("config", key="rate_limit", value=False)
        assert self.control("room_create", token=token, name="Judged", description="to be judged") is not None
        for field, value in defaults.items():
            self.control("room_set", token=token, field=field, value=value)
        return token


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who signs requests to a community."""

    community: JudgedCommunity
    account: Account
    mode: Mode
    nonce_rule: NonceRule = NonceRule.SEED

    @property
    def id(self) -> str:
        """Return the id under which the community knows them."""
        if self.mode == "unblinded":
            return self.account.account_id
        return blind15_key(self.account, self.community.public_key).id

    def headers(
        self, method: str, path: str, body: bytes = b"", *, at: int | None = None, nonce: bytes = b""
    ) -> dict[str, str]:
        """Return the headers of a signed request; at this machine's time and with a new nonce by default."""
        return auth_headers(
            self.account,
            self.community.public_key,
            method,
            path,
            body or None,
            nonce=nonce or self.community.random.randbytes(16),
            timestamp_s=int(time.time()) if at is None else at,
            mode=self.mode,
            nonce_rule=self.nonce_rule,
        )

    def ask(self, method: str, path: str, document: Any = None, *, body: bytes = b"") -> Answer:
        """Send a signed request."""
        return self.community.ask(method, path, document, body=body, visitor=self)

    def message(self, text: bytes, **more: Any) -> dict[str, Any]:
        """Return the document of a post, signed."""
        return self.document(pad(text), **more)

    def document(self, data: bytes, **more: Any) -> dict[str, Any]:
        """Return the document of a post of these very bytes, signed."""
        signature = sign_community_message(
            self.account,
            self.community.public_key,
            data,
            self.mode != "unblinded",
            random_bytes=self.community.random.randbytes,
        )
        encoded = {"data": base64.b64encode(data).decode(), "signature": base64.b64encode(signature).decode()}
        return {**encoded, **more}

    def post(self, room: str, text: bytes = b"hello", **more: Any) -> dict[str, Any]:
        """Post a message and return it as the server answers."""
        posted: dict[str, Any] = (
            self.ask("POST", f"/room/{room}/message", self.message(text, **more)).expect(201).json()
        )
        return posted
