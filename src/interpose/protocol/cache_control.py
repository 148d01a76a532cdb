"""What Cache-Control says, in requests and responses (RFC 9111, 5.2; RFC 5861; RFC 8246; RFC 9213).

Nothing here fails: what is not well-formed is read as the more cautious of what it could have meant. A directive that
forbids counts however its argument looks, one that permits only when it is well-formed, and a lifetime that is no
number is none at all (RFC 9111, 4.2.1: invalid freshness information makes a response stale).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from interpose.protocol import number
from interpose.protocol.structured import Item, dictionary

# RFC 9111, 1.2.2: what a number too great to represent becomes.
MOST_SECONDS = 2147483648

# Remembered by exact bytes: clients and origins say few different things.
_REMEMBERED = 512
_REMEMBERED_BYTES = 256

_ELEMENT = re.compile(rb'[^,"]*(?:"(?:[^"\\]|\\.)*"[^,"]*)*')
_NAME = re.compile(rb"[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)")
_ARGUMENT = re.compile(rb'=(?:([!#$%&\'*+\-.^_`|~0-9A-Za-z]+)|"((?:[^"\\]|\\.)*)")[ \t]*')
_DIGITS = re.compile(rb"[0-9]+")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_FIELD_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

_FORBIDDING = frozenset(
    (b"must-revalidate", b"no-cache", b"no-store", b"no-transform", b"private", b"proxy-revalidate")
)
_ABSENT = b""
_MALFORMED = b"\0"
"""Arguments that are none: there was no `=`; there was something that is neither token nor quoted string."""

_Directive = tuple[bytes, bytes]


class ResponseDirectives(NamedTuple):
    """What a response says to this cache. Durations are whole seconds; an invalid lifetime is 0.

    `no_cache_fields` and `private_fields` are names in lower case: those fields are meant, not the response.
    """

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    immutable: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    no_transform: bool = False
    no_cache_fields: frozenset[bytes] = frozenset()
    private_fields: frozenset[bytes] = frozenset()
    targeted_by: bytes = b""
    """The field that said so when it was not Cache-Control; Expires does not count then either (RFC 9213, 2.2)."""


class RequestDirectives(NamedTuple):
    """What a request says. Durations are whole seconds; `max_stale` is MOST_SECONDS when it has no limit."""

    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    max_stale: int | None = None
    min_fresh: int | None = None
    stale_if_error: int | None = None
    no_transform: bool = False


SILENT_REQUEST = RequestDirectives()
SILENT_RESPONSE = ResponseDirectives()


def request_directives(values: Sequence[bytes]) -> RequestDirectives:
    """What the Cache-Control lines of a request say."""
    if not values:
        return SILENT_REQUEST
    if len(values) == 1 and len(values[0]) <= _REMEMBERED_BYTES:
        return _request(values[0])
    return _request_of([pair for value in values for pair in directives(value)])


@lru_cache(maxsize=_REMEMBERED)
def _request(value: bytes) -> RequestDirectives:
    return _request_of(list(directives(value)))


def _request_of(pairs: list[_Directive]) -> RequestDirectives:
    names = {name for name, _ in pairs}
    max_stale = _lenient(pairs, b"max-stale")
    if {argument for name, argument in pairs if name == b"max-stale"} == {_ABSENT}:
        max_stale = MOST_SECONDS
    return RequestDirectives(
        no_store=b"no-store" in names,
        no_cache=b"no-cache" in names,
        only_if_cached=b"only-if-cached" in names,
        max_age=_strict(pairs, b"max-age"),
        max_stale=max_stale,
        min_fresh=_lenient(pairs, b"min-fresh"),
        stale_if_error=_lenient(pairs, b"stale-if-error"),
        no_transform=b"no-transform" in names,
    )


def response_directives(values: Sequence[bytes]) -> ResponseDirectives:
    """What the Cache-Control lines of a response say."""
    if not values:
        return SILENT_RESPONSE
    if len(values) == 1 and len(values[0]) <= _REMEMBERED_BYTES:
        return _response(values[0])
    return _response_of([pair for value in values for pair in directives(value)], b"")


@lru_cache(maxsize=_REMEMBERED)
def _response(value: bytes) -> ResponseDirectives:
    return _response_of(list(directives(value)), b"")


def targeted_directives(name: bytes, values: Sequence[bytes]) -> ResponseDirectives | None:
    """What a targeted field says (RFC 9213), None when it is empty or no structured field: then it does not count.

    Surrogate-Control is older than structured fields: it counts when a directive of it is known here.
    """
    if name == b"surrogate-control":
        pairs = [pair for value in values for pair in _for_surrogates(value)]
        return _response_of(pairs, name) if pairs else None
    members = dictionary(values)
    if not members:
        return None
    return _response_of([(key, _argument_of(key, item)) for key, item in members.items()], name)


def _argument_of(key: bytes, item: Item) -> bytes:
    """A member's value as the argument of a directive. A lifetime must be an integer: nothing is converted (2.1)."""
    if item.is_true:
        return _ABSENT
    if key in _DURATIONS:
        return _MALFORMED if item.integer is None or item.integer < 0 else b"%d" % item.integer
    return item.string or _MALFORMED


def _for_surrogates(value: bytes) -> Iterator[_Directive]:
    """The directives of Surrogate-Control that are known here; one for a device by name (`;name`) is not for us.

    `max-age=60+30` gives a response 30 more seconds to be served while it is validated.
    """
    for element in value.split(b","):
        directive = None if b";" in element else _directive(element)
        if directive is None:
            continue
        name, argument = directive
        if name in (b"no-store", b"no-cache"):
            yield name, _ABSENT
        elif name == b"max-age":
            first, plus, more = argument.partition(b"+")
            yield name, first
            if plus:
                yield b"stale-while-revalidate", more


def directives(value: bytes) -> Iterator[_Directive]:
    """Name in lower case and argument of each directive in one field line.

    A quoted string that does not end could hide what comes after it, so what forbids is still looked for there.
    """
    place = 0
    while place <= len(value):
        element = _ELEMENT.match(value, place)
        assert element is not None  # the pattern matches the empty string
        place = element.end()
        if value[place : place + 1] == b'"':
            for part in value[element.start() :].replace(b'"', b",").split(b","):
                directive = _directive(part)
                if directive is not None:
                    yield (directive[0], _ABSENT if directive[0] in _FORBIDDING else _MALFORMED)
            return
        directive = _directive(element[0])
        if directive is not None:
            yield directive
        place += 1


def _directive(element: bytes) -> _Directive | None:
    name = _NAME.match(element)
    if name is None:
        return None
    end = name.end()
    if not element[end:].strip(b" \t"):
        return name[1].lower(), _ABSENT
    argument = _ARGUMENT.fullmatch(element, end)
    if argument is None:
        return name[1].lower(), _MALFORMED
    quoted: bytes | None = argument[2]
    if quoted is None:
        return name[1].lower(), argument[1]
    return name[1].lower(), _ESCAPED.sub(rb"\1", quoted) or _MALFORMED


_DURATIONS = frozenset((b"max-age", b"s-maxage", b"stale-while-revalidate", b"stale-if-error"))


def _response_of(pairs: list[_Directive], targeted_by: bytes) -> ResponseDirectives:
    names = {name for name, _ in pairs}
    no_cache, no_cache_fields = _qualified(pairs, b"no-cache")
    private, private_fields = _qualified(pairs, b"private")
    return ResponseDirectives(
        no_store=b"no-store" in names,
        no_cache=no_cache,
        private=private,
        public=(b"public", _ABSENT) in pairs,
        must_revalidate=b"must-revalidate" in names,
        proxy_revalidate=b"proxy-revalidate" in names,
        must_understand=(b"must-understand", _ABSENT) in pairs,
        immutable=(b"immutable", _ABSENT) in pairs,
        max_age=_strict(pairs, b"max-age"),
        s_maxage=_strict(pairs, b"s-maxage"),
        stale_while_revalidate=_lenient(pairs, b"stale-while-revalidate"),
        stale_if_error=_lenient(pairs, b"stale-if-error"),
        no_transform=b"no-transform" in names,
        no_cache_fields=no_cache_fields,
        private_fields=private_fields,
        targeted_by=targeted_by,
    )


def _qualified(pairs: list[_Directive], wanted: bytes) -> tuple[bool, frozenset[bytes]]:
    """Whether the directive is there without field names (or with what are none), and the names it has elsewhere."""
    names: set[bytes] = set()
    for name, argument in pairs:
        if name == wanted:
            listed = [part.strip(b" \t").lower() for part in argument.split(b",")]
            if not all(_FIELD_NAME.fullmatch(part) for part in listed):
                return True, frozenset()
            names.update(listed)
    return False, frozenset(names)


def _strict(pairs: list[_Directive], wanted: bytes) -> int | None:
    """A lifetime: the first of several, 0 when one of them is invalid, None when there is none (RFC 9111, 4.2.1)."""
    values = [seconds(argument) for name, argument in pairs if name == wanted]
    if not values:
        return None
    return 0 if None in values else values[0]


def _lenient(pairs: list[_Directive], wanted: bytes) -> int | None:
    """A permission to be lax for some seconds: invalid, it is none."""
    values = [seconds(argument) for name, argument in pairs if name == wanted]
    return values[0] if values and None not in values else None


def seconds(raw: bytes) -> int | None:
    """delta-seconds (RFC 9111, 1.2.2), however many digits they have; None when they are not only digits."""
    if _DIGITS.fullmatch(raw) is None:
        return None
    value = number.decimal(raw.lstrip(b"0") or b"0")
    return MOST_SECONDS if value is None else min(value, MOST_SECONDS)
