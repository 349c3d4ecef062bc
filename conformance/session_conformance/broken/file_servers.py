"""Broken file servers: our own, with one fault each."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from session_conformance.broken.server_fault import broken_server
from session_conformance.servers.address import ServerKind
from session_testnet.services.exchange import ServiceRequest, ServiceResponse, json_reply
from session_testnet.services.files import FileServer
from session_testnet.services.onion_v4 import ONION_PATH

broken_files = partial(broken_server, server=ServerKind.FILES)


class Altered(FileServer):
    """Change requests before, or answers after, they are dealt with; those inside onions too."""

    def _dispatch(self, request: ServiceRequest) -> ServiceResponse:
        return self.after(request, super()._dispatch(self.before(request)))

    def before(self, request: ServiceRequest) -> ServiceRequest:
        return request

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return answer


def with_json(answer: ServiceResponse, change: Callable[[dict[str, Any]], dict[str, Any]]) -> ServiceResponse:
    """Return a JSON answer with another document."""
    return replace(answer, body=orjson.dumps(change(orjson.loads(answer.body))))


def is_upload(request: ServiceRequest) -> bool:
    """Tell whether a request uploads a file."""
    return (request.method, request.path) == ("POST", "/file")


def is_download(request: ServiceRequest) -> bool:
    """Tell whether a request downloads a file."""
    return request.method == "GET" and request.path.startswith("/file/") and request.path.count("/") == 2


@broken_files("file-id-as-number", checks=("file_server.gives_files_back",))
class IdAsNumber(Altered):
    """Name a file by a number."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return (
            with_json(answer, lambda reply: {**reply, "id": 7})
            if is_upload(request) and answer.is_success
            else answer
        )


@broken_files("file-loses-bytes", checks=("file_server.gives_files_back",))
class LosesBytes(Altered):
    """Give files back without their last byte."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if is_download(request) and answer.is_success:
            whole = answer.whole()
            return replace(whole, body=whole.body[:-1])
        return answer


@broken_files("file-hides-expiry", checks=("file_server.names_the_expiry_of_a_download",))
class HidesExpiry(Altered):
    """Do not name the expiry of a download."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        kept = {name: value for name, value in answer.headers.items() if name != "expires"}
        return replace(answer, headers=kept)


@broken_files("file-takes-nothing", checks=("file_server.limits_the_size_of_files",))
class TakesNothing(Altered):
    """Accept empty uploads."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if is_upload(request) and answer.status == 413 and not request.body_bytes:
            return json_reply({"id": "A" * 44, "expires": 1e10})
        return answer


class Sized(FileServer):
    """Have another limit."""

    largest = 0

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._spec = replace(self._spec, max_size=self.largest)


@broken_files("file-small-limit", checks=("file_server.limits_the_size_of_files",))
class SmallLimit(Sized):
    """Refuse files of more than a million bytes."""

    largest = 1_000_000


@broken_files("file-large-limit", checks=("file_server.refuses_what_is_far_too_large",))
class LargeLimit(Sized):
    """Accept files that fit into no onion request."""

    largest = 20_000_000


@broken_files("file-500-for-unknown", checks=("file_server.knows_no_other_files",))
class UnknownEndsIn500(Altered):
    """Answer 500 when there is no such file."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return json_reply({"status_code": 500}, 500) if answer.status == 404 else answer


@broken_files("file-times-in-ms", checks=("file_server.tells_about_files",))
class TimesInMs(Altered):
    """Tell the times of a file in milliseconds."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if request.path.endswith("/info") and answer.is_success:
            return with_json(answer, lambda info: {**info, "uploaded": info["uploaded"] * 1000})
        return answer


@broken_files("file-one-id", checks=("file_server.names_files",))
class OneId(Altered):
    """Give every file the same id."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if is_upload(request) and answer.is_success:
            return with_json(answer, lambda reply: {**reply, "id": "A" * 44})
        return answer


@broken_files("file-an-hour-at-most", checks=("file_server.lets_clients_choose_how_long",))
class AnHourAtMost(Altered):
    """Let no file live longer than an hour."""

    def before(self, request: ServiceRequest) -> ServiceRequest:
        ttl = request.headers.get("x-fs-ttl", "")
        if is_upload(request) and ttl.isdecimal():
            return replace(request, headers={**request.headers, "x-fs-ttl": str(min(int(ttl), 3600))})
        return request


@broken_files("file-any-ttl", checks=("file_server.refuses_lives_that_are_none",))
class AnyTtl(Altered):
    """Pass over an X-FS-TTL that is none."""

    def before(self, request: ServiceRequest) -> ServiceRequest:
        ttl = request.headers.get("x-fs-ttl", "")
        if ttl.isdecimal() and 0 < int(ttl) < 10**7:
            return request
        kept = {name: value for name, value in request.headers.items() if name != "x-fs-ttl"}
        return replace(request, headers=kept)


@broken_files("file-forgets-extensions", checks=("file_server.extends_lives",))
class ForgetsExtensions(Altered):
    """Extend lives by a minute, whatever was asked."""

    def before(self, request: ServiceRequest) -> ServiceRequest:
        if request.path.endswith("/extend"):
            return replace(request, headers={**request.headers, "x-fs-ttl": "60"})
        return request


@broken_files("file-no-old-clients", checks=("file_server.serves_old_clients",))
class NoOldClients(Altered):
    """Refuse the deprecated uploads."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return json_reply({"status_code": 404}, 404) if request.path.startswith("/files") else answer


@broken_files("file-any-platform", checks=("file_server.tells_releases",))
class AnyPlatform(Altered):
    """Tell a release for every platform."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if request.path == "/session_version" and answer.status == 404:
            return json_reply({"status_code": 200, "result": "1.0.0", "updated": 1.0})
        return answer


class Forgiving(Altered):
    """Answer a question about releases in spite of one kind of refusal."""

    forgiven = 0

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if request.path == "/session_version" and answer.status == self.forgiven:
            return json_reply({"status_code": 200, "result": "1.0.0", "updated": 1.0})
        return answer


@broken_files("file-half-signatures", checks=("file_server.refuses_half_a_signature",))
class HalfSignatures(Forgiving):
    """Pass over a signature of which headers are missing."""

    forgiven = 400


@broken_files("file-any-signature", checks=("file_server.verifies_who_asks_for_releases",))
class AnySignature(Forgiving):
    """Pass over a wrong signature."""

    forgiven = 401


@broken_files("file-any-signed-time", checks=("file_server.verifies_who_asks_for_releases",))
class AnySignedTime(Forgiving):
    """Pass over the time of a signature."""

    forgiven = 425


@broken_files("file-always-well-in-onions", checks=("file_server.serves_in_onions",))
class AlwaysWellInOnions(FileServer):
    """Answer 200 to whatever is asked in an onion."""

    def handle(self, request: ServiceRequest) -> ServiceResponse:
        self._direct = True
        return super().handle(request)

    def _dispatch(self, request: ServiceRequest) -> ServiceResponse:
        inside, self._direct = not self._direct, False
        answer = super()._dispatch(request)
        return replace(answer, status=200) if inside else answer


@broken_files("file-swallows-onions", checks=("file_server.refuses_damaged_onions_of_clients",))
class SwallowsOnions(Altered):
    """Answer 200 to onion requests that cannot be opened."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return replace(answer, status=200) if request.path == ONION_PATH else answer


@broken_files("file-deletes", checks=("file_server.neither_lists_nor_deletes",))
class Deletes(Altered):
    """Let anybody delete a file."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return json_reply({}) if request.method == "DELETE" else answer


@broken_files("file-charset", checks=("file_server.calls_json_json",))
class Charset(Altered):
    """Name a charset in the type of JSON."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if answer.is_json:
            return replace(
                answer, headers={**answer.headers, "content-type": "application/json; charset=utf-8"}
            )
        return answer
