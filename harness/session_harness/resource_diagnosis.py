"""Look at what a testnet takes from this machine: libsodium, OMQ, ports, disk space, the clock, a browser."""

import errno
import shutil
import socket
import tempfile
import time
from importlib import metadata
from typing import Final

from session_harness.diagnosis import Finding, Weight
from session_harness.serving import REGISTRY_PORT

LEAST_DISK_BYTES: Final = 200 << 20
# No machine that runs this has a right clock that shows less: 2025-01-01, in seconds since 1970.
EARLIEST_TIME_S: Final = 1_735_689_600
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")


def examine_resources() -> list[Finding]:
    """Return what is found, one finding a subject."""
    return [_libsodium(), _omq(), _ports(), _disk(), _clock(), _browser()]


def _libsodium() -> Finding:
    try:
        from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair

        public, secret = crypto_sign_seed_keypair(bytes(32))
        works = crypto_sign_open(crypto_sign(b"doctor", secret), public) == b"doctor"
    except Exception as error:  # noqa: BLE001 - whatever a broken library raises is the finding
        return Finding(
            "libsodium",
            fine=False,
            text=f"does not load: {error}; mend: pip install --force-reinstall pynacl",
        )
    text = f"signs and verifies (PyNaCl {metadata.version('pynacl')})"
    return Finding("libsodium", works, text if works else "signs wrongly; mend: install PyNaCl again")


def _omq() -> Finding:
    try:
        import zmq
    except ImportError:
        text = "nodes speak HTTPS alone; mend: pip install 'session-harness[omq]'"
        return Finding("OMQ", fine=False, text=text, weight=Weight.OPTIONAL)
    if not zmq.has("curve"):
        text = f"ZeroMQ {zmq.zmq_version()} has no CURVE; mend: install the wheel of pyzmq from PyPI"
        return Finding("OMQ", fine=False, text=text, weight=Weight.OPTIONAL)
    return Finding("OMQ", fine=True, text=f"ZeroMQ {zmq.zmq_version()} with CURVE", weight=Weight.OPTIONAL)


def _ports() -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", REGISTRY_PORT))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = "is taken" if taken else f"cannot be bound: {error.strerror}"
            text = f"{REGISTRY_PORT} {reason}; mend: end what uses it, or leave --fixed-ports out"
            return Finding("ports", fine=False, text=text, weight=Weight.OPTIONAL)
    return Finding(
        "ports", fine=True, text=f"{REGISTRY_PORT} is free for --fixed-ports", weight=Weight.OPTIONAL
    )


def _disk() -> Finding:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    text = f"{free >> 20} MiB free in {folder}"
    if free < LEAST_DISK_BYTES:
        text += f", {LEAST_DISK_BYTES >> 20} are needed; mend: free some, or set TMPDIR"
    return Finding("disk", free >= LEAST_DISK_BYTES, text)


def _clock() -> Finding:
    now_s = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now_s))
    if now_s < EARLIEST_TIME_S:
        return Finding("clock", fine=False, text=f"{shown} is past; mend: set the clock, as by NTP")
    return Finding("clock", fine=True, text=shown)


def _browser() -> Finding:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    text = found or "not installed, and only tests in a browser need it; mend: apt install chromium"
    return Finding("Chromium", found is not None, text, Weight.OPTIONAL)
