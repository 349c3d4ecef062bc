"""Build the adapter of a Session client in Python: copy this one file beside your adapter.

It needs nothing but Python 3.8 or newer. A whole adapter::

    from session_testee_kit import Adapter, Rejected, operation
    import my_client

    class MyTestee(Adapter):
        name = "my-client"
        version = my_client.__version__
        rejections = {my_client.DecryptError: "decrypt_failed"}

        @operation("identity.derive")
        def identity_derive(self, params):
            account = my_client.Account(params.hex("seed_hex"))
            return {"ed25519_pk": account.ed, "x25519_pk": account.x, "session_id": account.id}

    if __name__ == "__main__":
        MyTestee().serve()

Adapters of a few functions need no class: ``adapter = Adapter(name=…, version=…)`` and
``@adapter.operation("identity.derive")`` over functions that take ``params``.

The harness starts that program, writes one JSON request a line to its stdin and reads one JSON reply a line
from its stdout (testee-operations §1). The kit keeps the rules of that contract: it guards stdout against
stray prints (they go to stderr), flushes, answers ``unsupported`` to what you did not write, turns
exceptions into error replies, and derives the list of operations in ``hello`` from what is registered.

In results, ``bytes`` become lower-case hex by themselves. Requests are handled one at a time, in order.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Request = Mapping[str, Any]
    Reply = dict[str, Any]
    EventListener = Callable[[dict[str, Any]], None]

__all__ = ["CONTRACT", "MAX_LINE", "Adapter", "Params", "Rejected", "Unsupported", "operation"]

CONTRACT = 1
"""Version of the contract that this kit speaks."""

MAX_LINE = 16 * 1024 * 1024
"""Longest line of either direction, in bytes, line feed included."""

REQUIRED: Any = object()

_SETTINGS = ("name", "version", "language", "homepage", "issues", "features", "limits", "rejections")

_Function = TypeVar("_Function", bound="Callable[..., Any]")
_OPERATION_NAME = "__session_operation__"


class Rejected(Exception):
    """Say that the client refused the input: an answer which the protocol defines.

    `code` is one of the contract's codes: invalid_argument, invalid_length, bad_mnemonic_words,
    bad_mnemonic_word, bad_mnemonic_checksum, invalid_id, decrypt_failed, bad_signature, bad_padding,
    bad_format, unsupported_version, not_found, unauthorized, network_error, wrong_swarm, clock_skew,
    too_large, internal.
    """

    def __init__(self, code: str, message: str = "", **data: Any) -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message or code
        self.data = data


class Unsupported(Exception):
    """Say that this client does not implement the operation, or this variant of it."""

    def __init__(self, message: str = "not implemented", **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class Params(dict):  # type: ignore[type-arg]  # dict[str, Any] cannot be subscripted at run time before 3.9
    """The parameters of one request: a plain dict, plus readers that refuse what is missing or malformed.

    Every reader takes a default; without one the parameter is required. JSON ``null`` counts as missing.
    `account` is the account a stateful operation acts on.
    """

    __slots__ = ("account",)

    def __init__(self, values: Mapping[str, Any] | None = None, account: str | None = None) -> None:
        super().__init__(values or {})
        self.account = account

    def changed(self, **values: Any) -> Params:
        """Copy these parameters with some of them replaced."""
        copy = Params(self, self.account)
        copy.update(values)
        return copy

    def hex(self, name: str, default: Any = REQUIRED, *, length: int | None = None) -> Any:
        """Read binary data given as hex; `length` is the number of bytes it must have."""
        text = self._read(name, str, "hex text", default)
        if not isinstance(text, str):
            return text
        try:
            value = bytes.fromhex(text)
        except ValueError:
            raise Rejected("invalid_argument", f"{name} is not hex") from None
        if length is not None and len(value) != length:
            raise Rejected("invalid_length", f"{name} has {len(value)} bytes, needs {length}")
        return value

    def text(self, name: str, default: Any = REQUIRED) -> Any:
        """Read a string."""
        return self._read(name, str, "a string", default)

    def integer(self, name: str, default: Any = REQUIRED) -> Any:
        """Read an integer."""
        return self._read(name, int, "an integer", default)

    def flag(self, name: str, default: Any = REQUIRED) -> Any:
        """Read a boolean."""
        return self._read(name, bool, "true or false", default)

    def array(self, name: str, default: Any = REQUIRED) -> Any:
        """Read a list."""
        return self._read(name, list, "a list", default)

    def mapping(self, name: str, default: Any = REQUIRED) -> Any:
        """Read an object."""
        return self._read(name, dict, "an object", default)

    def _read(self, name: str, kind: type, words: str, default: Any) -> Any:
        value = self.get(name)
        if value is None:
            if default is REQUIRED:
                raise Rejected("invalid_argument", f"parameter {name} is missing")
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            found = type(value).__name__
            raise Rejected("invalid_argument", f"parameter {name} must be {words}, not {found}")
        return value


def operation(name: str) -> Callable[[_Function], _Function]:
    """Register a method of an `Adapter` subclass as the operation `name`.

    A further subclass may override the method without decorating it again, or withdraw the operation by
    setting the attribute to ``None``.
    """

    def register(function: _Function) -> _Function:
        @functools.wraps(function)
        def method(self: Adapter, params: Mapping[str, Any]) -> Any:
            return function(self, params if isinstance(params, Params) else Params(params))

        setattr(method, _OPERATION_NAME, name)
        return cast("_Function", method)

    return register


class Adapter:
    """One testee: what it is, what it can do, and how requests reach it.

    Set the class attributes (or pass `name`, `version` and the rest), register operations, then call
    `serve()`. `features` and `limits` are what `hello` declares (testee-operations §1.1). `rejections` maps
    exception classes of your library to codes, so that a handler need not catch them.
    """

    name: str = "unnamed"
    version: str = "0"
    language: str = "python"
    homepage: str = ""
    issues: str = ""
    features: Mapping[str, Any] = {}
    limits: Mapping[str, Any] = {}
    rejections: Mapping[type[BaseException], str] = {}

    def __init__(self, **attributes: Any) -> None:
        for attribute, value in attributes.items():
            if attribute not in _SETTINGS:
                raise TypeError(f"Adapter has no setting {attribute!r}; it has {', '.join(_SETTINGS)}")
            setattr(self, attribute, value)
        self.seed = 0
        """The seed that `hello` gave: derive from it whatever should be repeatable."""
        self.on_event: EventListener | None = None
        """Called with each event when this adapter runs inside the harness's own process."""
        self._handlers: dict[str, Callable[[Params], Any]] = {}
        self._output: BinaryIO | None = None
        self._output_lock = threading.Lock()
        for operation_name, attribute in _registered(type(self)).items():
            handler = getattr(self, attribute)
            if handler is not None:
                self._handlers[operation_name] = handler

    # What an adapter may add.

    def on_hello(self, params: Params) -> Mapping[str, Any]:  # noqa: ARG002  # for those who override it
        """Return fields that `hello` should add or replace; called once at the start."""
        return {}

    def on_reset(self) -> None:
        """Forget every account and all state: the harness asks for a clean testee in the same process."""

    def on_close(self) -> None:
        """Release what is held (connections, threads): the process is about to end."""

    def translate(self, error: BaseException) -> BaseException:
        """Turn an exception of the library into `Rejected` or `Unsupported`; by default from `rejections`."""
        for kind, code in self.rejections.items():
            if isinstance(error, kind):
                return Rejected(code, str(error))
        return error

    def operation(self, name: str) -> Callable[[_Function], _Function]:
        """Register a function of ``params`` as the operation `name`."""

        def register(function: _Function) -> _Function:
            self._handlers[name] = function
            return function

        return register

    @property
    def operations(self) -> list[str]:
        """Names of the operations that are registered, sorted."""
        return sorted(self._handlers)

    def emit(self, event: str, data: Mapping[str, Any], account: str | None = None) -> None:
        """Tell the harness what it did not ask for: a message, reaction, receipt, typing, error (§3.3)."""
        self._publish({"event": event, "account": account, "data": data})

    def log(self, level: str, message: str) -> None:
        """Add a line to the harness's record of this testee; never matters for a verdict."""
        self._publish({"event": "log", "level": level, "message": message})

    # How requests are answered.

    def handle(self, request: Request) -> Reply:
        """Answer one request object; every outcome, also a failure of the adapter, is a reply object."""
        request_id = request.get("id") if isinstance(request, dict) else None
        try:
            result = self._call(request)
            plain = _plain(result if result is not None else {})
            if not isinstance(plain, dict):
                raise TypeError(f"an operation must return a dict, not {type(result).__name__}")
            return {"id": request_id, "result": plain}
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001  # also SystemExit: a library must not end the adapter
            return {"id": request_id, "error": self._error(error)}

    def serve(self, source: BinaryIO | None = None, sink: BinaryIO | None = None) -> int:
        """Answer requests line by line until `bye` or the end of the input; returns the exit status.

        Without arguments it serves the process's own stdin and stdout, and from then on everything the
        process prints goes to stderr.
        """
        source = sys.stdin.buffer if source is None else source
        self._output = _claim_stdout() if sink is None else sink
        try:
            for request in _lines(source):
                if isinstance(request, str):
                    error = {"kind": "adapter", "code": "bad_format", "message": request, "data": {}}
                    self._write({"id": None, "error": error})
                    continue
                self._write(self.handle(request))
                if request.get("op") == "bye":
                    break
            else:
                self.on_close()
        except BrokenPipeError:
            return 1  # the harness is gone
        except KeyboardInterrupt:
            return 130
        return 0

    def _call(self, request: Request) -> Any:
        name = request.get("op")
        params = request.get("params")
        if not isinstance(name, str):
            raise Rejected("invalid_argument", "the request has no op")
        if params is not None and not isinstance(params, dict):
            raise Rejected("invalid_argument", "params must be an object")
        account = request.get("account")
        arguments = Params(params, account if isinstance(account, str) else None)
        if name == "hello":
            return self._hello(arguments)
        if name == "reset":
            return self.on_reset()
        if name == "bye":
            return self.on_close()
        handler = self._handlers.get(name)
        if handler is None:
            raise Unsupported(f"this testee has no operation {name}")
        return handler(arguments)

    def _hello(self, params: Params) -> Mapping[str, Any]:
        offered = params.array("contract", [CONTRACT])
        if CONTRACT not in offered:
            raise Rejected("unsupported_version", f"this kit speaks contract {CONTRACT}, not {offered}")
        self.seed = params.integer("seed", 0)
        hello = {
            "name": self.name,
            "version": self.version,
            "language": self.language,
            "contract": CONTRACT,
            "homepage": self.homepage,
            "issues": self.issues,
            "operations": self.operations,
            "features": dict(self.features),
            "limits": dict(self.limits),
        }
        hello.update(self.on_hello(params))
        return hello

    def _error(self, error: BaseException) -> dict[str, Any]:
        if not isinstance(error, (Rejected, Unsupported)):
            try:
                translated = self.translate(error)
            except Exception as failure:  # noqa: BLE001  # a broken translate() is the adapter's fault as well
                translated = failure
            translated.__cause__ = translated.__cause__ if translated is error else error
        else:
            translated = error
        if isinstance(translated, Rejected):
            return {
                "kind": "rejected",
                "code": translated.code,
                "message": translated.message,
                "data": _plain_or_text(translated.data),
            }
        if isinstance(translated, Unsupported):
            return {
                "kind": "unsupported",
                "code": "unsupported",
                "message": translated.message,
                "data": _plain_or_text(translated.data),
            }
        trace = "".join(traceback.format_exception(type(translated), translated, translated.__traceback__))
        message = f"{type(translated).__name__}: {translated}"
        return {"kind": "adapter", "code": "internal", "message": message, "data": {"traceback": trace}}

    def _publish(self, event: dict[str, Any]) -> None:
        plain = _plain(event)
        if self._output is not None:
            self._write(plain)
        elif self.on_event is not None:
            self.on_event(plain)

    def _write(self, message: dict[str, Any]) -> None:
        line = _encode(message)
        if len(line) > MAX_LINE:
            text = f"the line has {len(line)} bytes, the contract allows {MAX_LINE}: declare a limit"
            error = {"kind": "adapter", "code": "too_large", "message": text, "data": {}}
            line = _encode({"id": message.get("id"), "error": error})
        output = self._output
        assert output is not None, "serve() sets the output"
        with self._output_lock:
            output.write(line)
            output.flush()


def _registered(adapter: type) -> dict[str, str]:
    """Map each operation to the attribute that implements it, over the whole class hierarchy."""
    found: dict[str, str] = {}
    for ancestor in reversed(inspect.getmro(adapter)):
        for attribute, member in vars(ancestor).items():
            name = getattr(member, _OPERATION_NAME, None)
            if isinstance(name, str):
                found[name] = attribute
    return found


def _encode(message: Mapping[str, Any]) -> bytes:
    text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _plain(value: Any) -> Any:
    """Turn a result into what JSON can carry: bytes become hex, tuples lists; TypeError for anything odd."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"JSON cannot carry {value!r}")
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    raise TypeError(f"a reply cannot carry a value of type {type(value).__name__}")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a reply cannot carry a key of type {type(key).__name__}")
    return key


def _plain_or_text(value: Any) -> Any:
    try:
        return _plain(value)
    except TypeError:
        return {"text": repr(value)}


def _lines(source: BinaryIO) -> Iterable[Any]:
    """Yield each request as a dict, or a sentence that says what is wrong with the line."""
    while True:
        line = source.readline(MAX_LINE + 1)
        if not line:
            return
        if len(line) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = source.readline(MAX_LINE)
            yield f"a request line is longer than {MAX_LINE} bytes"
            continue
        if not line.strip():
            continue
        try:
            request = json.loads(line.decode("utf-8"))
        except ValueError as error:
            yield f"a request line is not JSON: {error}"
            continue
        yield request if isinstance(request, dict) else "a request must be a JSON object"


def _claim_stdout() -> BinaryIO:
    """Keep the real stdout for replies; what else the process prints, in Python or in C, goes to stderr."""
    sys.stdout.flush()
    replies = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return cast("BinaryIO", os.fdopen(replies, "wb"))
