#!/usr/bin/env python3
"""Take the picture of a room's page for the documentation: Chromium, and a conversation made up for it.

Usage: python ci/room_picture.py [PNG]     (default: docs/room.png)
"""

import asyncio
import json
import os
import shutil
import sys
from base64 import b64encode
from pathlib import Path

from aiohttp import web
from playwright.async_api import async_playwright

from session_protocol.accounts import Account
from session_protocol.community import auth_headers, sign_community_message
from session_protocol.content import build_content
from session_protocol.padding import pad
from session_testnet.clock import Clock
from session_testnet.services.community import CommunityServer
from session_testnet.services.exchange import ServiceRequest
from session_testnet.topology import RoomSpec
from session_testnet.trace import Trace

START_MS = 1_767_261_600_000
MINUTE_MS = 60_000
PORT = 22021
ROOM = RoomSpec("lobby", "The lobby", "Questions about this testnet, and now and then an answer.")
TARGET = "/room/lobby/message"

# Who writes what, and which message before that answers: 1 is the one just before.
CONVERSATION = (
    (
        "Alice",
        "Welcome! What a node can be made to do wrong is listed at https://example.org/testnet#faults",
        0,
    ),
    ("Bob", "Does a node that was stopped forget what it stored?", 0),
    ("Charlie", "No. It refuses connections, and has everything when it starts again.", 1),
    ("Bob", "And this page learns of new messages by itself?", 0),
    ("Alice", "Every three seconds, as long as somebody looks at it.", 1),
)


def post(server: CommunityServer, name: str, text: str, now_ms: int, answered: tuple[int, str] | None) -> str:
    """Post a message as an app does and return the id that its author has on this server."""
    account, key = Account.from_seed(name.encode().ljust(32, b".")), bytes.fromhex(server.public_key)
    content = {"kind": "text", "body": text, "timestamp_ms": now_ms, "profile": {"display_name": name}}
    if answered is not None:
        content["quote"] = {"timestamp_ms": answered[0], "author": answered[1]}
    data = pad(build_content(content))
    signature = sign_community_message(account, key, data, blinded=True)
    body = json.dumps({"data": b64encode(data).decode(), "signature": b64encode(signature).decode()}).encode()
    headers = auth_headers(
        account, key, "POST", TARGET, body, nonce=os.urandom(16), timestamp_s=now_ms // 1000
    )
    request = ServiceRequest.from_target(
        "POST", TARGET, {**headers, "Content-Type": "application/json"}, body
    )
    answer = server.handle(request)
    if not answer.is_success:
        raise SystemExit(f"the message was refused with {answer.status}: {answer.body!r}")
    session_id: str = json.loads(answer.body)["session_id"]
    return session_id


def hold_conversation() -> CommunityServer:
    """Return a server whose room has the conversation in it, a message a minute."""
    clock = Clock(lambda: START_MS * 1_000_000)
    server = CommunityServer(bytes(range(32)), clock=clock, trace=Trace(clock), rooms=(ROOM,))
    said: list[tuple[int, str]] = []
    for name, text, back in CONVERSATION:
        clock.move(MINUTE_MS)
        now_ms = clock.now_ms()
        said.append((now_ms, post(server, name, text, now_ms, said[-back] if back else None)))
    return server


async def take(target: Path) -> None:
    """Serve the room, and write what a browser shows of it."""
    server = hold_conversation()
    runner = web.AppRunner(server.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = await browser.new_page(
            viewport={"width": 1040, "height": 780}, locale="en-GB", timezone_id="UTC"
        )
        await page.goto(server.join_url(f"http://127.0.0.1:{PORT}", ROOM.token))
        await page.screenshot(path=target)
        await browser.close()
    await runner.cleanup()
    server.close()


if __name__ == "__main__":
    picture = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/room.png")
    asyncio.run(take(picture))
    sys.stdout.write(f"{picture}\n")
