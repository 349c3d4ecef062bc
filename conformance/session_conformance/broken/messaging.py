"""Faults in messaging across a network."""

from collections.abc import Mapping
from typing import Any

from session_conformance.broken.fault import broken
from session_conformance.testees.kit_python.session_testee_kit import Params, Rejected
from session_conformance.testees.reference.testee import ReferenceTestee
from session_protocol import mnemonic, storage_auth
from session_protocol.accounts import Account


def with_content(params: Params, **changes: Any) -> Params:
    """Change fields of the content that is to be sent."""
    return params.changed(content={**params.mapping("content"), **changes})


@broken("another-account", "messaging")
class AnotherAccount(ReferenceTestee):
    """Join the network with an account of its own making."""

    def client_create(self, params: Params) -> dict[str, Any]:
        seed = params.hex("seed_hex", None) or mnemonic.decode(params.text("words"))
        other = Account.from_seed(bytes(byte ^ 1 for byte in seed))
        return super().client_create(params.changed(seed_hex=other.entropy.hex()))


@broken("words-not-read", "messaging", checks=("messaging.joins_with_a_recovery_password",))
class WordsNotRead(ReferenceTestee):
    """Make a new account where a recovery password is given."""

    def client_create(self, params: Params) -> dict[str, Any]:
        return super().client_create(params.changed(words=None))


@broken("duplicates-shown", "messaging")
class DuplicatesShown(ReferenceTestee):
    """Show every message twice."""

    def client_poll(self, params: Params) -> dict[str, Any]:
        messages = super().client_poll(params)["messages"]
        return {"messages": [copy for message in messages for copy in (message, message)]}


@broken("repeated-messages-shown", "messaging")
class RepeatedMessagesShown(ReferenceTestee):
    """Show the whole mailbox again at every poll."""

    def client_poll(self, params: Params) -> dict[str, Any]:
        messages = super().client_poll(params)["messages"]
        known = self.__dict__.setdefault("_shown", {}).setdefault(params.account, [])
        known.extend(messages)
        return {"messages": list(known)}


@broken("first-message-lost", "messaging")
class FirstMessageLost(ReferenceTestee):
    """Lose the first message of every poll."""

    def client_poll(self, params: Params) -> dict[str, Any]:
        return {"messages": super().client_poll(params)["messages"][1:]}


@broken("texts-cut", "messaging")
class TextsCut(ReferenceTestee):
    """Send only the first hundred characters of a text."""

    def client_send(self, params: Params) -> dict[str, Any]:
        return super().client_send(with_content(params, body=params.mapping("content").get("body", "")[:100]))


@broken("sent-time-in-seconds", "messaging")
class SentTimeInSeconds(ReferenceTestee):
    """Report the time of a sent message rounded to seconds."""

    def client_send(self, params: Params) -> dict[str, Any]:
        sent = super().client_send(params)
        return {**sent, "timestamp_ms": sent["timestamp_ms"] // 1000}


@broken("no-own-copy", "messaging")
class NoOwnCopy(ReferenceTestee):
    """Keep no copy of sent messages in the own swarm."""

    def client_create(self, params: Params) -> dict[str, Any]:
        created = super().client_create(params)
        messaging = self.resident(params).messaging

        async def keep_nothing(_content: Mapping[str, Any], _recipient: str, timestamp_ms: int) -> Any:
            return SentNothing(timestamp_ms)

        messaging._store_copy = keep_nothing  # type: ignore[method-assign,assignment]
        return created


class SentNothing:
    """Stand in for the result of a copy that was never stored."""

    hash = None
    sync_hash = None

    def __init__(self, timestamp_ms: int) -> None:
        self.timestamp_ms = timestamp_ms


@broken("forged-copies-believed", "messaging")
class ForgedCopiesBelieved(ReferenceTestee):
    """Show a stranger's message with a sync target as an own one."""

    def client_poll(self, params: Params) -> dict[str, Any]:
        messages = super().client_poll(params)["messages"]
        forged = {"kind": "text", "body": "I never wrote this"}
        if any(message["content"].get("body") == "I did" for message in messages):
            own = self.resident(params).account.account_id
            messages.append({**messages[0], "sender": own, "content": forged, "outgoing": True})
        return {"messages": messages}


@broken("stops-at-the-unreadable", "messaging")
class StopsAtTheUnreadable(ReferenceTestee):
    """Give up a mailbox with a message that cannot be read."""

    def client_poll(self, params: Params) -> dict[str, Any]:
        messages = super().client_poll(params)["messages"]
        if self.resident(params).messaging.undecodable:
            raise Rejected("bad_format", "there is a message that cannot be read")
        return {"messages": messages}


@broken("crashes-on-long-texts", "messaging", kind="child")
class CrashesOnLongTexts(ReferenceTestee):
    """End the process when a text is longer than a thousand characters."""

    def client_send(self, params: Params) -> dict[str, Any]:
        if len(params.mapping("content").get("body", "")) > 1_000:
            import os

            os._exit(139)
        return super().client_send(params)


@broken("no-onion", "messaging")
class NoOnion(ReferenceTestee):
    """Send every request directly, so that nodes see who asks."""

    def client_create(self, params: Params) -> dict[str, Any]:
        return super().client_create(
            params.changed(network={**params.mapping("network"), "use_onion": False})
        )


@broken("retrieves-badly-signed", "messaging")
class RetrievesBadlySigned(ReferenceTestee):
    """Sign the retrieve of another namespace."""

    def client_poll(self, params: Params) -> dict[str, Any]:
        resident = self.resident(params)

        def badly_signed(_member: Any, _namespace: int, now_ms: int) -> dict[str, Any]:
            request = storage_auth.sign_request(
                resident.account, "retrieve", {"namespace": 5, "timestamp": now_ms}
            )
            return {**request, "namespace": 0}

        resident.messaging._poller._request = badly_signed  # type: ignore[method-assign,assignment]
        try:
            return super().client_poll(params)
        except Rejected:
            return {"messages": []}


@broken("attachments-padded", "messaging")
class AttachmentsPadded(ReferenceTestee):
    """Leave padding at the end of downloaded files."""

    def client_download(self, params: Params) -> dict[str, Any]:
        return {"data_hex": super().client_download(params)["data_hex"] + bytes(20)}


@broken("uploads-spoiled", "messaging")
class UploadsSpoiled(ReferenceTestee):
    """Describe an uploaded file by a size that is not its own."""

    def client_upload(self, params: Params) -> dict[str, Any]:
        attachment = super().client_upload(params)["attachment"]
        return {"attachment": {**attachment, "size": attachment["size"] - 1}}


@broken("reactions-to-the-wrong-message", "messaging")
class ReactionsToTheWrongMessage(ReferenceTestee):
    """React to the message a millisecond later."""

    def client_react(self, params: Params) -> dict[str, Any]:
        return super().client_react(params.changed(timestamp_ms=params.integer("timestamp_ms") + 1))


@broken("receipts-without-times", "messaging")
class ReceiptsWithoutTimes(ReferenceTestee):
    """Send a read receipt for another message than the one that was read."""

    def client_mark_read(self, params: Params) -> dict[str, Any]:
        return super().client_mark_read(params.changed(timestamps_ms=[1]))


@broken("typing-never-stops", "messaging")
class TypingNeverStops(ReferenceTestee):
    """Say that one is typing also when one has stopped."""

    def client_typing(self, params: Params) -> dict[str, Any]:
        return super().client_typing(params.changed(started=True))


@broken("unsend-kept-to-oneself", "messaging")
class UnsendKeptToOneself(ReferenceTestee):
    """Delete a message here and tell nobody."""

    def client_delete_message(self, params: Params) -> dict[str, Any]:
        return {}
