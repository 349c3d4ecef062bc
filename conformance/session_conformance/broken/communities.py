"""Broken communities: our own, with one fault each."""

import base64
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

import orjson

from session_conformance.broken.server_fault import broken_server
from session_conformance.servers.address import ServerKind
from session_testnet.services.community import CommunityServer
from session_testnet.services.community.access import Caller
from session_testnet.services.community.batch import run_batch
from session_testnet.services.exchange import ServiceRequest, ServiceResponse, error_page, json_reply
from session_testnet.services.onion_v4 import ONION_PATH

broken_community = partial(broken_server, server=ServerKind.COMMUNITY)


class Altered(CommunityServer):
    """Change requests before, or answers after, they are dealt with; those in batches and onions too."""

    def _dispatch(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        return self.after(request, super()._dispatch(self.before(request), caller))

    def before(self, request: ServiceRequest) -> ServiceRequest:
        return request

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return answer


class Credulous(CommunityServer):
    """Deal with a request that was refused for its signature as if it were anonymous."""

    refusal: tuple[int, str] = (0, "")

    def _authenticate_and_dispatch(self, request: ServiceRequest) -> ServiceResponse:
        answer = super()._authenticate_and_dispatch(request)
        status, text = self.refusal
        if answer.status != status or text.encode() not in answer.body:
            return answer
        bare = {name: value for name, value in request.headers.items() if not name.startswith("x-sogs-")}
        return super()._authenticate_and_dispatch(replace(request, headers=bare))


def in_json(answer: ServiceResponse, change: Callable[[Any], Any]) -> ServiceResponse:
    """Return a JSON answer with another document, and any other answer as it is."""
    if not answer.is_json or not answer.is_success:
        return answer
    return replace(answer, body=orjson.dumps(change(orjson.loads(answer.body))))


def in_messages(
    answer: ServiceResponse, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> ServiceResponse:
    """Return an answer with other messages, whether it has one or a list."""
    return in_json(
        answer, lambda told: [change(each) for each in told] if isinstance(told, list) else change(told)
    )


def instead(answer: ServiceResponse, status: int, document: Any, *, new_status: int = 200) -> ServiceResponse:
    """Return a success in the place of a refusal."""
    return json_reply(document, new_status) if answer.status == status else answer


@broken_community("comm-unsorted-capabilities", checks=("community_access.lists_capabilities",))
class UnsortedCapabilities(CommunityServer):
    """List capabilities in no order."""

    def _capabilities(self) -> list[str]:
        return super()._capabilities()[::-1]


@broken_community("comm-half-signatures", checks=("community_access.refuses_half_a_signature_anywhere",))
class HalfSignatures(Credulous):
    """Take a request with half a signature for an anonymous one."""

    refusal = (400, "Invalid authentication headers")


@broken_community(
    "comm-malformed-signatures",
    checks=("community_access.refuses_malformed_headers", "community_access.refuses_keys_that_are_none"),
)
class MalformedSignatures(Credulous):
    """Take a request with malformed headers for an anonymous one."""

    refusal = (400, "Invalid authentication:")


@broken_community("comm-unverified-signatures", checks=("community_access.verifies_what_was_signed",))
class UnverifiedSignatures(Credulous):
    """Take a request with a wrong signature for an anonymous one."""

    refusal = (401, "verification failed")


@broken_community("comm-any-day", checks=("community_access.refuses_requests_of_other_days",))
class AnyDay(Credulous):
    """Let in what was signed on any day."""

    refusal = (425, "too far")


@broken_community("comm-nonces-again", checks=("community_access.refuses_a_nonce_the_second_time",))
class NoncesAgain(Credulous):
    """Let in what has a nonce of before."""

    refusal = (425, "reused")


@broken_community("comm-lets-the-banned-in", checks=("community_access.shuts_the_banned_out",))
class LetsTheBannedIn(Credulous):
    """Let the banned in."""

    refusal = (403, "Banned")


@broken_community("comm-no-blinding", checks=("community_access.takes_blinded_signatures_of_both_kinds",))
class NoBlinding(CommunityServer):
    """Refuse blinded ids."""

    def _authenticate_and_dispatch(self, request: ServiceRequest) -> ServiceResponse:
        if request.headers.get("x-sogs-pubkey", "").startswith("15"):
            return error_page(400)
        return super()._authenticate_and_dispatch(request)


@broken_community("comm-one-author", checks=("community_access.knows_who_signs",))
class OneAuthor(Altered):
    """Take all posts for one user's."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if "/message" not in request.path:
            return answer
        return in_messages(answer, lambda told: {**told, "session_id": "05" + "00" * 32})


@broken_community("comm-raw-path", checks=("community_access.verifies_the_decoded_path",))
class RawPath(CommunityServer):
    """Expect the path to be signed as it was sent."""

    def _authenticate_and_dispatch(self, request: ServiceRequest) -> ServiceResponse:
        return super()._authenticate_and_dispatch(replace(request, path=quote(request.path)))


@broken_community("comm-anonymous-users", checks=("community_access.asks_the_anonymous_to_sign",))
class AnonymousUsers(Altered):
    """Let the anonymous do what users may."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return instead(answer, 401, {})


@broken_community("comm-no-rights", checks=("community_access.keeps_the_rights_of_a_room",))
class NoRights(Altered):
    """Let everybody read and write."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return instead(answer, 403, [])


@broken_community("comm-shows-hidden-rooms", checks=("community_access.hides_rooms",))
class ShowsHiddenRooms(Altered):
    """Tell everybody of a room that is not accessible."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return instead(answer, 404, {}) if request.path.count("/") == 2 else answer


@broken_community("comm-wrong-method-404", checks=("community_access.knows_no_other_places",))
class WrongMethod404(Altered):
    """Answer 404 to a wrong method."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return error_page(404) if answer.status == 405 else answer


@broken_community("comm-exact-tokens", checks=("community_access.matches_tokens_in_any_case",))
class ExactTokens(Altered):
    """Tell tokens of rooms apart by their case."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return error_page(404) if request.path.startswith("/room/") and request.path[6:].isupper() else answer


@broken_community("comm-anybody-bans", checks=("community_access.lets_moderators_ban",))
class AnybodyBans(Altered):
    """Let everybody ban."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return instead(answer, 403, {}) if request.path.startswith("/user/") else answer


def without_padding(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message whose data lost its last zeros."""
    if not isinstance(message.get("data"), str):
        return message
    data = base64.b64decode(message["data"]).rstrip(b"\x00")
    return {**message, "data": base64.b64encode(data).decode()}


@broken_community("comm-strips-padding", checks=("community_posts.keeps_posts_as_they_are",))
class StripsPadding(Altered):
    """Give data back without the zeros of its padding."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return in_messages(answer, without_padding) if "/message" in request.path else answer


@broken_community("comm-any-post", checks=("community_posts.refuses_posts_that_are_none",))
class AnyPost(Altered):
    """Accept posts that are none."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        posts = request.method == "POST" and request.path.endswith("/message")
        return instead(answer, 400, {}, new_status=201) if posts else answer


@broken_community("comm-since-inclusive", checks=("community_posts.lists_posts",))
class SinceInclusive(Altered):
    """Give the message of the named seqno again."""

    def before(self, request: ServiceRequest) -> ServiceRequest:
        head, since, number = request.path.partition("/since/")
        if not since or not number.isdecimal():
            return request
        return replace(request, path=f"{head}{since}{max(int(number) - 1, 0)}")


@broken_community("comm-oldest-first", checks=("community_posts.lists_posts",))
class OldestFirst(Altered):
    """Give the recent messages from the oldest on."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return in_json(answer, lambda told: told[::-1]) if request.path.endswith("/recent") else answer


@broken_community("comm-ignores-limit", checks=("community_posts.lists_posts",))
class IgnoresLimit(Altered):
    """Pass over the limit of a list."""

    def before(self, request: ServiceRequest) -> ServiceRequest:
        return replace(request, query="") if request.query.startswith("limit") else request


@broken_community("comm-anybody-edits", checks=("community_posts.lets_authors_edit",))
class AnybodyEdits(Altered):
    """Say that everybody has edited a message."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return instead(answer, 403, {}) if request.method == "PUT" else answer


@broken_community("comm-hides-deletions", checks=("community_posts.deletes_posts",))
class HidesDeletions(Altered):
    """Tell nobody what was deleted."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if "/since/" not in request.path or "/messages/" not in request.path:
            return answer
        return in_json(answer, lambda told: [each for each in told if not each.get("deleted")])


@broken_community("comm-anybody-deletes", checks=("community_posts.deletes_posts",))
class AnybodyDeletes(Altered):
    """Say that everybody has deleted a message."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return instead(answer, 403, {}) if request.method == "DELETE" else answer


@broken_community("comm-counts-nothing", checks=("community_posts.counts_reactions",))
class CountsNothing(Altered):
    """Let a reaction that changes nothing take a seqno."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if "/reaction/" not in request.path:
            return answer
        changed = {"added", "removed"}
        return in_json(
            answer,
            lambda told: (
                told if any(told.get(name) for name in changed) else {**told, "seqno": told["seqno"] + 1}
            ),
        )


@broken_community("comm-newest-reactor-first", checks=("community_posts.counts_reactions",))
class NewestReactorFirst(Altered):
    """List who reacted from the newest on."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        def turned(message: dict[str, Any]) -> dict[str, Any]:
            reactions = {
                emoji: {**told, "reactors": told.get("reactors", [])[::-1]}
                for emoji, told in message.get("reactions", {}).items()
            }
            return {**message, "reactions": reactions} if "reactions" in message else message

        return in_messages(answer, turned) if "/message" in request.path else answer


@broken_community("comm-ignores-types", checks=("community_posts.tells_changes_of_reactions",))
class IgnoresTypes(Altered):
    """Tell no changes of reactions."""

    def before(self, request: ServiceRequest) -> ServiceRequest:
        return replace(request, query=request.query.replace("t=r", ""))


@broken_community("comm-any-reaction", checks=("community_posts.refuses_reactions_that_are_none",))
class AnyReaction(Altered):
    """Accept reactions of any length."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if "/reaction/" not in request.path:
            return answer
        return instead(answer, 400, {"added": True, "seqno": 1})


@broken_community("comm-no-rate-limit", checks=("community_posts.limits_the_rate_of_posts",))
class NoRateLimit(Altered):
    """Accept posts at any rate."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return instead(answer, 429, {}, new_status=201)


@broken_community("comm-loud-whispers", checks=("community_posts.keeps_whispers",))
class LoudWhispers(Altered):
    """Show whispers to everybody."""

    def before(self, request: ServiceRequest) -> ServiceRequest:
        if request.method != "POST" or b"whisper_to" not in request.body or "/message" not in request.path:
            return request
        document = orjson.loads(request.body)
        document.pop("whisper_to", None)
        return replace(request, body=orjson.dumps(document))


@broken_community("comm-pins-silently", checks=("community_posts.pins_posts",))
class PinsSilently(Altered):
    """Do not count pins as changes of the room."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if "/pin/" not in request.path:
            return answer
        return in_json(answer, lambda told: {**told, "info_updates": told["info_updates"] - 1})


@broken_community("comm-always-details", checks=("community_posts.pins_posts",))
class AlwaysDetails(Altered):
    """Give the details of a room at every poll."""

    def before(self, request: ServiceRequest) -> ServiceRequest:
        head, poll, _ = request.path.partition("/pollInfo/")
        return replace(request, path=f"{head}{poll}99999") if poll else request


@broken_community("comm-loses-bytes", checks=("community_posts.keeps_files",))
class LosesBytes(Altered):
    """Give files back without their first byte."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if request.method != "GET" or "/file/" not in request.path or not answer.is_success:
            return answer
        whole = answer.whole()
        return replace(whole, body=whole.body[1:])


@broken_community("comm-nothing-is-a-list", checks=("community_posts.passes_direct_messages_on",))
class NothingIsAList(Altered):
    """Answer with an empty list when there is nothing new."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return instead(answer, 304, [])


@broken_community("comm-encodes-json", checks=("community_batches.answers_every_request",))
class EncodesJson(Altered):
    """Encode JSON in batches as if it were binary."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if request.path != "/batch":
            return answer
        return in_json(
            answer,
            lambda told: [
                {**each, "body": base64.b64encode(orjson.dumps(each["body"])).decode()} for each in told
            ],
        )


@broken_community("comm-sequence-goes-on", checks=("community_batches.ends_a_sequence_at_a_failure",))
class SequenceGoesOn(CommunityServer):
    """Go on with a sequence after a failure."""

    def _sequence(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        return self._batch(request, caller)


@broken_community("comm-half-batches", checks=("community_batches.refuses_malformed_batches",))
class HalfBatches(Altered):
    """Do those requests of a batch that are not malformed."""

    def _dispatch(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        answer = super()._dispatch(request, caller)
        if request.path not in ("/batch", "/sequence") or answer.status != 400:
            return answer
        document = orjson.loads(request.body)
        good = document[:-1] if isinstance(document, list) else []
        return super()._dispatch(replace(request, body=orjson.dumps(good)), caller)


@broken_community("comm-elements-sign", checks=("community_batches.signs_a_batch_as_a_whole",))
class ElementsSign(CommunityServer):
    """Let the elements of a batch sign for themselves."""

    def _batch(self, request: ServiceRequest, caller: Caller) -> ServiceResponse:
        def dispatch(element: ServiceRequest) -> ServiceResponse:
            if "x-sogs-pubkey" in element.headers:
                return self._authenticate_and_dispatch(element)
            return self._dispatch(element, caller)

        return run_batch(request, dispatch, stop_at_failure=False)


@broken_community("comm-well-in-onions", checks=("community_batches.serves_the_same_in_onions",))
class WellInOnions(CommunityServer):
    """Answer 200 to whatever is asked in an onion."""

    def handle(self, request: ServiceRequest) -> ServiceResponse:
        self._direct = True
        return super().handle(request)

    def _authenticate_and_dispatch(self, request: ServiceRequest) -> ServiceResponse:
        inside, self._direct = not self._direct, False
        answer = super()._authenticate_and_dispatch(request)
        return replace(answer, status=200) if inside else answer


@broken_community("comm-swallows-onions", checks=("community_batches.refuses_onions_that_are_damaged",))
class SwallowsOnions(Altered):
    """Answer 200 to onion requests that cannot be opened."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        return replace(answer, status=200) if request.path == ONION_PATH else answer


@broken_community("comm-charset", checks=("community_batches.names_json_exactly",))
class Charset(Altered):
    """Name a charset in the type of JSON."""

    def after(self, request: ServiceRequest, answer: ServiceResponse) -> ServiceResponse:
        if not answer.is_json:
            return answer
        return replace(answer, headers={**answer.headers, "content-type": "application/json; charset=utf-8"})
