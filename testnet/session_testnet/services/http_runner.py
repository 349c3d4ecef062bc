"""Put an application behind a socket; what a client writes that is no HTTP is no error of the server."""

import logging
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError


class _ServersFault(logging.Filter):
    """Drop tracebacks of requests that are no HTTP: they have been answered 400."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


_logger: Final = logging.getLogger(__name__)
_logger.addFilter(_ServersFault())


def http_runner(application: web.Application, *, shutdown_s: float) -> web.AppRunner:
    """Return a runner that leaves signals alone and gives open requests ``shutdown_s`` seconds to end."""
    return web.AppRunner(
        application,
        handle_signals=False,
        access_log=None,
        shutdown_timeout=shutdown_s,
        logger=_logger,
        # The servers of the network do not decompress requests: a compressed body is no JSON to them.
        auto_decompress=False,
    )
