"""Accounts that live on a network (testee-operations §3): the testnet's own client behind the contract.

The network code is imported with the first stateful operation, so that stateless checks start a light
process.
"""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from session_conformance.testees.kit_python.session_testee_kit import Params, Rejected, operation
from session_conformance.testees.reference.operations import Operations

if TYPE_CHECKING:
    from session_conformance.testees.reference.residents import Resident, Residents

T = TypeVar("T")


class StatefulOperations(Operations):
    """Create clients, and let them act; one operation at a time, nothing in the background."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._residents: Residents | None = None

    @operation("client.create")
    def client_create(self, params: Params) -> dict[str, Any]:
        """Restore or make an account and join its network."""
        resident = self.residents.create(_alias(params), params, self.seed)
        self.run(resident, "joining the network", resident.join)
        return {"session_id": resident.account.account_id, "words": resident.account.recovery_password}

    @operation("client.close")
    def client_close(self, params: Params) -> dict[str, Any]:
        """Stop a client."""
        self.residents.close(_alias(params))
        return {}

    @operation("client.swarm")
    def client_swarm(self, params: Params) -> dict[str, Any]:
        """Name the nodes of the own swarm, or of another account's."""
        resident = self.resident(params)
        account_id = params.text("session_id", resident.account.account_id)
        nodes = self.run(
            resident, f"the swarm of {account_id[:10]}…", lambda: resident.network.swarm(account_id)
        )
        return {
            "nodes": [
                {
                    "pubkey_ed25519": node.ed25519_pk,
                    "pubkey_x25519": node.x25519_pk,
                    "ip": node.ip,
                    "port": node.port,
                }
                for node in nodes
            ]
        }

    @operation("client.send")
    def client_send(self, params: Params) -> dict[str, Any]:
        """Send content of any kind."""
        resident, to, content = self.resident(params), params.text("to"), params.mapping("content")
        sent = self.run(resident, "sending a message", lambda: resident.messaging.send(to, content))
        told = {"timestamp_ms": sent.timestamp_ms, "hash": sent.hash, "sync_hash": sent.sync_hash}
        return told | ({"sync_failure": sent.sync_failure.message} if sent.sync_failure else {})

    @operation("client.poll")
    def client_poll(self, params: Params) -> dict[str, Any]:
        """Do one round of polling."""
        resident, namespaces = self.resident(params), params.array("namespaces", [0])
        if not namespaces or not all(type(namespace) is int for namespace in namespaces):
            raise Rejected("invalid_argument", "namespaces must be a list of integers")
        received = self.run(resident, "polling", lambda: resident.messaging.poll(namespaces))
        return {"messages": [resident.describe(message) for message in received]}

    @operation("client.messages")
    def client_messages(self, params: Params) -> dict[str, Any]:
        """List what the local store holds of a conversation."""
        resident = self.resident(params)
        stored = resident.messaging.messages(params.text("conversation"), params.integer("since_ms", 0))
        return {"messages": [resident.describe_stored(one) for one in stored]}

    @operation("client.upload")
    def client_upload(self, params: Params) -> dict[str, Any]:
        """Encrypt and upload a file; the result goes into the attachments of a text."""
        resident, data = self.resident(params), params.hex("data_hex")
        file_name = params.text("file_name", None)
        content_type = params.text("content_type", "application/octet-stream")
        attachment = self.run(
            resident,
            "an upload",
            lambda: resident.messaging.upload_attachment(
                data, file_name=file_name, content_type=content_type
            ),
        )
        return {"attachment": attachment}

    @operation("client.download")
    def client_download(self, params: Params) -> dict[str, Any]:
        """Download and decrypt an attachment of a received message."""
        resident, attachment = self.resident(params), params.mapping("attachment")
        data = self.run(resident, "a download", lambda: resident.messaging.download_attachment(attachment))
        return {"data_hex": data}

    @operation("client.react")
    def client_react(self, params: Params) -> dict[str, Any]:
        """React to a message."""
        return self.reaction(params, remove=False)

    @operation("client.unreact")
    def client_unreact(self, params: Params) -> dict[str, Any]:
        """Take a reaction back."""
        return self.reaction(params, remove=True)

    @operation("client.delete_message")
    def client_delete_message(self, params: Params) -> dict[str, Any]:
        """Delete a message here, or for everyone."""
        resident, conversation = self.resident(params), params.text("conversation")
        timestamp_ms, everyone = params.integer("timestamp_ms"), params.flag("everyone", default=False)
        sent = self.run(
            resident,
            "deleting a message",
            lambda: resident.messaging.delete_message(conversation, timestamp_ms, everyone=everyone),
        )
        return {"timestamp_ms": sent.timestamp_ms} if sent else {}

    @operation("client.mark_read")
    def client_mark_read(self, params: Params) -> dict[str, Any]:
        """Mark messages as read and tell their sender."""
        resident, conversation = self.resident(params), params.text("conversation")
        timestamps_ms = params.array("timestamps_ms")
        sent = self.run(
            resident, "a read receipt", lambda: resident.messaging.mark_read(conversation, timestamps_ms)
        )
        return {"timestamp_ms": sent.timestamp_ms}

    @operation("client.typing")
    def client_typing(self, params: Params) -> dict[str, Any]:
        """Tell that one is typing, or has stopped."""
        resident, conversation = self.resident(params), params.text("conversation")
        started = params.flag("started")
        sent = self.run(
            resident, "a typing message", lambda: resident.messaging.typing(conversation, started=started)
        )
        return {"timestamp_ms": sent.timestamp_ms}

    @operation("client.state")
    def client_state(self, params: Params) -> dict[str, Any]:
        """Show what the client knows."""
        return self.resident(params).state()

    @operation("client.set_clock")
    def client_set_clock(self, params: Params) -> dict[str, Any]:
        """Make the device's clock wrong by an offset; network time is what the client has to find."""
        self.resident(params).device_offset_ms = params.integer("offset_ms")
        return {}

    @property
    def residents(self) -> "Residents":
        """Return the clients of this testee; the first use imports the network code and starts its loop."""
        if self._residents is None:
            from session_conformance.testees.reference.residents import Residents

            self._residents = Residents()
        return self._residents

    def resident(self, params: Params) -> "Resident":
        """Return the client of the request's account; Rejected (not_found) when there is none."""
        return self.residents.get(_alias(params))

    def run(self, resident: "Resident", doing: str, action: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Let a client act on the loop; its failures become rejections with code and HTTP status."""
        return self.residents.run(resident, doing, action)

    def reaction(self, params: Params, *, remove: bool) -> dict[str, Any]:
        """Send a reaction; its target's author is looked up when it is not given."""
        resident, conversation = self.resident(params), params.text("conversation")
        timestamp_ms, emoji = params.integer("timestamp_ms"), params.text("emoji")
        author = params.text("author", None) or resident.author_of(conversation, timestamp_ms)
        sent = self.run(
            resident,
            "a reaction",
            lambda: resident.messaging.react(conversation, timestamp_ms, author, emoji, remove=remove),
        )
        return {"timestamp_ms": sent.timestamp_ms, "hash": sent.hash, "sync_hash": sent.sync_hash}

    def on_reset(self) -> None:
        """Close every client."""
        if self._residents is not None:
            self._residents.close_all()

    def on_close(self) -> None:
        """Close every client and end the loop."""
        if self._residents is not None:
            self._residents.shut_down()
            self._residents = None


def _alias(params: Params) -> str:
    if not params.account:
        raise Rejected("invalid_argument", "a stateful operation needs an account")
    return params.account
