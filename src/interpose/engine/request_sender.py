"""The sink of a request's body: it frames content and writes it to the origin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.stream import Stream
from interpose.protocol.framing import CHUNKED, encode_chunk, encode_end


class Carrier(Protocol):
    """The connection that carries the request, as the sender sees it."""

    stream: Stream

    def request_sent(self) -> None:
        """The last byte of the request is written."""

    def request_broke(self, failure: Failure) -> None:
        """The client's body broke off."""


class RequestSender:
    """The sink of a request body: frames it and writes it to the origin, the head together with the first content."""

    __slots__ = ("_connection", "_head", "_is_chunked", "_remaining", "has_begun", "is_over", "on_drain")

    def __init__(self, connection: Carrier, framing: int, head_bytes: bytes) -> None:
        self._connection = connection
        self._head = head_bytes
        self._is_chunked = framing == CHUNKED
        self._remaining = framing
        self.has_begun = False
        self.is_over = False
        self.on_drain: Callable[[], None] | None = None

    def send_head(self) -> None:
        """Send the head by itself, before any content."""
        head_bytes, self._head = self._head, b""
        if head_bytes:
            self._connection.stream.write(head_bytes)

    def write(self, chunk: bytes) -> bool:
        """See `core.body.Sink`."""
        if self.is_over:
            return True
        if self._is_chunked:
            chunk = encode_chunk(chunk)
        else:
            self._remaining -= len(chunk)
            if self._remaining < 0:
                self.abort(Failure("http_request_error", Side.DOWNSTREAM, "The body is longer than announced."))
                return True
        if self._head:
            chunk, self._head = self._head + chunk, b""
        return self._connection.stream.write(chunk)

    def end(self, trailers: Fields | None) -> None:
        """See `core.body.Sink`."""
        if self.is_over:
            return
        if not self._is_chunked and self._remaining:
            self.abort(Failure("http_request_error", Side.DOWNSTREAM, "The body is shorter than announced."))
            return
        self.send_head()
        if self._is_chunked:
            self._connection.stream.write(encode_end(trailers))
        self.is_over = True
        self._connection.request_sent()

    def abort(self, failure: Failure) -> None:
        """See `core.body.Sink`."""
        if not self.is_over:
            self.is_over = True
            self._head = b""
            self._connection.request_broke(failure)
