"""Fields: ordered field lines, case kept, compared without case (RFC 9110, 5).

A line is checked once, when it is made, and carries the bytes it is written as. So a line that exists may be written,
and writing a message is joining the bytes of its lines: there is no other way for a field to reach the wire.
Lines are immutable and shared: most lines of most messages were seen before (`User-Agent`, `Accept`, `Server`), and
readers keep those in a `Memory`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, overload

Text = str | bytes

# RFC 9110, 5.1 (token) and 5.5 (field-vchar, SP, HTAB, obs-text; no leading or trailing white space).
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")

# Fields of one connection (RFC 9110, 7.6.1) and of framing: readers take them off, writers make their own.
HOP_BY_HOP: frozenset[bytes] = frozenset(
    (
        b"connection",
        b"content-length",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    )
)


class FieldLine(NamedTuple):
    """One checked line. `key` is the name in lower case, `wire` the whole line with its CRLF."""

    key: bytes
    name: bytes
    value: bytes
    wire: bytes


MAX_REMEMBERED_LINES = 2048
MAX_REMEMBERED_LINE_BYTES = 512


class Memory(dict[bytes, FieldLine]):
    """Lines seen before, bounded: when it is full it forgets everything, which costs less than keeping order."""

    __slots__ = ()

    def keep(self, raw: bytes, line: FieldLine) -> FieldLine:
        """Remember `line` under `raw` when it is short enough, and return it."""
        if len(raw) <= MAX_REMEMBERED_LINE_BYTES:
            if len(self) >= MAX_REMEMBERED_LINES:
                self.clear()
            self[raw] = line
        return line


def field_line(name: Text, value: Text) -> FieldLine:
    """The checked line of one field.

    Raises ValueError for a name that is not a token and for a value with control bytes or outer white space, so that
    neither a rewrite nor a script can inject a line (text outside Latin-1 is refused as well).
    """
    raw_name = name.encode("latin-1", "replace") if isinstance(name, str) else name
    try:
        raw_value = value.encode("latin-1") if isinstance(value, str) else value
    except UnicodeEncodeError:
        raise ValueError(f"the value of field {name!r} has characters outside Latin-1; encode it first") from None
    if _NAME.fullmatch(raw_name) is None:
        raise ValueError(f"{name!r} is not a field name: use letters, digits and !#$%&'*+-.^_`|~")
    if _VALUE.fullmatch(raw_value) is None:
        raise ValueError(f"the value of field {name!r} has control characters or outer white space: {raw_value!r}")
    return FieldLine(raw_name.lower(), raw_name, raw_value, b"%b: %b\r\n" % (raw_name, raw_value))


def key_of(name: Text) -> bytes:
    """The form under which names are compared."""
    return (name.encode("latin-1", "replace") if isinstance(name, str) else name).lower()


class Fields:
    """The field lines of a message or of a trailer section, in order.

    Text goes in and out as `str` (Latin-1) in the friendly methods; `first`, `every` and `lines` are the exact bytes.
    Names of HOP_BY_HOP are refused by `set` and `add`: framing comes from the body, connections look after themselves.
    """

    __slots__ = ("lines",)

    def __init__(self, pairs: Iterable[tuple[Text, Text]] = ()) -> None:
        self.lines: list[FieldLine] = []
        if pairs:
            for name, value in pairs:
                self.add(name, value)

    @staticmethod
    def of(lines: list[FieldLine]) -> Fields:
        """Fields that own `lines`."""
        fields = Fields()
        fields.lines = lines
        return fields

    def first(self, key: bytes) -> bytes | None:
        """The value of the first line named `key` (lower case), else None."""
        for line in self.lines:
            if line[0] == key:
                return line[2]
        return None

    def every(self, key: bytes) -> list[bytes]:
        """The values of all lines named `key` (lower case), in order."""
        return [line[2] for line in self.lines if line[0] == key]

    @overload
    def get(self, name: Text, default: str) -> str: ...
    @overload
    def get(self, name: Text, default: None = None) -> str | None: ...
    def get(self, name: Text, default: str | None = None) -> str | None:
        """The value, several lines joined with ", " (RFC 9110, 5.3), else `default`."""
        values = self.every(key_of(name))
        return b", ".join(values).decode("latin-1") if values else default

    def get_all(self, name: Text) -> list[str]:
        """One value for each line of that name."""
        return [value.decode("latin-1") for value in self.every(key_of(name))]

    def set(self, name: Text, value: Text) -> None:
        """Make this the only line of that name; it takes the place of the first one."""
        line = _own_line(name, value)
        for place, old in enumerate(self.lines):
            if old.key == line.key:
                self.lines[place] = line
                self.lines[place + 1 :] = [later for later in self.lines[place + 1 :] if later.key != line.key]
                return
        self.lines.append(line)

    def add(self, name: Text, value: Text) -> None:
        """Append a line, keeping others of that name."""
        self.lines.append(_own_line(name, value))

    def remove(self, *names: Text) -> None:
        """Take off every line of these names."""
        keys = {key_of(name) for name in names}
        self.lines = [line for line in self.lines if line.key not in keys]

    def copy(self) -> Fields:
        """Fields with the same lines, changed independently."""
        return Fields.of(self.lines.copy())

    def __getitem__(self, name: Text) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: Text, value: Text) -> None:
        self.set(name, value)

    def __delitem__(self, name: Text) -> None:
        self.remove(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str | bytes) and self.first(key_of(name)) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter([(line.name.decode("latin-1"), line.value.decode("latin-1")) for line in self.lines])

    def __len__(self) -> int:
        return len(self.lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and self.lines == other.lines

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Fields({list(self)!r})"


def _own_line(name: Text, value: Text) -> FieldLine:
    line = field_line(name, value)
    if line.key in HOP_BY_HOP:
        raise ValueError(f"{line.name.decode()} belongs to one connection and is written by Interpose itself")
    return line
