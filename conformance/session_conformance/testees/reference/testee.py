"""The reference testee, put together from one module per group of operations.

Each operation is a method named after it, with "_" for ".": a subclass that overrides the method changes the
operation, which is how deliberately broken testees are made.
"""

from importlib import metadata

from session_conformance.testees.reference.stateful import StatefulOperations
from session_conformance.testees.reference.stateless_attachments import AttachmentOperations
from session_conformance.testees.reference.stateless_community import CommunityOperations
from session_conformance.testees.reference.stateless_identity import IdentityOperations
from session_conformance.testees.reference.stateless_messages import MessageOperations
from session_conformance.testees.reference.stateless_onion import OnionOperations
from session_conformance.testees.reference.stateless_sealing import SealingOperations
from session_conformance.testees.reference.stateless_storage import StorageOperations
from session_protocol.errors import ProtocolError


class ReferenceTestee(
    IdentityOperations,
    SealingOperations,
    MessageOperations,
    CommunityOperations,
    StorageOperations,
    OnionOperations,
    AttachmentOperations,
    StatefulOperations,
):
    """Answer every operation that session_protocol and the testnet's client implement."""

    name = "reference"
    version = metadata.version("session-harness")
    features = {  # noqa: RUF012  # what hello declares; nobody writes to it
        "network": "both",
        "seed_override": True,
        "file_server_override": True,
        "clock_override": True,
        "random_override": True,
        "padding": "2025",
        "envelope": {"verb_path": ["", ""], "prosig": "decoy", "sig_timestamp": True, "source_device": 1},
        "attachment_formats": ["legacy", "stream"],
        "attachment_pads": True,
        "blind15_nonce": "seed32",
        "mnemonic": {
            "word_counts": [13, 25],
            "case_sensitive": False,
            "languages": ["english"],
            "overflow": "reject",
        },
        "configs": [],
        "groups": False,
        "communities": False,
        "multi_account": True,
        "background_poll": False,
        "error_detail": True,
    }
    limits = {  # noqa: RUF012
        "max_attachment": 10_000_000,
        "persistence": False,
        "storage.sign": "account and group seeds; no subaccounts",
    }
    rejections = {}  # noqa: RUF012

    def translate(self, error: BaseException) -> BaseException:
        """Every refusal of the protocol library carries its code already."""
        if isinstance(error, ProtocolError):
            return self.rejection(error.code, str(error))
        return super().translate(error)
