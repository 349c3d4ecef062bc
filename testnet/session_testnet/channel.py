"""Ask and be asked over one byte stream: how the parts of a network in several processes talk to each other.

Frames are MessagePack with a length in front. Both ends may ask; requests are taken up in the order of their
arrival, and answered as they get done.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from session_testnet.hinted_error import HintedError, message_and_hint

# Larger than any transfer between nodes (9 MB) and any answer (10 MiB).
MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
_LENGTH_BYTES: Final = 4
_CALL, _RESULT, _REFUSAL, _NOTICE = range(4)

_logger: Final = logging.getLogger(__name__)

Answer = Callable[[str, Any], Awaitable[Any]]
Notice = Callable[[str, Any], None]


class ChannelClosed(Exception):
    """Say that the other end has gone, before or while it was asked."""


class ChannelTimeout(Exception):
    """Say what the other end did not answer in time."""


class ChannelRefusal(HintedError):
    """Carry an error of the other end; ``kind`` is the name of its class there."""

    def __init__(self, message: str, hint: str = "", kind: str = "") -> None:
        """Take what the other end says of its error."""
        super().__init__(message, hint)
        self.kind = kind


def no_notices(name: str, payload: Any) -> None:
    """Take no notice; for a channel whose other end only asks and answers."""
    raise ValueError(f"unexpected notice {name!r}: {payload!r:.100}")


class Channel:
    """One end of a channel over a stream.

    ``answer(name, payload)`` carries out what the other end asks; an exception of it travels back. Payloads
    are what MessagePack can carry, and dataclasses of that; they arrive as plain values.
    """

    def __init__(
        self,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Answer,
        notice: Notice = no_notices,
    ) -> None:
        """Take both directions of the stream; ``name`` is what errors call the other end."""
        self.name = name
        self._reader = reader
        self._writer = writer
        self._answer = answer
        self._notice = notice
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._encoder = msgspec.msgpack.Encoder()
        self._closed = asyncio.Event()
        self._reading = asyncio.create_task(self._read(), name=f"channel to {name}")

    @property
    def is_closed(self) -> bool:
        """Tell whether one of the ends has gone."""
        return self._closed.is_set()

    async def wait_closed(self) -> None:
        """Wait until one of the ends has gone."""
        await self._closed.wait()

    async def call(self, name: str, payload: Any = None, *, timeout_s: float) -> Any:
        """Ask the other end and return its answer.

        Raise ChannelRefusal with what it says, ChannelClosed when it goes, ChannelTimeout after ``timeout_s``
        seconds.
        """
        if self.is_closed:
            raise ChannelClosed(f"{self.name} has gone, and cannot be asked for {name}")
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(_CALL, number, name, payload)
            async with asyncio.timeout(timeout_s) as deadline:
                await self._writer.drain()
                return await answer
        except TimeoutError:
            if not deadline.expired():
                raise
            raise ChannelTimeout(f"waited {timeout_s:g} s for {self.name} to answer {name}") from None
        except ConnectionError as error:
            raise ChannelClosed(f"{self.name} has gone while it was asked for {name}") from error
        finally:
            self._waiting.pop(number, None)

    def tell(self, name: str, payload: Any = None) -> None:
        """Tell the other end something that wants no answer; nothing happens when it has gone."""
        if not self.is_closed:
            self._send(_NOTICE, 0, name, payload)

    async def close(self) -> None:
        """Close the stream and end what is still worked on; safe to call twice."""
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        self._ended()
        working = tuple(self._working)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self._writer.wait_closed(), 1)

    def _send(self, kind: int, number: int, name: str, payload: Any) -> None:
        frame = self._encoder.encode((kind, number, name, payload))
        if len(frame) > MAX_FRAME_BYTES:
            raise ValueError(f"{name} carries {len(frame)} bytes, and {MAX_FRAME_BYTES} is the most")
        self._writer.write(len(frame).to_bytes(_LENGTH_BYTES, "big") + frame)

    async def _read(self) -> None:
        try:
            while True:
                length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
                if length > MAX_FRAME_BYTES:
                    _logger.error("%s sent a frame of %d bytes", self.name, length)
                    return
                kind, number, name, payload = msgspec.msgpack.decode(await self._reader.readexactly(length))
                self._received(kind, number, name, payload)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except (msgspec.DecodeError, ValueError, TypeError):
            _logger.exception("%s sent what is no frame", self.name)
        finally:
            self._ended()

    def _received(self, kind: int, number: int, name: str, payload: Any) -> None:
        if kind == _CALL:
            task = asyncio.create_task(self._work(number, name, payload), name=f"{name} for {self.name}")
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        elif kind == _NOTICE:
            try:
                self._notice(name, payload)
            except Exception:
                _logger.exception("a notice of %s was not understood", self.name)
        elif (waiting := self._waiting.get(number)) is not None and not waiting.done():
            if kind == _RESULT:
                waiting.set_result(payload)
            else:
                waiting.set_exception(ChannelRefusal(*payload))

    async def _work(self, number: int, name: str, payload: Any) -> None:
        try:
            result = await self._answer(name, payload)
            self._send(_RESULT, number, name, result)
        except Exception as error:
            if not isinstance(error, HintedError):
                _logger.exception("failed to answer %s of %s", name, self.name)
            self._send(_REFUSAL, number, name, (*message_and_hint(error), type(error).__name__))

    def _ended(self) -> None:
        self._closed.set()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ChannelClosed(f"{self.name} has gone"))
                # Whoever waited may have been cancelled meanwhile; that is no reason to complain.
                waiting.exception()
        if not self._writer.is_closing():
            self._writer.close()
