"""One account on the network: send, receive, react, unsend (client-protocol §§2.5, 2.6)."""

import base64
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from session_protocol import attachments, messages, storage_auth
from session_protocol.accounts import Account, IdKind, account_bytes, id_kind
from session_protocol.errors import ProtocolError
from session_testnet.client.bootstrap import ServiceNode
from session_testnet.client.errors import BadReply, ClientError, NotFound, Refused, TooLarge
from session_testnet.client.message_store import MessageStore, ReceivedMessage, StoredMessage
from session_testnet.client.network_client import NetworkClient, RpcReply
from session_testnet.client.polling import MailboxPoller, StoredItem

__all__ = ["MessagingClient", "ReceivedMessage", "SentMessage"]

DAY_MS: Final = 86_400_000
CONTENT_TTL_MS: Final = 14 * DAY_MS
TTL_MS: Final[Mapping[str, int]] = {"typing": 20_000, "call": 300_000}
"""Lifetime by kind of content; everything else lives for 14 days (client-protocol §2.5)."""

MAX_TEXT_CODE_POINTS: Final = 2_000
MAX_ATTACHMENTS: Final = 32
MAX_STORED_BYTES: Final = 76_800

SYNCED_KINDS: Final = frozenset({"text", "reaction", "timer", "community_invitation"})
"""Data messages: own devices get a copy that names the recipient; unsend requests go there as they are."""

VISIBLE_KINDS: Final = frozenset({"text", "community_invitation", "group_invite", "group_promote"})
"""What appears in a conversation as a message of its own."""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A stored message: its timestamp, the hash in the recipient's swarm and that of the own copy.

    A copy that could not be stored leaves the message sent; ``sync_failure`` says what went wrong.
    """

    timestamp_ms: int
    hash: str | None
    sync_hash: str | None = None
    sync_failure: ClientError | None = None


class MessagingClient:
    """Send and receive the messages of one account through a :class:`NetworkClient`.

    Nothing happens in the background: :meth:`poll` does one round. `device` only names this device to
    people; two clients of one account behave as two of its devices.
    """

    def __init__(
        self,
        account: Account,
        network: NetworkClient,
        *,
        device: str = "",
        display_name: str | None = None,
        rng: random.Random | None = None,
        members_per_poll: int = 2,
    ) -> None:
        self.account = account
        self.network = network
        self.device = device
        self.display_name = display_name
        self.store = MessageStore()
        self.undecodable: list[tuple[str, str]] = []
        """Storage hash and reason of what could not be read, in order of arrival."""
        self._poller = MailboxPoller(
            account,
            network,
            rng or random.Random(),  # noqa: S311  # chooses nodes
            members_per_round=members_per_poll,
        )
        self._seen_hashes: set[str] = set()
        self._own_copies: dict[tuple[str, int], str] = {}
        self._to_delete: list[str] = []
        self._timestamps_ms: set[int] = set()

    @property
    def account_id(self) -> str:
        """Return the own Account ID."""
        return self.account.account_id

    @property
    def last_hashes(self) -> Mapping[tuple[str, int], str]:
        """Return where polling goes on, by (node's Ed25519 key, namespace)."""
        return self._poller.last_hashes

    async def send(self, to: str, content: Mapping[str, Any]) -> SentMessage:
        """Send content to an Account ID, with the copy for the own devices (client-protocol §2.5).

        The timestamp of the content is set to network time. Raise Refused for an id that cannot be written
        to or content that cannot be built, TooLarge, or the error of :meth:`NetworkClient.account_rpc`.
        """
        recipient = to.lower()
        if id_kind(recipient) is not IdKind.STANDARD:
            raise Refused(f"{to!r} is not an Account ID: 66 hex digits that begin with 05")
        _check_limits(content)
        outgoing = dict(content)
        if self.display_name and outgoing.get("kind") == "text" and recipient != self.account_id:
            outgoing.setdefault("profile", {"display_name": self.display_name})
        kind = str(outgoing.get("kind"))
        if recipient == self.account_id:
            target = recipient if kind in SYNCED_KINDS else None
            note = await self._store(recipient, outgoing, sync_target=target)
            sent = replace(note, sync_hash=note.hash)
        else:
            sent = await self._store(recipient, outgoing, sync_target=None)
            if kind in SYNCED_KINDS or kind == "unsend":
                # The recipient has the message: sending it again would not mend a copy that failed.
                try:
                    copy = await self._store_copy(outgoing, recipient, sent.timestamp_ms)
                    sent = replace(sent, sync_hash=copy.hash)
                except ClientError as failure:
                    sent = replace(sent, sync_failure=failure)
        self._remember_sent(recipient, outgoing, sent)
        return sent

    async def poll(self, namespaces: Sequence[int] = (0,)) -> list[ReceivedMessage]:
        """Fetch and process what is new, in order of time; each message is returned once."""
        decoded = []
        for item in await self._poller.fetch(namespaces):
            if item.hash not in self._seen_hashes:
                message = self._decode(item)
                if message is not None:
                    decoded.append(message)
        decoded.sort(key=lambda message: message.timestamp_ms)
        received = [message for message in decoded if self._accept(message)]
        await self._delete_unsent()
        return received

    def messages(self, conversation: str, since_ms: int = 0) -> list[StoredMessage]:
        """Return the stored messages of a conversation, oldest first; deleted ones are gone."""
        return self.store.conversation(conversation.lower(), since_ms)

    async def react(
        self, conversation: str, timestamp_ms: int, author: str, emoji: str, *, remove: bool = False
    ) -> SentMessage:
        """React to a message, or take a reaction back."""
        reaction = {
            "kind": "reaction",
            "target_ms": timestamp_ms,
            "author": author.lower(),
            "emoji": emoji,
            "remove": remove,
        }
        return await self.send(conversation, reaction)

    async def mark_read(self, conversation: str, timestamps_ms: Sequence[int]) -> SentMessage:
        """Mark messages as read and send a read receipt for them."""
        sent = await self.send(conversation, {"kind": "receipt", "read_ms": list(timestamps_ms)})
        for timestamp_ms in timestamps_ms:
            self.store.mark_read(conversation.lower(), timestamp_ms)
        return sent

    async def typing(self, conversation: str, *, started: bool) -> SentMessage:
        """Tell that one is typing, or no longer."""
        return await self.send(conversation, {"kind": "typing", "started": started})

    async def delete_message(
        self, conversation: str, timestamp_ms: int, *, everyone: bool
    ) -> SentMessage | None:
        """Delete a message here; with `everyone` also ask its readers to (unsend), as only its author may."""
        place = conversation.lower()
        found = self.store.at(place, timestamp_ms)
        if everyone:
            if found and all(stored.message.sender != self.account_id for stored in found):
                raise Refused(f"only the author can delete the message of {timestamp_ms} for everyone")
            unsend = {"kind": "unsend", "target_ms": timestamp_ms, "author": self.account_id}
            sent = await self.send(place, unsend)
            await self._delete_unsent()
            return sent
        if not found:
            raise NotFound(f"there is no message of {timestamp_ms} in the conversation with {place[:10]}…")
        for stored in found:
            self.store.delete(place, stored.message.sender, timestamp_ms)
        return None

    async def upload_attachment(
        self, data: bytes, *, file_name: str | None = None, content_type: str = "application/octet-stream"
    ) -> dict[str, Any]:
        """Encrypt and upload a file; return its entry for the ``attachments`` of a text."""
        encrypted = attachments.encrypt_legacy(data, random_bytes=self.network.random_bytes)
        uploaded = await self.network.upload(encrypted.blob)
        pointer: dict[str, Any] = {
            "url": uploaded.url,
            "key_hex": encrypted.key.hex(),
            "digest_hex": encrypted.digest.hex(),
            "size": encrypted.size,
            "content_type": content_type,
        }
        return pointer | ({"file_name": file_name} if file_name else {})

    async def download_attachment(self, attachment: Mapping[str, Any]) -> bytes:
        """Fetch and decrypt an attachment; ProtocolError when it is not what its sender uploaded.

        A pointer without a digest and with a key of 32 bytes is in the stream format (client-protocol §3.3).
        """
        url = attachment.get("url")
        if not isinstance(url, str) or not url:
            raise Refused("the attachment has no url")
        key, digest = _hex_field(attachment, "key_hex"), _hex_field(attachment, "digest_hex")
        blob = await self.network.download(url)
        if len(key) == 32 and not digest:
            return attachments.decrypt_stream(blob, key)
        size = attachment.get("size")
        if not isinstance(size, int):
            raise Refused("the attachment has no size")
        return attachments.decrypt_legacy(blob, key, digest, size)

    # Sending.

    async def _store(
        self,
        recipient: str,
        content: Mapping[str, Any],
        *,
        sync_target: str | None,
        timestamp_ms: int | None = None,
    ) -> SentMessage:
        """Store a message; network time that is corrected on the way gives it a new timestamp."""
        draft = _Draft(self, recipient, content, sync_target, timestamp_ms)
        reply = await self.network.account_rpc(recipient, "store", draft.params)
        return SentMessage(draft.timestamp_ms, _stored_hash(reply))

    async def _store_copy(self, content: Mapping[str, Any], recipient: str, timestamp_ms: int) -> SentMessage:
        own = {key: value for key, value in content.items() if key != "profile"}
        target = recipient if own.get("kind") in SYNCED_KINDS else None
        return await self._store(self.account_id, own, sync_target=target, timestamp_ms=timestamp_ms)

    def _next_timestamp(self) -> int:
        """Return network time, but never the same twice: the timestamp identifies a message."""
        now_ms = self.network.now_ms()
        while now_ms in self._timestamps_ms:
            now_ms += 1
        self._timestamps_ms.add(now_ms)
        return now_ms

    def _remember_sent(self, recipient: str, content: Mapping[str, Any], sent: SentMessage) -> None:
        message = ReceivedMessage(
            sender=self.account_id,
            timestamp_ms=sent.timestamp_ms,
            content={**content, "timestamp_ms": sent.timestamp_ms},
            hash=sent.sync_hash or "",
            namespace=0,
            conversation=recipient,
            outgoing=True,
        )
        self._accept(message)
        if message.hash:
            self._seen_hashes.add(message.hash)

    # Receiving.

    def _decode(self, item: StoredItem) -> ReceivedMessage | None:
        try:
            decoded = messages.decode_1o1(self.account, item.data)
        except ProtocolError as error:
            # A node may have spoiled its copy: then the hash is not that of the data, and another member
            # helps.
            intact = storage_auth.message_hash(account_bytes(self.account_id), item.namespace, item.data)
            if intact == item.hash:
                self._seen_hashes.add(item.hash)
                self.undecodable.append((item.hash, error.code))
            return None
        self._seen_hashes.add(item.hash)
        own = decoded.sender_account_id == self.account_id
        target = decoded.content.get("sync_target") if own else None
        return ReceivedMessage(
            sender=decoded.sender_account_id,
            timestamp_ms=decoded.timestamp_ms,
            content=decoded.content,
            hash=item.hash,
            namespace=item.namespace,
            conversation=target if isinstance(target, str) else decoded.sender_account_id,
            outgoing=own,
        )

    def _accept(self, message: ReceivedMessage) -> bool:
        """Apply a message to the store; False for what must not be shown (client-protocol §2.6)."""
        kind = message.content.get("kind")
        rule = _RULES.get(str(kind))
        if rule is not None and not rule(self, message):
            return False
        if kind in VISIBLE_KINDS:
            if not self.store.add(message, read=message.outgoing):
                return False
            if message.hash:
                self._own_copies[message.sender, message.timestamp_ms] = message.hash
        profile = message.content.get("profile")
        if message.conversation != self.account_id:
            incoming = not message.outgoing and isinstance(profile, Mapping)
            self.store.note_contact(message.conversation, profile if incoming else None)
        return True

    def _accept_reaction(self, message: ReceivedMessage) -> bool:
        content = message.content
        self.store.react(
            message.conversation,
            str(content.get("author")),
            int(content.get("target_ms", 0)),
            str(content.get("emoji", "")),
            message.sender,
            remove=bool(content.get("remove")),
        )
        return True

    def _accept_unsend(self, message: ReceivedMessage) -> bool:
        """Only the author may unsend, and the own devices for what this account wrote (§2.6, rule 10)."""
        author, target_ms = str(message.content.get("author")), int(message.content.get("target_ms", 0))
        if author != message.sender:
            return False
        # A copy of an own request does not name the conversation.
        places = self.store.conversations() if message.outgoing else [message.conversation]
        for place in places:
            self.store.delete(place, author, target_ms)
        self._delete_own_copy(author, target_ms)
        return True

    def _accept_typing(self, message: ReceivedMessage) -> bool:
        told_ms = message.content.get("timestamp_ms", message.timestamp_ms)
        return bool(told_ms == message.timestamp_ms)

    def _delete_own_copy(self, author: str, timestamp_ms: int) -> None:
        copy = self._own_copies.pop((author, timestamp_ms), None)
        if copy is not None:
            self._to_delete.append(copy)

    async def _delete_unsent(self) -> None:
        """Delete unsent messages from the own swarm; what fails is tried again after the next poll."""
        if not self._to_delete:
            return
        params = storage_auth.sign_request(self.account, "delete", {"messages": list(self._to_delete)})
        try:
            await self.network.account_rpc(self.account_id, "delete", params)
        except ClientError:
            return
        self._to_delete.clear()


class _Draft:
    """A message on its way: encoded once for each timestamp, stamped anew when network time was corrected."""

    def __init__(
        self,
        client: MessagingClient,
        recipient: str,
        content: Mapping[str, Any],
        sync_target: str | None,
        timestamp_ms: int | None,
    ) -> None:
        self._client = client
        self._recipient = recipient
        self._content = content
        self._sync_target = sync_target
        self._fixed = timestamp_ms is not None
        self._stamped_with_offset = client.network.time.offset_ms
        self.timestamp_ms = timestamp_ms if timestamp_ms is not None else client._next_timestamp()
        self._data = self._encode()

    def params(self, _now_ms: int, _member: ServiceNode) -> dict[str, Any]:
        offset_ms = self._client.network.time.offset_ms
        if offset_ms != self._stamped_with_offset and not self._fixed:
            self._stamped_with_offset = offset_ms
            self.timestamp_ms = self._client._next_timestamp()
            self._data = self._encode()
        return {
            "pubkey": self._recipient,
            "timestamp": self.timestamp_ms,
            "namespace": 0,
            "ttl": _lifetime_ms(self._content, own_copy=self._recipient == self._client.account_id),
            "data": self._data,
        }

    def _encode(self) -> str:
        try:
            data = messages.encode_1o1(
                self._client.account,
                self._recipient,
                {**self._content, "timestamp_ms": self.timestamp_ms},
                self.timestamp_ms,
                sync_target=self._sync_target,
                random_bytes=self._client.network.random_bytes,
            )
        except ProtocolError as error:
            raise Refused(f"the content cannot be sent: {error}", protocol_code=error.code) from None
        if len(data) > MAX_STORED_BYTES:
            raise TooLarge(
                f"the message has {len(data)} bytes, a node stores {MAX_STORED_BYTES}", size=len(data)
            )
        return base64.b64encode(data).decode("ascii")


_RULES: Final[Mapping[str, Callable[[MessagingClient, ReceivedMessage], bool]]] = {
    "reaction": MessagingClient._accept_reaction,
    "unsend": MessagingClient._accept_unsend,
    "typing": MessagingClient._accept_typing,
}


def _lifetime_ms(content: Mapping[str, Any], *, own_copy: bool) -> int:
    """Return the TTL: a message that disappears takes its own timer along (client-protocol §2.5)."""
    expiration = content.get("expiration")
    if content.get("kind") in SYNCED_KINDS and isinstance(expiration, Mapping) and expiration.get("seconds"):
        kind = expiration.get("type")
        if kind == "send" or (kind == "read" and own_copy):
            return int(expiration["seconds"]) * 1000
    return TTL_MS.get(str(content.get("kind")), CONTENT_TTL_MS)


def _check_limits(content: Mapping[str, Any]) -> None:
    body, files = content.get("body"), content.get("attachments")
    if isinstance(body, str) and len(body) > MAX_TEXT_CODE_POINTS:
        raise TooLarge(f"the text has {len(body)} characters, the limit is {MAX_TEXT_CODE_POINTS}")
    if isinstance(files, list) and len(files) > MAX_ATTACHMENTS:
        raise TooLarge(f"the message has {len(files)} attachments, the limit is {MAX_ATTACHMENTS}")


def _stored_hash(reply: RpcReply) -> str | None:
    stored = reply.body.get("hash") if isinstance(reply.body, Mapping) else None
    if stored is not None and not isinstance(stored, str):
        raise BadReply(f"{reply.node.label} answered a store with the hash {stored!r}")
    return stored


def _hex_field(attachment: Mapping[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(attachment.get(name) or "")
    except (TypeError, ValueError):
        raise Refused(f"the attachment's {name} is not hex") from None
