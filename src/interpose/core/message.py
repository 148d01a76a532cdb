"""Requests and responses, mutable and slotted.

`forward` takes ownership of a request; a filter that forwards twice calls `request.copy()` first. End handlers never
change a message. Fields are end-to-end only: what belongs to one connection was taken off by the reader, and what of
it has a meaning further on stands here by name (`upgrade`, `wants_trailers`, `expects_continue`).
"""

from __future__ import annotations

from collections.abc import Mapping

from interpose.core.body import EMPTY, Body
from interpose.core.fields import Fields
from interpose.core.stream import StreamHandler
from interpose.core.target import Target


class Request:
    """One request. `version` is the client's minor version of HTTP/1 (0 or 1)."""

    __slots__ = (
        "body", "expects_continue", "fields", "method", "received", "target", "upgrade", "version", "wants_trailers",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        target: Target,
        fields: Fields,
        body: Body = EMPTY,
        version: int = 1,
        received: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.fields = fields
        self.body = body
        self.version = version
        if received is None:
            received = {line.key: line.value for line in reversed(fields.lines)}
        self.received: Mapping[bytes, bytes] = received
        """The end-to-end fields as they came, whatever filters changed since: lower-case name -> first value."""
        self.upgrade: str | None = None
        """The protocol the client asks to switch to ("websocket"), when it is one that may pass."""
        self.wants_trailers = False
        self.expects_continue = False

    def copy(self) -> Request:
        """A request to forward a second time. Its body must be complete in memory (ValueError otherwise)."""
        body = copy_of(self.body)
        copied = Request(self.method, self.target, self.fields.copy(), body, self.version, self.received)
        copied.upgrade = self.upgrade
        copied.wants_trailers = self.wants_trailers
        copied.expects_continue = self.expects_continue
        return copied

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target}>"


class Response:
    """One final response. `reason` is what the origin wrote, b"" for the standard phrase.

    `then`, after a 2xx to CONNECT or a 101, takes over the client's stream once the head is written. For answers
    without content (HEAD, 304) `declared_length` is the Content-Length that a GET would have had. `must_close` ends
    the client's connection after this answer. `ends_with_connection`: nothing but the end of the origin's connection
    says where its content ends, so nobody can tell whether it is whole.
    """

    __slots__ = (
        "body", "declared_length", "ends_with_connection", "fields", "must_close", "reason", "status", "then",
        "upgrade",
    )  # fmt: skip

    def __init__(self, status: int, fields: Fields | None = None, body: Body = EMPTY, reason: bytes = b"") -> None:
        self.status = status
        self.fields = Fields() if fields is None else fields
        self.body = body
        self.reason = reason
        self.then: StreamHandler | None = None
        self.upgrade: str | None = None
        self.declared_length: int | None = None
        self.must_close = False
        self.ends_with_connection = False

    @classmethod
    def text(cls, status: int, text: str, media_type: str = "text/plain; charset=utf-8") -> Response:
        """A short answer of our own."""
        return cls(status, Fields([("Content-Type", media_type)]), Body(text.encode()))

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


def copy_of(body: Body) -> Body:
    """A body with the same content, read independently; ValueError when it is still streaming."""
    if body is EMPTY:
        return body
    if not body.is_complete:
        raise ValueError("this body is still streaming; await body.keep(limit) before the first forward")
    data = body.take()
    body.put_back(data)
    copied = Body(data)
    copied.trailers = body.trailers
    return copied
