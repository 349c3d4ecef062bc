"""What the groups of operations share."""

import base64
import binascii
import hashlib
from typing import Any

from session_conformance.testees.kit_python.session_testee_kit import Adapter, Params, Rejected
from session_protocol.accounts import Account


class Operations(Adapter):
    """Base of every group of operations."""

    language = "python"
    _drawn = 0

    def random_bytes(self, size: int) -> bytes:
        """Draw bytes that follow from the seed of ``hello``: a run can be repeated, and has no secrets."""
        self._drawn += 1
        return hashlib.shake_256(f"{self.seed} {self._drawn}".encode()).digest(size)

    @staticmethod
    def rejection(code: str, message: str, **data: Any) -> Rejected:
        """Make a refusal; a place where subclasses may look at all of them."""
        return Rejected(code, message, **data)


def account_from(params: Params, name: str = "seed_hex") -> Account:
    """Read the account whose seed (16 or 32 bytes) a parameter gives."""
    return Account.from_seed(params.hex(name))


def base64_from(params: Params, name: str) -> bytes:
    """Read standard base64, padded or not, as the storage server takes it (client-protocol §2.3)."""
    text = params.text(name)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise Rejected("bad_format", f"{name} is not base64") from None


def base64_text(data: bytes) -> str:
    """Write padded standard base64."""
    return base64.b64encode(data).decode("ascii")
