"""HTTP answers with exactly the content types that real servers send.

aiohttp's own helpers add a charset parameter; Desktop compares the header with ``application/json`` and then
refuses the whole node list (network §3.1).
"""

from typing import Any

import orjson
from aiohttp import web


def json_response(data: Any, status: int = 200) -> web.Response:
    """Answer with JSON and the content type ``application/json``, without a charset."""
    return web.Response(body=orjson.dumps(data), status=status, headers={"Content-Type": "application/json"})


def text_response(text: str, status: int) -> web.Response:
    """Answer with a bare text and the content type ``text/plain``."""
    return web.Response(body=text.encode(), status=status, headers={"Content-Type": "text/plain"})
