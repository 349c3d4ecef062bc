"""Serve a web application at a socket that listens already."""

import socket
import ssl

from aiohttp import web

from session_testnet.services.http_runner import http_runner

# How long a service may take to end its open requests when it is stopped, in seconds.
SHUTDOWN_S = 0.5


async def serve(
    application: web.Application, listener: socket.socket, tls: ssl.SSLContext | None = None
) -> web.AppRunner:
    """Serve an application at a listening socket, over TLS if there is a context for it."""
    runner = http_runner(application, shutdown_s=SHUTDOWN_S)
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=tls).start()
    return runner
