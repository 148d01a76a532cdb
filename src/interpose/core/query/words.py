"""The words of a query: one table for reading, for matching, for completion and for the manual.

A word without a prefix means either message, and `request.` or `response.` narrows it to one: `size`, `body`, `type`,
and `field.NAME`, whose narrower forms are just `request.NAME` and `response.NAME`. So a field that is called `size`,
`body` or `type` is written with quotes: `request."size"`.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from interpose.core import record
from interpose.core.failure import CONSEQUENCES


class Need(enum.Flag):
    """What has to be known before a query can be answered."""

    CLIENT = enum.auto()
    REQUEST_HEAD = enum.auto()
    USER = enum.auto()
    ROUTE = enum.auto()
    VARIANT = enum.auto()
    REQUEST_BODY = enum.auto()
    RESPONSE_HEAD = enum.auto()
    RESPONSE_BODY = enum.auto()
    RECORD = enum.auto()


INBOUND = Need.CLIENT | Need.REQUEST_HEAD | Need.USER | Need.ROUTE | Need.VARIANT | Need.REQUEST_BODY
OUTBOUND = INBOUND & ~Need.REQUEST_BODY | Need.RESPONSE_HEAD | Need.RESPONSE_BODY
"""The request's content has passed by then."""

WHEN = {
    Need.CLIENT: "when a client connects",
    Need.REQUEST_HEAD: "when the head of the request is there",
    Need.USER: "when the client has said who it is",
    Need.ROUTE: "when a route is chosen",
    Need.VARIANT: "when the levels of experiments are chosen",
    Need.REQUEST_BODY: "when the request's content is there",
    Need.RESPONSE_HEAD: "when the head of the response is there",
    Need.RESPONSE_BODY: "when the response's content is there",
    Need.RECORD: "when all is over and recorded",
}


class Kind(enum.Enum):
    """How the values of a word are written."""

    TEXT = "text"
    PATH = "path"
    CONTAINED = "text inside"
    CHOICE = "one of"
    INTEGER = "number"
    STATUS = "status"
    SIZE = "size"
    DURATION = "duration"
    ADDRESS = "address or network"
    WINDOW = "days and hours"


class Word(NamedTuple):
    """One word. `values` are those there are (CHOICE), or those that completion proposes (others).

    `folds`: compared without regard to the case of A to Z. `named`: a name stands behind the word and a dot. `many`: an
    exchange may have several of it. `split`: the words for one message each, when this one means either. `most`: the
    greatest INTEGER.
    """

    word: str
    kind: Kind
    needs: Need
    meaning: str
    example: str
    values: tuple[str, ...] = ()
    folds: bool = False
    named: bool = False
    many: bool = False
    split: tuple[str, ...] = ()
    most: int = 65535

    @property
    def written(self) -> str:
        """The word as it is written before its colon."""
        return f"{self.word}.NAME" if self.named else self.word


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
TYPES = ("text/html", "text/*", "application/json", "*json", "*xml", "image/*", "video/*", "text/event-stream")
STATES = ("held", "edited", "replayed", "marked", "cached", "blocked", "error")
BOTH_HEADS = Need.REQUEST_HEAD | Need.RESPONSE_HEAD
BOTH_BODIES = Need.REQUEST_BODY | Need.RESPONSE_BODY

_TABLE = (
    Word("host", Kind.TEXT, Need.REQUEST_HEAD, "the host asked for, without its port", "host:*.example.com",
         folds=True),
    Word("port", Kind.INTEGER, Need.REQUEST_HEAD, "the port asked for, the scheme's own where none is written",
         "port:443,8443"),
    Word("method", Kind.TEXT, Need.REQUEST_HEAD, "the method of the request", "method:POST", METHODS, folds=True),
    Word("scheme", Kind.TEXT, Need.REQUEST_HEAD, "the scheme of the URL", "scheme:https", ("http", "https"),
         folds=True),
    Word("path", Kind.PATH, Need.REQUEST_HEAD,
         "the path, encoded as in the URL, without the query; `{name}` stands for one segment",
         "path:/users/{id}/orders"),
    Word("url", Kind.TEXT, Need.REQUEST_HEAD, "the whole URL", "url:https://shop.example/*"),
    Word("query", Kind.TEXT, Need.REQUEST_HEAD, "a parameter of the URL's query, decoded", "query.page:2", named=True,
         many=True),
    Word("cookie", Kind.TEXT, Need.REQUEST_HEAD, "a cookie of the request", "cookie.session:*", named=True, many=True),
    Word("field", Kind.TEXT, BOTH_HEADS, "a field of the request or of the response",
         "field.cache-control:*no-store*", folds=True, named=True, many=True, split=("request", "response")),
    Word("request", Kind.TEXT, Need.REQUEST_HEAD, "a field of the request", "request.user-agent:*curl*", folds=True,
         named=True, many=True),
    Word("response", Kind.TEXT, Need.RESPONSE_HEAD, "a field of the response", "response.server:nginx*", folds=True,
         named=True, many=True),
    Word("type", Kind.TEXT, BOTH_HEADS, "the media type of the request or of the response, without parameters",
         "type:*json", TYPES, folds=True, split=("request.type", "response.type")),
    Word("request.type", Kind.TEXT, Need.REQUEST_HEAD, "the media type of the request",
         "request.type:multipart/form-data", TYPES, folds=True),
    Word("response.type", Kind.TEXT, Need.RESPONSE_HEAD, "the media type of the response", "response.type:image/*",
         TYPES, folds=True),
    Word("status", Kind.STATUS, Need.RESPONSE_HEAD, "the status the client was sent", "status:5xx",
         ("2xx", "3xx", "4xx", "5xx", ">=400", "200", "404")),
    Word("size", Kind.SIZE, BOTH_BODIES, "the octets of both contents together", "size:>1MB"),
    Word("request.size", Kind.SIZE, Need.REQUEST_BODY, "the octets of the request's content", "request.size:>=64KiB"),
    Word("response.size", Kind.SIZE, Need.RESPONSE_BODY, "the octets of the response's content", "response.size:0"),
    Word("body", Kind.CONTAINED, BOTH_BODIES, "text in the content of the request or of the response", 'body:"token"',
         folds=True, split=("request.body", "response.body")),
    Word("request.body", Kind.CONTAINED, Need.REQUEST_BODY, "text in the request's content", "request.body:password",
         folds=True),
    Word("response.body", Kind.CONTAINED, Need.RESPONSE_BODY, "text in the response's content",
         'response.body:"not found"', folds=True),
    Word("from", Kind.ADDRESS, Need.CLIENT, "the client's address", "from:10.0.0.0/8"),
    Word("to", Kind.ADDRESS, Need.RESPONSE_HEAD, "the address of the server that was connected to", "to:192.0.2.7"),
    Word("user", Kind.TEXT, Need.USER, 'who the client is; `user:""` is nobody', "user:alice"),
    Word("group", Kind.TEXT, Need.USER, "a group of the user", "group:staff", many=True),
    Word("listener", Kind.TEXT, Need.CLIENT, "the name of the listener that was connected to", "listener:intranet"),
    Word("route", Kind.TEXT, Need.ROUTE, "the name of the route", "route:shop"),
    Word("kind", Kind.CHOICE, Need.CLIENT, "what is spoken", "kind:websocket",
         tuple(record.Kind)),
    Word("time", Kind.WINDOW, Need.CLIENT, "the day of the week and the hour, local time, at which it began",
         "time:mon-fri/08:00-18:00", ("mon-fri", "sat-sun", "mon-fri/08:00-18:00")),
    Word("age", Kind.DURATION, Need.RECORD, "how long ago it began", "age:<10m",
         ("<10m", "<1h", "<1d")),
    Word("took", Kind.DURATION, Need.RECORD, "the time from its first octet to its last", "took:>1.5s",
         (">100ms", ">1s", ">10s")),
    Word("failure", Kind.CHOICE, Need.RECORD, "the kind of failure it ended with", "failure:dns_*",
         tuple(CONSEQUENCES)),
    Word("is", Kind.CHOICE, Need.RECORD, "what was done with it: held for a decision, edited, replayed, marked, "
         "answered from the cache, blocked by a rule, or ended in a failure", "is:held", STATES, many=True),
    Word("note", Kind.TEXT, Need.RECORD, "a note that a filter left", "note.filter:allow", named=True, many=True),
    Word("mark", Kind.TEXT, Need.RECORD, "the mark it was given", "mark:red", folds=True),
    Word("comment", Kind.CONTAINED, Need.RECORD, "text in its comment", "comment:regression", folds=True),
    Word("variant", Kind.TEXT, Need.VARIANT, "the level of an experiment's factor", "variant.button:green", named=True,
         many=True),
    Word("id", Kind.INTEGER, Need.RECORD, "the number of the record in the journal", "id:>=1200", most=10**15),
    Word("exchange", Kind.TEXT, Need.CLIENT, "the exchange's own name, as the log has it", "exchange:1-2f"),
)  # fmt: skip

WORDS: dict[str, Word] = {word.word: word for word in _TABLE}
