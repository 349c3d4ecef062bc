"""Adapt session-python 1.0.5 from PyPI to the testee contract.

The package is neither modified nor re-implemented: every operation ends in its own functions. Where it offers
a step only as part of sending or polling, its network object is replaced by one that records what would have
been sent, or answers with what should be read; its clock is set where an operation names the time.
"""

import base64
import sys
import time
import traceback
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "kit_python"))

import session_python
import session_python.client
import session_python.polling
from session_python import crypto, mnemonic
from session_python.network import NetworkError
from session_python.protobuf.signalservice_pb2 import Envelope, WebSocketMessage
from session_testee_kit import Adapter, Rejected, operation
from stand_ins import MailboxNetwork, RecordingNetwork, clock_at, recorded_contents

# Where the package's code is: an exception that never passed through it is the adapter's own fault.
PACKAGE = str(Path(session_python.__file__).parent)

# What one poll reads, in the package's own order.
NAMESPACES = [0, 2, 3, 4, 5]


def session_of(seed_hex, network=None):
    """Make the package's session object for an account."""
    session = session_python.client.Session()
    session.keys = crypto.SessionKeys(seed_hex)
    session.session_id = session.keys.x25519.public_key.hex()
    if network is not None:
        session.network = network
    return session


def content_of(message):
    """Turn one of the package's polled messages into the neutral content object."""
    kind = message["type"]
    content = {"timestamp_ms": message["timestamp"]}
    if kind == "data":
        content.update(kind="text", body=message["body"] or "")
        if message["syncTarget"]:
            content["sync_target"] = message["syncTarget"]
        if message["attachments"]:
            content["attachments"] = [
                {
                    # The package downloads by this number alone, so it has to come back to it.
                    "id": pointer["id"],
                    "url": pointer["url"],
                    "key_hex": pointer["key"].hex(),
                    "digest_hex": pointer["digest"].hex(),
                    "size": pointer["size"],
                    "content_type": pointer["contentType"],
                    "file_name": pointer["name"],
                }
                for pointer in message["attachments"]
            ]
    elif kind == "typing":
        content.update(kind="typing", started=message["isTyping"])
    elif kind == "unsend":
        content.update(kind="unsend", target_ms=message["targetTimestamp"], author=message["author"])
    elif kind == "receipt":
        content.update(kind="receipt", read_ms=message["targetTimestamps"])
    elif kind == "request_response":
        content.update(kind="request_accepted")
    else:
        content.update(kind="unknown")
    return content


class SessionPython(Adapter):
    """The package as a testee."""

    name = "session_python"
    version = version("session-python")
    homepage = "https://pypi.org/project/session-python/"
    features = {
        "network": "direct",
        "seed_override": True,
        "file_server_override": False,
        "clock_override": False,
        "random_override": False,
        "padding": "legacy159",
        "envelope": {
            "verb_path": ["PUT", "/api/v1/message"],
            "prosig": "none",
            "sig_timestamp": False,
            "source_device": None,
        },
        "attachment_formats": ["legacy"],
        "attachment_pads": True,
        "mnemonic": {
            "word_counts": [13],
            "case_sensitive": True,
            "languages": ["english"],
            "overflow": "reject",
        },
        "configs": [],
        "groups": False,
        "communities": False,
        "multi_account": True,
        "error_detail": False,
    }
    limits = {
        # A reaction goes to the author of its message and an unsend request names its sender: the package
        # leaves nobody else to write to.
        "content_kinds": ["text", "receipt", "typing", "request_accepted", "data_extraction"],
        "text_fields": [],
        "request_methods": ["retrieve"],
    }

    def __init__(self):
        super().__init__()
        self._sessions = {}
        self._pollers = {}
        self._uploads = {}

    def on_reset(self):
        """Forget all accounts."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._pollers.clear()
        self._uploads.clear()

    def on_close(self):
        """Close the connections."""
        self.on_reset()

    def translate(self, error):
        """Turn what the package raises into a refusal; what it did not raise is the adapter's own fault."""
        frames = traceback.extract_tb(error.__traceback__)
        if not any(frame.filename.startswith(PACKAGE) for frame in frames):
            return error
        code = "network_error" if isinstance(error, NetworkError) else "internal"
        return Rejected(code, f"{type(error).__name__}: {error}")

    # Stateless operations.

    @operation("identity.derive")
    def identity_derive(self, params):
        """Derive an account from its seed."""
        keys = crypto.SessionKeys(params.text("seed_hex"))
        return {
            "ed25519_pk": keys.ed25519.public_key,
            "x25519_pk": keys.x25519.public_key[1:],
            "x25519_sk": keys.x25519.private_key,
            "ed25519_seed": keys.seed,
            "session_id": keys.x25519.public_key,
        }

    @operation("identity.generate")
    def identity_generate(self, params):
        """Create an account."""
        session = session_python.client.Session()
        session.set_mnemonic(session_python.client.Session.generate_mnemonic())
        return {
            "seed_hex": session.keys.seed[:16],
            "session_id": session.get_session_id(),
            "words": session.get_mnemonic(),
        }

    @operation("mnemonic.encode")
    def mnemonic_encode(self, params):
        """Write a recovery password."""
        return {"words": mnemonic.encode(params.text("seed_hex"))}

    @operation("mnemonic.decode")
    def mnemonic_decode(self, params):
        """Restore an account from its recovery password."""
        session = session_python.client.Session()
        session.set_mnemonic(params.text("words"))
        return {"seed_hex": mnemonic.decode(params.text("words")), "session_id": session.get_session_id()}

    @operation("session.encrypt")
    def session_encrypt(self, params):
        """Seal a message."""
        sender = crypto.SessionKeys(params.text("sender_seed"))
        message = params.hex("message_hex")
        return {
            "ciphertext": crypto.encrypt_using_session_protocol(
                sender, params.text("recipient_session_id"), message
            )
        }

    @operation("session.decrypt")
    def session_decrypt(self, params):
        """Open a message."""
        recipient = crypto.SessionKeys(params.text("recipient_seed"))
        message, sender = crypto.decrypt_with_session_protocol(recipient, params.hex("ciphertext"))
        return {"message_hex": message, "sender_session_id": sender}

    @operation("padding.pad")
    def padding_pad(self, params):
        """Pad a message."""
        return {"padded_hex": crypto.add_message_padding(params.hex("message_hex"))}

    @operation("padding.unpad")
    def padding_unpad(self, params):
        """Remove the padding of a message."""
        return {"message_hex": crypto.remove_message_padding(params.hex("padded_hex"))}

    @operation("message.encode_1o1")
    def message_encode(self, params):
        """Let the package send, and take what it would have stored for the recipient."""
        network = RecordingNetwork()
        session = session_of(params.text("sender_seed"), network)
        recipient = params.text("recipient_session_id")
        content = params.mapping("content")
        with clock_at(params.integer("timestamp_ms")), recorded_contents() as contents:
            self._send(session, recipient, content, params.integer("timestamp_ms"))
        # The first content is the recipient's, the second the own copy.
        return {"data_base64": network.stored_for(recipient), "content_hex": contents[0]}

    @operation("message.decode_1o1")
    def message_decode(self, params):
        """Let the package poll a mailbox that holds this one message."""
        data_base64 = params.text("data_base64")
        session = session_of(params.text("recipient_seed"), MailboxNetwork(data_base64))
        polled = session_python.polling.Poller(session, namespaces=[0]).poll()
        if not polled:
            raise Rejected("bad_format", "the package skipped the message")
        # The same steps once more, for what its polled messages leave out.
        envelope = Envelope.FromString(
            WebSocketMessage.FromString(base64.b64decode(data_base64)).request.body
        )
        padded, _ = crypto.decrypt_with_session_protocol(session.keys, envelope.content)
        return {
            "sender_session_id": polled[0]["from"],
            "timestamp_ms": polled[0]["timestamp"],
            "content": content_of(polled[0]),
            "content_hex": crypto.remove_message_padding(padded),
            "envelope": {"type": envelope.type, "timestamp": envelope.timestamp, "source": envelope.source},
        }

    @operation("attachment.encrypt_legacy")
    def attachment_encrypt(self, params):
        """Encrypt an attachment, with the key and IV of the request where it names them."""
        data = params.hex("data_hex")
        key, iv = params.hex("key64", None), params.hex("iv", None)
        if key is None or iv is None:
            made = crypto.encrypt_attachment(data)
            blob, key, digest = made["ciphertext"], made["key"], made["digest"]
        else:
            blob, digest = crypto.encrypt_attachment_data(crypto.add_attachment_padding(data), key, iv)
        return {"blob_hex": blob, "key64": key, "digest_sha256": digest, "size": len(data)}

    @operation("attachment.decrypt_legacy")
    def attachment_decrypt(self, params):
        """Open an attachment."""
        data = crypto.decrypt_attachment(
            params.hex("blob_hex"), params.hex("key64"), params.hex("digest"), params.integer("size", None)
        )
        return {"data_hex": data}

    @operation("storage.build_request")
    def storage_build_request(self, params):
        """Let the package poll one namespace, and take its request."""
        if params.text("method") != "retrieve":
            raise Rejected("invalid_argument", "the package builds only retrieve requests on its own")
        network = RecordingNetwork()
        session = session_of(params.text("seed_hex"), network)
        poller = session_python.polling.Poller(session, namespaces=[params.integer("namespace", 0)])
        with clock_at(params.integer("timestamp_ms")):
            poller.poll()
        return {"request": network.requests[-1]}

    # Stateful operations.

    def _session(self, params):
        try:
            return self._sessions[params.account]
        except KeyError:
            raise Rejected("not_found", f"no client was created for {params.account}") from None

    @operation("client.create")
    def client_create(self, params):
        """Restore an account on a network, reached through the testnet's gateway."""
        network = params.mapping("network")
        session = session_python.client.Session(proxy=network["gateway_url"])
        seed_hex = params.text("seed_hex", None)
        words = params.text("words", None) or mnemonic.encode(seed_hex)
        session.set_mnemonic(words, display_name=params.text("display_name", None))
        self._sessions[params.account] = session
        self._pollers[params.account] = session_python.polling.Poller(session, namespaces=NAMESPACES)
        return {"session_id": session.get_session_id(), "words": words}

    @operation("client.close")
    def client_close(self, params):
        """Close a client."""
        self._session(params).close()
        del self._sessions[params.account], self._pollers[params.account]

    @operation("client.swarm")
    def client_swarm(self, params):
        """Look up the swarm of an account."""
        session = self._session(params)
        return {"nodes": session.get_swarms_for(params.text("session_id", None) or session.get_session_id())}

    @operation("client.send")
    def client_send(self, params):
        """Send content to an account."""
        session = self._session(params)
        sent = self._send(session, params.text("to"), params.mapping("content"), None)
        return {
            "timestamp_ms": sent["timestamp"],
            "hash": sent["messageHash"],
            "sync_hash": sent["syncMessageHash"],
        }

    @operation("client.poll")
    def client_poll(self, params):
        """Poll all namespaces once."""
        session = self._session(params)
        own = session.get_session_id()
        return {
            "messages": [
                {
                    "sender": message["from"],
                    "timestamp_ms": message["timestamp"],
                    "content": content_of(message),
                    "hash": message["hash"],
                    "namespace": message["namespace"],
                    # The package shows a sync target to its user as the conversation of an own message.
                    "conversation": message["syncTarget"] or message["from"],
                    "outgoing": bool(message["syncTarget"]) or message["from"] == own,
                }
                for message in self._pollers[params.account].poll()
            ]
        }

    @operation("client.upload")
    def client_upload(self, params):
        """Encrypt and upload a file; the package sends files by their bytes, so these are kept."""
        data = params.hex("data_hex")
        made = crypto.encrypt_attachment(data)
        uploaded = self._session(params).network.upload_attachment(made["ciphertext"])
        attachment = {
            "id": uploaded["id"],
            "url": uploaded["url"],
            "key_hex": made["key"],
            "digest_hex": made["digest"],
            "size": len(data),
            "content_type": params.text("content_type", "application/octet-stream"),
            "file_name": params.text("file_name", "file"),
        }
        self._uploads[uploaded["url"]] = data
        return {"attachment": attachment}

    @operation("client.download")
    def client_download(self, params):
        """Download and open an attachment."""
        attachment = params.mapping("attachment")
        pointer = {
            "id": attachment.get("id", 0),
            "key": bytes.fromhex(attachment["key_hex"]),
            "digest": bytes.fromhex(attachment["digest_hex"]),
            "size": attachment["size"],
        }
        return {"data_hex": self._session(params).get_file(pointer)}

    @operation("client.react")
    def client_react(self, params):
        """React to a message."""
        self._session(params).add_reaction(
            params.integer("timestamp_ms"), params.text("author"), params.text("emoji")
        )

    @operation("client.unreact")
    def client_unreact(self, params):
        """Take a reaction back."""
        self._session(params).remove_reaction(
            params.integer("timestamp_ms"), params.text("author"), params.text("emoji")
        )

    @operation("client.mark_read")
    def client_mark_read(self, params):
        """Send read receipts."""
        self._session(params).mark_messages_as_read(
            params.text("conversation"), params.array("timestamps_ms")
        )

    @operation("client.typing")
    def client_typing(self, params):
        """Show or hide the typing indicator."""
        session = self._session(params)
        if params.flag("started"):
            session.show_typing_indicator(params.text("conversation"))
        else:
            session.hide_typing_indicator(params.text("conversation"))

    @operation("client.delete_message")
    def client_delete_message(self, params):
        """Unsend a message."""
        self._session(params).delete_message(
            params.text("conversation"), params.integer("timestamp_ms"), params.text("hash")
        )

    def _send(self, session, to, content, timestamp_ms):
        """Send neutral content with the function that the package has for its kind."""
        kind = content["kind"]
        if kind == "text":
            return self._send_text(session, to, content)
        sent = {
            "timestamp": timestamp_ms or int(time.time() * 1000),
            "messageHash": None,
            "syncMessageHash": None,
        }
        if kind == "typing":
            show = session.show_typing_indicator if content["started"] else session.hide_typing_indicator
            show(to)
        elif kind == "receipt":
            session.mark_messages_as_read(to, content["read_ms"], read_at=timestamp_ms)
        elif kind == "request_accepted":
            self._set_profile(session, content.get("profile") or {})
            session.accept_conversation_request(to)
        elif kind == "data_extraction" and content["type"] == "saved":
            session.notify_media_saved(to, content["saved_ms"])
        elif kind == "data_extraction":
            session.notify_screenshot_taken(to)
        else:
            raise Rejected("invalid_argument", f"the package has no function that sends {kind}")
        return sent

    def _send_text(self, session, to, content):
        attachments = []
        for attachment in content.get("attachments", ()):
            data = self._uploads.get(attachment["url"])
            if data is None:
                raise Rejected("invalid_argument", "only attachments from client.upload can be sent")
            attachments.append(
                {"data": data, "name": attachment["file_name"], "content_type": attachment["content_type"]}
            )
        return session.send_message(to, content["body"], attachments=attachments or None)

    @staticmethod
    def _set_profile(session, profile):
        session.display_name = profile.get("display_name")
        if "picture_url" in profile:
            session.avatar = {
                "url": profile["picture_url"],
                "key": bytes.fromhex(profile["profile_key_hex"]),
            }


if __name__ == "__main__":
    SessionPython().serve()
