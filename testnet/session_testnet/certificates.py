"""Self-signed TLS certificates like those that storage servers make for themselves."""

import datetime as dt
import os
import ssl
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

# Subject and lifetime of a storage server's own certificate (network §2). It says nothing about the node's
# identity.
_SUBJECT = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "AU"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Oxen"),
        x509.NameAttribute(NameOID.COMMON_NAME, "localhost"),
    ]
)
VALIDITY = dt.timedelta(days=10_000)
# A client whose clock is a little behind still finds the certificate valid.
_CLOCK_TOLERANCE = dt.timedelta(days=1)

CERTIFICATE_FILE = "cert.pem"
KEY_FILE = "key.pem"


def self_signed_pem(not_before: dt.datetime | None = None) -> tuple[bytes, bytes]:
    """Make a P-256 key and a certificate of its own; return certificate and key as PEM.

    ``not_before`` (aware) is a day ago unless given; the certificate is valid for 10,000 days from it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    start = not_before or dt.datetime.now(dt.UTC) - _CLOCK_TOLERANCE
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_SUBJECT)
        .issuer_name(_SUBJECT)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + VALIDITY)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def self_signed_context(directory: Path | None = None) -> ssl.SSLContext:
    """Return the TLS context of a server with a self-signed certificate, for TLS 1.2 and later.

    With a directory the certificate is kept there as ``cert.pem`` and ``key.pem`` (readable by the owner
    only) and used again at the next start. Without one it leaves nothing behind.
    """
    context = _server_context()
    if directory is None:
        _load_privately(context, b"".join(self_signed_pem()))
        return context
    certificate_file, key_file = directory / CERTIFICATE_FILE, directory / KEY_FILE
    if not (certificate_file.is_file() and key_file.is_file()):
        directory.mkdir(parents=True, exist_ok=True)
        certificate, key = self_signed_pem()
        _write_private(key_file, key)
        _write_private(certificate_file, certificate)
    context.load_cert_chain(certificate_file, key_file)
    return context


def expired_context() -> ssl.SSLContext:
    """Return the TLS context of a server whose certificate expired a day ago; it leaves nothing behind."""
    context = _server_context()
    begin = dt.datetime.now(dt.UTC) - VALIDITY - _CLOCK_TOLERANCE
    _load_privately(context, b"".join(self_signed_pem(begin)))
    return context


def show_instead(
    context: ssl.SSLContext, other: Callable[[], ssl.SSLContext], when: Callable[[], bool]
) -> None:
    """Let a server's context show the certificate of another in each handshake for which ``when`` says so.

    It is asked once a handshake, also by clients that name no server; ``other`` makes its context then. A
    session that a client resumes shows no certificate at all.
    """

    def choose(
        connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        if when():
            connection.context = other()

    context.sni_callback = choose


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _load_privately(context: ssl.SSLContext, pem: bytes) -> None:
    """Load certificate and key, which the ssl module takes from files alone.

    On Linux the file is one in memory; elsewhere only this user can read it, and it is gone right after.
    """
    if sys.platform == "linux" and Path("/proc/self/fd").is_dir():
        with open(os.memfd_create("certificate"), "wb", buffering=0) as memory:  # noqa: PTH123 - it has no path
            memory.write(pem)
            context.load_cert_chain(f"/proc/self/fd/{memory.fileno()}")
        return
    descriptor, path = tempfile.mkstemp(prefix="session-testnet-", suffix=".pem")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        context.load_cert_chain(path)
    finally:
        Path(path).unlink()


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only the owner can read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
