"""Make pages of templates: all that goes in is escaped, and nothing in them can run but our own script."""

import base64
import functools
import hashlib
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from session_testnet.services.exchange import HTML_TYPE, ServiceResponse

_PACKAGE: Final = "session_testnet.services.community.web"

SAFE_HEADERS: Final = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""What every answer to a browser carries."""


def page(template: str, status: int = 200, **values: Any) -> ServiceResponse:
    """Answer with a page."""
    assets = {"style": _asset("page.css"), "script": _asset("page.js")}
    html = _environment().get_template(template).render(assets=assets, **values)
    headers = {
        "content-type": HTML_TYPE,
        "content-security-policy": content_security_policy(),
        **SAFE_HEADERS,
    }
    return ServiceResponse(status, headers, html.encode())


def fragment(template: str, **values: Any) -> str:
    """Return a piece of a page as HTML."""
    return _environment().get_template(template).render(**values)


@functools.cache
def content_security_policy() -> str:
    """Return the policy of all pages: no foreign resource, and of scripts and styles only ours, by hash."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest('page.js')}'",
            f"style-src '{_digest('page.css')}'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@functools.cache
def _asset(name: str) -> Markup:
    text = resources.files(_PACKAGE).joinpath("templates", name).read_text("utf-8")
    return Markup(text)  # noqa: S704 - a file of this package


def _digest(name: str) -> str:
    digest = hashlib.sha256(_asset(name).encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
