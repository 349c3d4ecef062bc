"""HTTP as a client of the network uses it: POST and GET with a deadline, certificates of nodes unchecked."""

import asyncio
import io
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from session_testnet.client.errors import BadReply, ConnectionLost, DeadlineExceeded, Unreachable

MAX_REPLY_BYTES = 16 * 1024 * 1024
LARGE_BODY_BYTES = 1024 * 1024

# What the official clients send with every request (client-protocol §6.2).
CLIENT_HEADERS = {"User-Agent": "WhatsApp", "Accept-Language": "en-us"}


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer: status, body, and headers with lower-case names."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """Return the body as text, whatever bytes it holds."""
        return self.body.decode("utf-8", "backslashreplace")


class HttpClient:
    """Keep the connections of one client; opened with the first request, closed by :meth:`aclose`.

    Service nodes have self-signed certificates, which every real client accepts without a check (real-clients
    §0); `tls_verify` asks for one. `proxy_url` sends everything through a forward proxy.
    """

    def __init__(self, *, tls_verify: bool = False, proxy_url: str | None = None) -> None:
        self._tls_verify = tls_verify
        self._proxy_url = proxy_url
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        timeout_s: float,
        waiting_for: str,
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """Post bytes; raise Unreachable, ConnectionLost, DeadlineExceeded or BadReply, each with the URL."""
        return await self._request("POST", url, body, headers, timeout_s, waiting_for)

    async def get(self, url: str, *, timeout_s: float, waiting_for: str) -> HttpReply:
        """Get a URL; raises as :meth:`post`."""
        return await self._request("GET", url, None, None, timeout_s, waiting_for)

    async def aclose(self) -> None:
        """Close every connection; safe to call twice, and the next request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _request(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        timeout_s: float,
        waiting_for: str,
    ) -> HttpReply:
        if timeout_s <= 0:
            raise DeadlineExceeded(f"no time was left for {waiting_for} ({url})", url=url)
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._open().request(
                    method,
                    url,
                    data=_payload(body),
                    headers={**CLIENT_HEADERS, **(headers or {})},
                    proxy=self._proxy_url,
                    allow_redirects=False,
                ) as response,
            ):
                received = await _read(response, url)
                return HttpReply(
                    response.status,
                    received,
                    {name.lower(): value for name, value in response.headers.items()},
                )
        except TimeoutError:
            raise DeadlineExceeded(f"waited {timeout_s:g} s for {waiting_for} ({url})", url=url) from None
        except aiohttp.InvalidURL:
            raise Unreachable(f"{url!r} is not a URL ({waiting_for})", url=url) from None
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"cannot connect for {waiting_for} ({url}): {error}", url=url) from None
        except (aiohttp.ClientError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise ConnectionLost(f"connection lost during {waiting_for} ({url}): {reason}", url=url) from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._tls_verify, limit=0, keepalive_timeout=30)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # each request has its own deadline
                skip_auto_headers=("Content-Type",),
            )
        return self._session


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    """Give a large body as a stream, which aiohttp sends in pieces between other work of the loop."""
    return body if body is None or len(body) < LARGE_BODY_BYTES else io.BytesIO(body)


async def _read(response: aiohttp.ClientResponse, url: str) -> bytes:
    received = bytearray()
    async for chunk in response.content.iter_any():
        received += chunk
        if len(received) > MAX_REPLY_BYTES:
            raise BadReply(f"the answer of {url} is longer than {MAX_REPLY_BYTES} bytes", url=url)
    return bytes(received)
