"""Identity, recovery passwords and curve helpers (testee-operations §2.1)."""

import hashlib
from typing import Any

from session_conformance.testees.kit_python.session_testee_kit import Params, operation
from session_conformance.testees.reference.operations import Operations, account_from
from session_protocol import community, mnemonic
from session_protocol.accounts import Account, ed25519_pk_to_x25519, id_kind, x25519_pk_to_ed25519


class IdentityOperations(Operations):
    """Accounts, their ids and their words."""

    @operation("identity.derive")
    def identity_derive(self, params: Params) -> dict[str, Any]:
        """Derive every key of a seed."""
        account = account_from(params)
        return {
            "ed25519_seed": account.ed25519_seed,
            "ed25519_pk": account.ed25519_pk,
            "ed25519_sk64": account.ed25519_sk,
            "x25519_pk": account.x25519_pk,
            "x25519_sk": account.x25519_sk,
            "session_id": account.account_id,
        }

    @operation("identity.generate")
    def identity_generate(self, params: Params) -> dict[str, Any]:  # noqa: ARG002  # all operations take them
        """Draw a new account."""
        account = Account.generate(self.random_bytes)
        return {
            "seed_hex": account.entropy,
            "session_id": account.account_id,
            "words": account.recovery_password,
        }

    @operation("identity.validate")
    def identity_validate(self, params: Params) -> dict[str, Any]:
        """Tell whether text is an id, and of what kind."""
        kind = id_kind(params.text("session_id"))
        return {"valid": kind is not None} | ({"kind": kind.value} if kind else {})

    @operation("mnemonic.encode")
    def mnemonic_encode(self, params: Params) -> dict[str, Any]:
        """Write a seed as words."""
        return {"words": mnemonic.encode(params.hex("seed_hex"), params.text("language", "english"))}

    @operation("mnemonic.decode")
    def mnemonic_decode(self, params: Params) -> dict[str, Any]:
        """Read words back into a seed."""
        seed = mnemonic.decode(params.text("words"), params.text("language", "english"))
        return {"seed_hex": seed, "session_id": Account.from_seed(seed).account_id}

    @operation("mnemonic.wordlist")
    def mnemonic_wordlist(self, params: Params) -> dict[str, Any]:
        """Describe a word list so that two can be compared."""
        listing = mnemonic.word_list(params.text("language"))
        return {
            "count": len(listing.words),
            "prefix_length": listing.prefix_length,
            "sha256_of_words_joined_by_newline": hashlib.sha256("\n".join(listing.words).encode()).digest(),
        }

    @operation("curve.ed_pk_to_x")
    def curve_ed_pk_to_x(self, params: Params) -> dict[str, Any]:
        """Convert an Ed25519 key to X25519."""
        return {"x25519_pk": ed25519_pk_to_x25519(params.hex("ed25519_pk"))}

    @operation("curve.x_pk_to_ed")
    def curve_x_pk_to_ed(self, params: Params) -> dict[str, Any]:
        """Convert an X25519 key to the non-negative Ed25519 key."""
        return {"ed25519_pk": x25519_pk_to_ed25519(params.hex("x25519_pk"))}

    @operation("xed25519.sign")
    def xed25519_sign(self, params: Params) -> dict[str, Any]:
        """Sign with an X25519 secret."""
        signature = community.xed25519_sign(
            params.hex("x25519_sk"), params.hex("message_hex"), random_bytes=self.random_bytes
        )
        return {"signature": signature}

    @operation("xed25519.verify")
    def xed25519_verify(self, params: Params) -> dict[str, Any]:
        """Verify a signature made with an X25519 secret."""
        valid = community.xed25519_verify(
            params.hex("x25519_pk"), params.hex("message_hex"), params.hex("signature")
        )
        return {"valid": valid}
