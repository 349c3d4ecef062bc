"""The signature of a question about releases, which counts users without naming them (file-server §5)."""

import base64
import hashlib
from random import Random
from typing import Final

import nacl.bindings

_KEY: Final = b"VersionCheckKey_sig"


def version_headers(random: Random, target: str, timestamp_s: int) -> dict[str, str]:
    """Return the headers of a signed GET by somebody new; ``target`` is the path with its query."""
    seed = hashlib.blake2b(random.randbytes(32), digest_size=32, key=_KEY).digest()
    public, secret = nacl.bindings.crypto_sign_seed_keypair(seed)
    signed = nacl.bindings.crypto_sign(f"{timestamp_s}GET{target}".encode(), secret)
    return {
        "X-FS-Pubkey": f"07{public.hex()}",
        "X-FS-Timestamp": str(timestamp_s),
        "X-FS-Signature": base64.b64encode(signed[:64]).decode(),
    }
