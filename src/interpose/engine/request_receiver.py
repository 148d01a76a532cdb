"""The content of one request as it arrives: decoded, fed to the request's body, or thrown away.

Only requests with content have one. It is the body's `Source`: the body's consumer slows the client down, asks for the
content (which is what `Expect: 100-continue` waits for), or gives it up.
"""

from __future__ import annotations

from typing import Final

from interpose.core.body import MAX_PIECE_BYTES, Body
from interpose.core.failure import Failure, bad_request
from interpose.core.stream import Stream
from interpose.protocol import writer
from interpose.protocol.framing import CHUNKED, BadFraming, LineParser, decoder_for

MAX_DRAIN_BYTES: Final = 65536


class RequestReceiver:
    """Receives one body. `received` counts octets with their framing, `discarded` those that nobody wanted."""

    __slots__ = ("_decoder", "_expects_continue", "_stream", "body", "discarded", "received")

    def __init__(self, stream: Stream, framing: int, parse_line: LineParser, expects_continue: bool) -> None:
        self._stream = stream
        self._decoder = decoder_for(framing, parse_line)
        self._expects_continue = expects_continue
        self.body = Body.streaming(self, None if framing == CHUNKED else framing)
        self.received = 0
        self.discarded = 0

    def take(self, data: bytes) -> bytes | None:
        """Feed the body; what follows it once it has ended, else None. `Failure` 400 or 431 when this is no body."""
        self.received += len(data)
        self._expects_continue = False
        if len(data) > MAX_PIECE_BYTES:
            self._stream.receive_in_pieces()
        try:
            content, rest = self._decoder.decode(data)
        except BadFraming as bad:
            raise bad_request(bad.text, bad.status) from None
        if self.body.ended:
            self._discard(len(data))
        elif content:
            self.body.feed(content)
        if rest is not None:
            self.body.finish(self._decoder.trailers)
        return rest

    def broke(self, failure: Failure) -> None:
        """The content ends early: whoever reads it learns of it."""
        self.body.fail(failure)

    @property
    def may_drain(self) -> bool:
        """Whether reading the rest, after an early answer, is cheaper than a new connection (THREATS A4).

        A client that was never told to continue may send its content or the next request: nobody can tell.
        """
        if self._expects_continue or self.body.length is None or self.discarded > MAX_DRAIN_BYTES:
            return False
        return self.body.length - self.received <= MAX_DRAIN_BYTES

    def too_late(self) -> None:
        """The answer begins: the client is not invited to send its content any more."""
        self._expects_continue = False

    def _discard(self, size: int) -> None:
        """Nobody wants this: read on while that is cheap, then let the client wait for the end of its answer."""
        self.discarded += size
        if self.discarded > MAX_DRAIN_BYTES:
            self._stream.pause()

    def pause(self) -> None:
        """The consumer is slower than the client."""
        self._stream.pause()

    def resume(self) -> None:
        """The consumer wants content."""
        if self._expects_continue:
            self._expects_continue = False
            self._stream.write(writer.CONTINUE)
        self._stream.resume()

    def cancel(self) -> None:
        """Nobody wants the rest."""
        self._stream.resume()
