"""Protocol Buffers without their description: fields by number, as far as octets alone can tell.

A field with a length may be a message, a text or octets. It is taken for a message when all of it reads as one, and as
a text when it is one; the same octets can be either, so this is a guess and says nothing about the sender's types.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

MOST_FIELDS = 5000
DEEPEST = 8
SHOWN_OCTETS = 64

_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5


class NotProtobuf(ValueError):
    """These octets are something else."""


def protobuf_text(data: bytes) -> str:
    """The fields of a message, one a line. NotProtobuf."""
    budget = [MOST_FIELDS]
    return "\n".join(_lines(data, 0, budget))


def grpc_text(data: bytes) -> str:
    """The messages of a gRPC body: each behind an octet of flags and its length. NotProtobuf."""
    texts: list[str] = []
    place = 0
    while place < len(data):
        if len(data) - place < 5 or data[place] > 1:
            raise NotProtobuf
        size = int.from_bytes(data[place + 1 : place + 5], "big")
        message = data[place + 5 : place + 5 + size]
        if data[place] or len(message) < size:
            raise NotProtobuf
        texts.append(f"message {len(texts) + 1} ({size} octets)\n{protobuf_text(message)}")
        place += 5 + size
    return "\n\n".join(texts)


def _lines(data: bytes, depth: int, budget: list[int]) -> list[str]:
    lines: list[str] = []
    indent = "  " * depth
    for number, kind, value in _fields(data):
        budget[0] -= 1
        if budget[0] < 0:
            raise NotProtobuf
        if kind != _LENGTH:
            lines.append(f"{indent}{number}: {_number(kind, value)}")
            continue
        assert isinstance(value, bytes)
        text = _text(value)
        inner = None if text is not None or depth == DEEPEST else _inner(value, depth, budget)
        if inner:
            lines += (f"{indent}{number} {{", *inner, f"{indent}}}")
        elif text is not None:
            lines.append(f"{indent}{number}: {text}")
        else:
            more = "…" if len(value) > SHOWN_OCTETS else ""
            lines.append(f"{indent}{number}: {len(value)} octets {value[:SHOWN_OCTETS].hex(' ')}{more}")
    return lines


def _inner(value: bytes, depth: int, budget: list[int]) -> list[str] | None:
    try:
        return _lines(value, depth + 1, budget)
    except NotProtobuf:
        return None


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise NotProtobuf
        value: int | bytes
        if kind == _VARINT:
            value, place = _varint(data, place)
        else:
            size = {_EIGHT: 8, _FOUR: 4}.get(kind, -1)
            if kind == _LENGTH:
                size, place = _varint(data, place)
            if size < 0 or len(data) - place < size:
                raise NotProtobuf
            value = data[place : place + size]
            place += size
        yield number, kind, value


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data) and shift < 70:
        octet = data[place]
        place += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place
        shift += 7
    raise NotProtobuf


def _number(kind: int, value: int | bytes) -> str:
    if isinstance(value, int):
        return str(value)
    whole = int.from_bytes(value, "little")
    real = struct.unpack("<d" if kind == _EIGHT else "<f", value)[0]
    return f"{whole} (as a real number {real:g})"


def _text(value: bytes) -> str | None:
    """The text that these octets are, in quotes; None when they are none."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    if not all(character.isprintable() or character in "\n\r\t" for character in text):
        return None
    return msgspec.json.encode(text).decode()
