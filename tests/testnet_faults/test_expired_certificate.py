"""Certificates that expire while a server runs, as clients see them."""

import asyncio
import datetime as dt
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from session_testnet.certificates import expired_context, self_signed_context, show_instead
from session_testnet.faults import FaultBook, FaultError, RuleGate
from session_testnet.trace import Trace

if TYPE_CHECKING:
    from conftest import Run


async def shown(address: tuple[str, int], version: ssl.TLSVersion, name: str | None) -> x509.Certificate:
    """Return the certificate that a client is shown which verifies nothing, like all towards nodes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    # A client that names no server has an empty name here.
    _, writer = await asyncio.open_connection(*address, ssl=context, server_hostname=name or "")
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return x509.load_der_x509_certificate(certificate)


@pytest.mark.parametrize("name", ["localhost", None])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_rule_lets_a_certificate_expire_and_clearing_it_renews_it(
    run: "Run", version: ssl.TLSVersion, name: str | None
) -> None:
    async def work() -> None:
        book, trace = FaultBook(), Trace()
        gate = RuleGate(book, trace, lambda _node, _account: {})
        context = self_signed_context()
        show_instead(context, expired_context, lambda: gate.shows_expired_certificate("node-01"))
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        address = server.sockets[0].getsockname()
        before = await shown(address, version, name)
        rule_id = book.add({"action": "expired_certificate", "node": "node-01"})
        during = await shown(address, version, name)
        book.clear(rule_id)
        after = await shown(address, version, name)
        server.close()
        await server.wait_closed()
        now = dt.datetime.now(dt.UTC)
        assert during.not_valid_before_utc < during.not_valid_after_utc < now
        assert before == after != during
        assert before.not_valid_after_utc > now
        assert [(event["node"], event["rule"]) for event in trace.events(kind="fault")] == [
            ("node-01", rule_id)
        ]
        # The server's side of the last handshake still ends.
        await asyncio.sleep(0)

    run(work())


@pytest.mark.parametrize("key", ["times", "probability", "methods"])
def test_a_handshake_is_not_counted(key: str) -> None:
    with pytest.raises(FaultError, match=f"takes no {key!r}"):
        FaultBook().add({"action": "expired_certificate", key: ["store"] if key == "methods" else 1})
