"""Self-signed certificates of nodes and the TLS that they serve."""

import datetime as dt
import socket
import ssl
import stat
import tempfile
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from session_testnet.certificates import VALIDITY, self_signed_context, self_signed_pem
from session_testnet.endpoints import bind_socket


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[bytes, str | None]:
    """Return the certificate (DER) that a client is shown, and the TLS version agreed on."""
    with bind_socket("127.0.0.1") as listener:
        listener.settimeout(5)
        failures: list[Exception] = []

        def serve() -> None:
            try:
                accepted, _ = listener.accept()
                with accepted:
                    accepted.settimeout(5)
                    with server.wrap_socket(accepted, server_side=True) as secure:
                        secure.sendall(secure.recv(2))
            except OSError as error:
                failures.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=5) as plain,
                client.wrap_socket(plain, server_hostname="localhost") as secure,
            ):
                secure.sendall(b"ok")
                assert secure.recv(2) == b"ok"
                shown = secure.getpeercert(binary_form=True)
                assert shown is not None
                return shown, secure.version()
        finally:
            thread.join(10)
            assert not thread.is_alive()


def trusting_anything(highest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> ssl.SSLContext:
    """Return a context like that of every client towards nodes: nothing is verified (network §2)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = highest
    return context


def test_the_certificate_is_like_a_storage_servers() -> None:
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = x509.load_pem_x509_certificate(self_signed_pem(start)[0])
    assert certificate.subject.rfc4514_string() == "CN=localhost,O=Oxen,C=AU"
    assert certificate.issuer == certificate.subject
    assert certificate.not_valid_before_utc == start
    assert certificate.not_valid_after_utc - start == VALIDITY == dt.timedelta(days=10_000)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    certificate.verify_directly_issued_by(certificate)


def test_a_new_certificate_is_valid_now() -> None:
    certificate = x509.load_pem_x509_certificate(self_signed_pem()[0])
    assert certificate.not_valid_before_utc < dt.datetime.now(dt.UTC) < certificate.not_valid_after_utc


@pytest.mark.parametrize(
    ("highest", "agreed"), [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]
)
def test_serves_both_current_tls_versions(highest: ssl.TLSVersion, agreed: str) -> None:
    assert handshake(self_signed_context(), trusting_anything(highest))[1] == agreed


def test_refuses_older_tls() -> None:
    assert self_signed_context().minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_client_that_pins_the_certificate_accepts_it(tmp_path: Path) -> None:
    context = self_signed_context(tmp_path)
    pinning = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    pinning.check_hostname = False
    handshake(context, pinning)


def test_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    self_signed_context()
    assert list(tmp_path.iterdir()) == []


def test_each_context_has_a_certificate_of_its_own() -> None:
    shown = {handshake(self_signed_context(), trusting_anything())[0] for _ in range(3)}
    assert len(shown) == 3


def test_a_directory_keeps_the_certificate_for_the_next_start(tmp_path: Path) -> None:
    directory = tmp_path / "node-01"
    first = handshake(self_signed_context(directory), trusting_anything())[0]
    second = handshake(self_signed_context(directory), trusting_anything())[0]
    assert first == second
    assert sorted(path.name for path in directory.iterdir()) == ["cert.pem", "key.pem"]
    assert stat.S_IMODE((directory / "key.pem").stat().st_mode) == 0o600
