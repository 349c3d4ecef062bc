"""A minimal testee: copy this file and session_testee_kit.py, and replace what is marked by "yours".

Try it:     session-harness smoke --testee "cmd:python adapter.py"
Judge it:   session-harness conform --testee "cmd:python adapter.py"
"""

import sys
from pathlib import Path

# In your copy the kit lies beside this file, and these two lines go.
if not (Path(__file__).parent / "session_testee_kit.py").exists():
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "kit_python"))

# Yours: import the library that is to be judged. PyNaCl stands in for it here.
from nacl import bindings, exceptions
from session_testee_kit import Adapter, Rejected, operation


class TemplateTestee(Adapter):
    """Yours: an operation exists as soon as a method is decorated with its name."""

    @operation("identity.derive")
    def identity_derive(self, params):
        """Derive the account of a seed of 16 or 32 bytes.

        `params` is a dict; hex(), text(), integer(), flag(), array() and mapping() read it with checks.
        Bytes in the result become hex. Printing is harmless: it goes to stderr, which the harness keeps.
        """
        seed = params.hex("seed_hex")
        if len(seed) not in (16, 32):
            raise Rejected("invalid_length", f"a seed has 16 or 32 bytes, not {len(seed)}")
        # Sixteen bytes are filled up with zeros (client-protocol §1.1).
        ed25519_pk, _ = bindings.crypto_sign_seed_keypair(seed.ljust(32, b"\0"))
        x25519_pk = bindings.crypto_sign_ed25519_pk_to_curve25519(ed25519_pk)
        return {"ed25519_pk": ed25519_pk, "x25519_pk": x25519_pk, "session_id": "05" + x25519_pk.hex()}

    # The next operations to add: identity.generate, mnemonic.encode and mnemonic.decode, session.encrypt and
    # session.decrypt, message.encode_1o1 and message.decode_1o1; then client.create, client.send and
    # client.poll. Until then the kit answers "unsupported", which the report shows and counts as no failure.


testee = TemplateTestee(
    name="template",
    version="1.0",
    homepage="https://example.org/my-client",
    # Where your client differs from others, so that it is judged by its own rules (testee-operations §1.1);
    # leave out what does not apply. "network" is "none" until client.create is there.
    features={"network": "none", "error_detail": True},
    # What an operation of yours cannot do although the contract asks for it.
    limits={},
    # Exceptions of your library that mean "this input is refused", and the contract's code for each. Anything
    # else that a method raises is a fault of the adapter, and the report shows its traceback.
    rejections={exceptions.CryptoError: "invalid_argument"},
)

if __name__ == "__main__":
    sys.exit(testee.serve())
