"""Describe once how a field of the neutral object stands in a protobuf message, for both directions.

A table of fields writes a mapping into a message and reads it back; what one direction knows, so does the
other. A field that is absent on one side is absent on the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from google.protobuf.message import Message

from session_protocol.errors import InvalidArgument
from session_protocol.proto.reading import read_text


class Codec(Protocol):
    """Convert one value between its JSON form and its protobuf form."""

    def to_wire(self, value: Any, where: str) -> Any:
        """Return the protobuf value; InvalidArgument names ``where`` the JSON value cannot be written."""

    def to_json(self, value: Any) -> Any:
        """Return the JSON value; BadFormat for text that is not UTF-8."""


class _Text:
    def to_wire(self, value: Any, where: str) -> str:
        if not isinstance(value, str):
            raise InvalidArgument(f"{where} must be text, not {type(value).__name__}")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArgument(f"{where} has a lone surrogate, which UTF-8 cannot write") from None
        return value

    def to_json(self, value: Any) -> str:
        return read_text(value)


class _Hex:
    def to_wire(self, value: Any, where: str) -> bytes:
        # bytes.fromhex forgives white space.
        if not isinstance(value, str) or (value and not (value.isascii() and value.isalnum())):
            raise InvalidArgument(f"{where} must be hexadecimal text")
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise InvalidArgument(f"{where} must be hexadecimal text") from None

    def to_json(self, value: Any) -> str:
        return bytes(value).hex()


@dataclass(frozen=True, slots=True)
class _Unsigned:
    bits: int

    def to_wire(self, value: Any, where: str) -> int:
        number = value if isinstance(value, int) and not isinstance(value, bool) else -1
        if not 0 <= number < 1 << self.bits:
            raise InvalidArgument(f"{where} must be an integer below 2^{self.bits}, not {value!r:.40}")
        return number

    def to_json(self, value: Any) -> int:
        return int(value)


class _Flag:
    def to_wire(self, value: Any, where: str) -> bool:
        if not isinstance(value, bool):
            raise InvalidArgument(f"{where} must be true or false, not {value!r:.40}")
        return value

    def to_json(self, value: Any) -> bool:
        return bool(value)


class Choice:
    """One of a few values with a protobuf number each."""

    def __init__(self, numbers: Mapping[Any, int]) -> None:
        self._numbers: dict[Any, int] = {value: int(number) for value, number in numbers.items()}
        self._values: dict[int, Any] = {number: value for value, number in self._numbers.items()}

    def to_wire(self, value: Any, where: str) -> int:
        """Return the number; InvalidArgument for a value that has none."""
        for known, number in self._numbers.items():
            # 0 and 1 equal False and True, but are none of them.
            if type(value) is type(known) and value == known:
                return number
        wish = ", ".join(str(known) for known in self._numbers)
        raise InvalidArgument(f"{where} must be one of {wish}, not {value!r:.40}")

    def to_json(self, value: Any) -> Any:
        """Return the value; protobuf itself keeps unknown numbers away."""
        return self._values[value]


TEXT: Final = _Text()
HEX: Final = _Hex()
FLAG: Final = _Flag()
U32: Final = _Unsigned(32)
U64: Final = _Unsigned(64)


class Field(Protocol):
    """One row of a table: a key of the neutral object and where its value stands in the message."""

    @property
    def key(self) -> str:
        """Return the key in the neutral object."""

    def write(self, message: Message, source: Mapping[str, Any], where: str) -> None:
        """Put the value into the message; InvalidArgument when it is required and missing, or wrong."""

    def read(self, message: Message, target: dict[str, Any]) -> None:
        """Put the value into the neutral object if the message has it."""


Table = Sequence[Field]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value."""

    key: str
    attribute: str
    codec: Codec
    required: bool = False

    def write(self, message: Message, source: Mapping[str, Any], where: str) -> None:
        """Set the attribute from the key."""
        value = _value(source, self.key, where, required=self.required)
        if value is not None:
            setattr(message, self.attribute, self.codec.to_wire(value, _join(where, self.key)))

    def read(self, message: Message, target: dict[str, Any]) -> None:
        """Read the attribute if it is set."""
        if message.HasField(self.attribute):
            target[self.key] = self.codec.to_json(getattr(message, self.attribute))


@dataclass(frozen=True, slots=True)
class Bit:
    """A flag that is one bit of a number: present only when true."""

    key: str
    attribute: str
    mask: int

    def write(self, message: Message, source: Mapping[str, Any], where: str) -> None:
        """Set the bit."""
        value = _value(source, self.key, where, required=False)
        if value is not None and FLAG.to_wire(value, _join(where, self.key)):
            setattr(message, self.attribute, getattr(message, self.attribute) | self.mask)

    def read(self, message: Message, target: dict[str, Any]) -> None:
        """Read the bit."""
        if getattr(message, self.attribute) & self.mask:
            target[self.key] = True


@dataclass(frozen=True, slots=True)
class Values:
    """A list of values; with ``always`` an empty one is told, too."""

    key: str
    attribute: str
    codec: Codec
    always: bool = False

    def write(self, message: Message, source: Mapping[str, Any], where: str) -> None:
        """Extend the repeated field."""
        items = _items(source, self.key, where)
        path = _join(where, self.key)
        getattr(message, self.attribute).extend(
            [self.codec.to_wire(item, f"{path}[{index}]") for index, item in enumerate(items)]
        )

    def read(self, message: Message, target: dict[str, Any]) -> None:
        """Read the repeated field."""
        values = [self.codec.to_json(value) for value in getattr(message, self.attribute)]
        if values or self.always:
            target[self.key] = values


@dataclass(frozen=True, slots=True)
class Nested:
    """A message inside the message."""

    key: str
    attribute: str
    table: Table

    def write(self, message: Message, source: Mapping[str, Any], where: str) -> None:
        """Write the inner object."""
        value = _value(source, self.key, where, required=False)
        if value is not None:
            write_message(getattr(message, self.attribute), self.table, value, _join(where, self.key))

    def read(self, message: Message, target: dict[str, Any]) -> None:
        """Read the inner message if it is there."""
        if message.HasField(self.attribute):
            target[self.key] = read_message(getattr(message, self.attribute), self.table)


@dataclass(frozen=True, slots=True)
class NestedList:
    """A list of messages inside the message."""

    key: str
    attribute: str
    table: Table

    def write(self, message: Message, source: Mapping[str, Any], where: str) -> None:
        """Write the inner objects."""
        path = _join(where, self.key)
        for index, item in enumerate(_items(source, self.key, where)):
            write_message(getattr(message, self.attribute).add(), self.table, item, f"{path}[{index}]")

    def read(self, message: Message, target: dict[str, Any]) -> None:
        """Read the inner messages if there are any."""
        items = [read_message(item, self.table) for item in getattr(message, self.attribute)]
        if items:
            target[self.key] = items


def write_message(message: Message, table: Table, source: Any, where: str) -> None:
    """Write a neutral object into ``message``, which counts as present even when nothing is written."""
    if not isinstance(source, Mapping):
        raise InvalidArgument(f"{where} must be an object, not {type(source).__name__}")
    message.SetInParent()
    for field in table:
        field.write(message, source, where)


def read_message(message: Message, table: Table) -> dict[str, Any]:
    """Read ``message`` as a neutral object."""
    target: dict[str, Any] = {}
    for field in table:
        field.read(message, target)
    return target


def _value(source: Mapping[str, Any], key: str, where: str, *, required: bool) -> Any:
    value = source.get(key)
    if value is None and required:
        raise InvalidArgument(f"{_join(where, key)} is missing")
    return value


def _items(source: Mapping[str, Any], key: str, where: str) -> Sequence[Any]:
    value = source.get(key)
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise InvalidArgument(f"{_join(where, key)} must be a list, not {type(value).__name__}")
    return value


def _join(where: str, key: str) -> str:
    return f"{where}.{key}"
