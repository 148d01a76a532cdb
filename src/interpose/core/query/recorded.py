"""A record, as queries ask it: all of it is known, so nothing is ever unknown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from interpose.core.exchange import VARIANT
from interpose.core.query.live import cookies, media_type, parameters
from interpose.core.record import Part, Record, field_pairs


class Recorded:
    """A `matching.Subject`: a record, and what the journal adds to it.

    `now` is wall clock; `states` are words of `is`. The texts of contents are their octets read as UTF-8 unless they
    are given: content codings are not undone here.
    """

    __slots__ = ("_lists", "_now", "_number", "_record", "_texts")

    def __init__(
        self,
        record: Record,
        *,
        now: float,
        number: int = 0,
        mark: str = "",
        comment: str = "",
        states: Sequence[str] = (),
        groups: Sequence[str] = (),
        request_text: str | None = None,
        response_text: str | None = None,
    ) -> None:
        self._record = record
        self._now = now
        self._number = number
        self._lists = {"is": states, "group": groups}
        self._texts = {
            "mark": mark,
            "comment": comment,
            "request.body": _content(record.request) if request_text is None else request_text,
            "response.body": _content(record.response) if response_text is None else response_text,
        }

    def text(self, word: str) -> str | None:
        """See `Subject.text`."""
        read = _TEXTS.get(word)
        return self._texts.get(word) if read is None else read(self._record)

    def texts(self, word: str, name: str) -> Sequence[str] | None:
        """See `Subject.texts`."""
        record = self._record
        match word:
            case "request":
                return [record.host] if name == "host" else _fields(record.request, name)
            case "response":
                return _fields(record.response, name)
            case "query":
                return [value for key, value in parameters(_query(record)) if key == name]
            case "cookie":
                return [value for key, value in cookies(_fields(record.request, "cookie")) if key == name]
            case "note":
                return [record.notes[name]] if name in record.notes else []
            case "variant":
                level = record.notes.get(f"{VARIANT}{name}")
                return [] if level is None else [level]
            case "text":
                heads = [part.fields.decode("latin-1") for part in (record.request, record.response)]
                texts = [self._texts["request.body"], self._texts["response.body"]]
                return [f"{record.method} {record.target}", *heads, *texts]
        return self._lists.get(word)

    def number(self, word: str) -> float | None:
        """See `Subject.number`."""
        record = self._record
        match word:
            case "id":
                return self._number
            case "age":
                return self._now - record.started
            case "port" | "status":
                return (record.port if word == "port" else record.status) or math.nan
        read = _NUMBERS.get(word)
        return None if read is None else read(record)


def _content(part: Part) -> str:
    return part.content.decode("utf-8", "replace")


def _fields(part: Part, name: str) -> list[str]:
    key = name.encode("latin-1", "replace")
    return [value.decode("latin-1") for line, value in field_pairs(part.fields) if line.lower() == key]


def _type(part: Part) -> str:
    return media_type(", ".join(_fields(part, "content-type")))


def _query(record: Record) -> str:
    return record.target.partition("?")[2]


def _path(record: Record) -> str:
    """The path of the URL; none in the target of a tunnel or a conversation."""
    _, scheme, rest = record.target.partition("://")
    _, slash, path = rest.partition("/")
    return f"/{path.partition('?')[0]}" if scheme and slash else ""


_TEXTS: Mapping[str, Callable[[Record], str]] = {
    "host": lambda record: record.host,
    "method": lambda record: record.method,
    "scheme": lambda record: record.scheme,
    "path": _path,
    "url": lambda record: record.target,
    "request.type": lambda record: _type(record.request),
    "response.type": lambda record: _type(record.response),
    "from": lambda record: record.client[0],
    "to": lambda record: record.attempts[-1].peer[0] if record.attempts else "",
    "user": lambda record: record.user,
    "listener": lambda record: record.listener,
    "route": lambda record: record.route,
    "kind": lambda record: record.kind,
    "failure": lambda record: record.failure,
    "exchange": lambda record: record.exchange,
}
_NUMBERS: Mapping[str, Callable[[Record], float]] = {
    "size": lambda record: record.request.size + record.response.size,
    "request.size": lambda record: record.request.size,
    "response.size": lambda record: record.response.size,
    "time": lambda record: record.started,
    "took": lambda record: record.duration_s,
}
