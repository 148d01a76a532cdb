"""The sink of an answer that streams: it frames content and writes it to the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.stream import Stream
from interpose.protocol.framing import CHUNKED, LAST_CHUNK, encode_chunk, encode_end

MOST_COPIED_BYTES: Final = 65536
"""Content beyond this is not copied to stand behind its head: both leave in one system call all the same."""


class ResponseWriter:
    """Writes one body in the framing its head announced. The head leaves together with the first content there is.

    `done` is called once: with None after the last byte, else with the failure, after which the connection must be
    broken off so that the client can see that something is missing. Content beyond a promised length is such a
    failure too.
    """

    __slots__ = ("_done", "_exchange", "_head", "_is_chunked", "_remaining", "_stream", "_trailers_pass", "on_drain")

    def __init__(
        self,
        stream: Stream,
        exchange: Exchange,
        framing: int,
        head: bytes,
        trailers_pass: bool,
        done: Callable[[Failure | None], None],
    ) -> None:
        self._stream = stream
        self._exchange = exchange
        self._is_chunked = framing == CHUNKED
        self._remaining = framing if framing >= 0 else None
        self._head = head
        self._trailers_pass = trailers_pass
        self._done = done
        self.on_drain: Callable[[], None] | None = None

    def start(self, body: Body) -> None:
        """Let `body` flow; its head goes out now, whether there is content yet or not."""
        body.pipe(self)
        if self._head:
            head, self._head = self._head, b""
            self._stream.write(head)

    def take_head(self) -> tuple[bytes, Callable[[bytes], bool]]:
        """The head, for a body that lets it go out slowly before its content, and what writes it."""
        head, self._head = self._head, b""
        return head, self._stream.write

    def drained(self) -> None:
        """The client takes bytes again."""
        if self.on_drain is not None:
            self.on_drain()

    def write(self, chunk: bytes) -> bool:
        """See `core.body.Sink`."""
        self._exchange.bytes_out += len(chunk)
        if self._remaining is not None:
            self._remaining -= len(chunk)
            if self._remaining < 0:
                chunk = chunk[: self._remaining]
        elif self._is_chunked:
            chunk = encode_chunk(chunk)
        if self._head:
            head, self._head = self._head, b""
            if len(chunk) > MOST_COPIED_BYTES:
                self._stream.write(head)
            else:
                chunk = head + chunk
        return self._stream.write(chunk)

    def end(self, trailers: Fields | None) -> None:
        """See `core.body.Sink`."""
        if self._remaining:
            self._done(_wrong_length())
            return
        if self._is_chunked:
            last = encode_end(trailers) if trailers is not None and self._trailers_pass else LAST_CHUNK
            self._stream.write(self._head + last)
        elif self._head:
            self._stream.write(self._head)
        self._head = b""
        self._done(None)

    def abort(self, failure: Failure) -> None:
        """See `core.body.Sink`."""
        self._head = b""
        self._done(failure)


def _wrong_length() -> Failure:
    return Failure("http_response_incomplete", Side.UPSTREAM, "The content is not as long as was announced.", sent=True)
