"""What two flows differ in: what was asked, what was answered, how it went. Not when, and not by which connection."""

from __future__ import annotations

from typing import Any

import msgspec

from interpose.console.flow_views import Flow, Pairs

_COMPARED = ("kind", "method", "url", "status", "reason", "version", "user", "listener", "route", "failure", "detail")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What `a` and `b` say at one place; null where there is nothing."""

    where: str
    a: Any
    b: Any


def differences(a: Flow, b: Flow, contents: dict[str, tuple[bytes, bytes]]) -> list[Difference]:
    """The places where two flows differ. `contents`: those of request and response, of both."""
    found = [
        Difference(where=name, a=getattr(a, name), b=getattr(b, name))
        for name in _COMPARED
        if getattr(a, name) != getattr(b, name)
    ]
    for side in ("request", "response"):
        left, right = getattr(a, side), getattr(b, side)
        found += _of_fields(f"{side}.field", _by_name(left.fields), _by_name(right.fields))
        if left.size != right.size:
            found.append(Difference(where=f"{side}.size", a=left.size, b=right.size))
        one, other = contents[side]
        if one != other:
            found.append(Difference(where=f"{side}.content", a=_in_words(one), b=_in_words(other)))
    return found + _of_fields("note", dict(a.notes), dict(b.notes))


def _of_fields(where: str, a: dict[str, str], b: dict[str, str]) -> list[Difference]:
    names = [*a, *(name for name in b if name not in a)]
    return [
        Difference(where=f"{where}.{name}", a=a.get(name), b=b.get(name))
        for name in names
        if a.get(name) != b.get(name)
    ]


def _by_name(fields: Pairs) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in fields:
        key = name.lower()
        values[key] = f"{values[key]}\n{value}" if key in values else value
    return values


def _in_words(content: bytes) -> str | None:
    """A short text as it is, of anything else how long it is."""
    if not content:
        return None
    try:
        text = content[:2000].decode()
    except UnicodeDecodeError:
        return f"({len(content)} octets)"
    return text if len(content) <= 2000 else f"{text}… ({len(content)} octets)"
