"""Where a judged server is, and what is known of it: the text behind ``--testee`` of a server."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from session_conformance.contract.errors import TesteeSpecError

CONTROL_TOKEN_VARIABLE: Final = "SESSION_HARNESS_CONTROL_TOKEN"  # noqa: S105  # a name
"""The environment variable with the token of a community's control endpoint; it is in no report."""

_KEY: Final = re.compile("[0-9a-fA-F]{64}")


class ServerKind(StrEnum):
    """Say what a server is: each kind has suites of its own."""

    STORAGE = "storage"
    FILES = "files"
    COMMUNITY = "community"

    @property
    def suites(self) -> tuple[str, ...]:
        """Return the names of the suites that judge such a server."""
        return _SUITES[self]


_SUITES: Final = {
    ServerKind.STORAGE: ("node_messages", "node_changes", "node_access", "node_batches", "node_network"),
    ServerKind.FILES: ("file_server",),
    ServerKind.COMMUNITY: ("community_access", "community_posts", "community_batches"),
}
_OPTIONS: Final = {
    ServerKind.STORAGE: {"registry"},
    ServerKind.FILES: {"public-key"},
    ServerKind.COMMUNITY: {"public-key"},
}


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Hold the URLs of a server, without a slash at the end, and the keys that are known.

    ``registry`` is the base URL of the registry that lists the nodes. ``public_key`` is the X25519 key as 64
    hex digits; empty when it is not known.
    """

    kind: ServerKind
    urls: tuple[str, ...]
    registry: str = ""
    public_key: str = ""


def is_server(prefix: str) -> bool:
    """Tell whether a testee of this prefix (``storage:…``) is a server."""
    return prefix in {"own", *ServerKind}


def parse_address(text: str) -> ServerAddress:
    """Read ``storage:URL[,URL…][;registry=URL]``, ``files:URL[;public-key=HEX]`` or ``community:URL[;…]``.

    Raise TesteeSpecError.
    """
    prefix, _, rest = text.partition(":")
    kind = ServerKind(prefix)
    places, *given = rest.split(";")
    options: dict[str, str] = {}
    for option in given:
        name, _, value = option.partition("=")
        if name not in _OPTIONS[kind]:
            raise TesteeSpecError(
                f"server {text!r}: there is no option {name!r}",
                hint=f"a {kind} server takes {', '.join(sorted(_OPTIONS[kind]))}",
            )
        options[name] = value
    urls = tuple(_checked_url(url) for url in places.split(","))
    if kind is not ServerKind.STORAGE and len(urls) != 1:
        raise TesteeSpecError(f"server {text!r}: a {kind} server has one URL", hint="judge them one by one")
    key = options.get("public-key", "")
    if key and not _KEY.fullmatch(key):
        raise TesteeSpecError(
            f"server {text!r}: the public key is not 64 hex digits", hint="give the X25519 key in hex"
        )
    registry = _checked_url(options["registry"]) if "registry" in options else ""
    return ServerAddress(kind, urls, registry=registry, public_key=key.lower())


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or parts.username:
        raise TesteeSpecError(
            f"{url!r} is not the URL of a server", hint="write http://HOST:PORT or https://HOST:PORT"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")
