"""Bodies: the chunks of a message's content, once, and the trailers after them.

A body has a producer (a connection that decodes framing, a file, a transform), told to pause and resume as its
`Source`, and one consumer, which either *pulls* with `read` and `async for`, or gives a `Sink` to `pipe`, after which
every chunk goes from the producer's callback straight into the sink: no task, no await, no queue. Until a consumer
comes, at most HIGH_WATER octets are collected; then the source is paused.

    producer: feed* (finish | fail)          consumer: pipe(sink) | read() | async for | close()

What ends early is closed: `close` reaches the source, which drops its connection or its file. Exactly one of finish,
fail and close ends a body, and later calls do nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields

HIGH_WATER: Final = 65536
MAX_PIECE_BYTES: Final = 192 * 1024
"""The most content that is taken at once from a sender who is quick: it may have to wait for a slow reader."""

Transform = Callable[[bytes | None], bytes]
"""Changes content as it streams: called with each chunk, then once with None for what is left at the end."""


class Source(Protocol):
    """What produces a body, seen from the body."""

    def pause(self) -> None:
        """Produce nothing until `resume`; a chunk already on its way may still come."""

    def resume(self) -> None:
        """Somebody wants (more) content. The first call is the demand that `Expect: 100-continue` waits for."""

    def cancel(self) -> None:
        """Nobody wants the rest."""


class Sink(Protocol):
    """What a body flows into."""

    on_drain: Callable[[], None] | None

    def write(self, chunk: bytes) -> bool:
        """Take a chunk; False means: no more until `on_drain` is called."""

    def end(self, trailers: Fields | None) -> None:
        """The content is complete."""

    def abort(self, failure: Failure) -> None:
        """The content ends here, incomplete: make that visible to whoever reads it."""


class Body:
    """One message's content. `Body(data)` is complete in memory; `Body.streaming(source, length)` is fed.

    `length` is the number of octets when it is known in advance, else None. `trailers` are there once `ended`. `digest`
    is the SHA-256 of the content, which a cache knows before anybody has read it, and b"" elsewhere.
    """

    __slots__ = (
        "_chunks", "_held", "_sink", "_source", "_waiter", "_was_taken", "digest", "ended", "failure", "length",
        "trailers",
    )  # fmt: skip

    def __init__(self, data: bytes = b"") -> None:
        self._chunks: list[bytes] = [data] if data else []
        self._held = self.length = len(data)
        self._source: Source | None = None
        self._sink: Sink | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.ended = True
        self.failure: Failure | None = None
        self.trailers: Fields | None = None
        self.digest = b""
        self._was_taken = False

    length: int | None

    @classmethod
    def streaming(cls, source: Source, length: int | None) -> Body:
        """A body that `source` is going to feed, `length` octets in all, or None when that is not known."""
        body = cls()
        body.expect(source, length)
        return body

    def expect(self, source: Source, length: int | None) -> None:
        """(of an empty body) What `streaming` does."""
        self.length = length
        self._source = source
        self.ended = False

    def feed(self, chunk: bytes) -> None:
        """The next octets of the content. None at all would look like its end in the chunked coding."""
        if self.ended or not chunk:
            return
        if self._sink is not None:
            if not self._sink.write(chunk) and self._source is not None:
                self._source.pause()
            return
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held >= HIGH_WATER and self._source is not None:
            self._source.pause()
        self._wake()

    def finish(self, trailers: Fields | None = None) -> None:
        """The content is complete."""
        if self.ended:
            return
        self.ended = True
        self.trailers = trailers
        self._source = None
        if self._sink is not None:
            self._sink.end(trailers)
        else:
            self._wake()

    def fail(self, failure: Failure) -> None:
        """The content breaks off."""
        if self.ended:
            return
        self.ended = True
        self.failure = failure
        self._source = None
        if self._sink is not None:
            self._sink.abort(failure)
        else:
            self._wake()

    @property
    def is_complete(self) -> bool:
        """Whether all of what is left to consume is in memory and sound."""
        return self.ended and self.failure is None and self._sink is None

    def take(self) -> bytes:
        """What has arrived and was not consumed; the consumer's now."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        self._held = 0
        self._was_taken = True
        return data

    @property
    def was_read(self) -> bool:
        """Whether somebody has consumed of it what was not put back, or has begun to."""
        return self._was_taken or self._sink is not None

    @property
    def arrived(self) -> bytes:
        """The same, without taking it."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def put_back(self, data: bytes) -> None:
        """Return what was taken, to be consumed again before anything else."""
        if data:
            self._chunks.insert(0, data)
            self._held += len(data)
            self._was_taken = False

    def pipe(self, sink: Sink) -> None:
        """Let the content flow into `sink` to its end; what was collected goes first."""
        self._sink = sink
        data = self.take()
        may_go_on = sink.write(data) if data else True
        if self.failure is not None:
            sink.abort(self.failure)
        elif self.ended:
            sink.end(self.trailers)
        elif self._source is not None:
            sink.on_drain = self._source.resume
            if may_go_on:
                self._source.resume()
            else:
                self._source.pause()

    async def read(self, limit: int) -> bytes:
        """The whole content. Raises `Failure` (413 for a request's) when it is longer than `limit` octets or breaks
        off."""
        if self.length is not None and self.length > limit:
            raise too_large(limit)
        parts: list[bytes] = []
        size = 0
        async for chunk in self:
            size += len(chunk)
            if size > limit:
                self.close()
                raise too_large(limit)
            parts.append(chunk)
        return b"".join(parts)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Chunks(self)

    async def next_chunk(self) -> bytes:
        """What has arrived, as soon as anything has; b"" at the end. Raises `Failure` where the content breaks off."""
        while True:
            data = self.take()
            if data:
                return data
            if self.failure is not None:
                raise self.failure
            if self.ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            if self._source is not None:
                self._source.resume()
            if not self._chunks and not self.ended:
                await self._waiter
            self._waiter = None

    def map(self, transform: Transform) -> Body:
        """The content changed by `transform` as it flows. The new length is unknown; weaken the ETag where there is
        one."""
        mapped = _Mapped(self, transform)
        return mapped.body

    def close(self) -> None:
        """Give up the rest: the source produces no more, a sink learns that it gets no more. Does nothing when the
        content has ended."""
        self._chunks = []
        if self.ended:
            return
        self.ended = True
        self.failure = Failure("http_request_error", Side.INTERNAL, "The body was closed before its end.")
        self._wake()
        source, self._source = self._source, None
        if source is not None:
            source.cancel()
        if self._sink is not None:
            self._sink.abort(self.failure)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Chunks:
    """What `async for` goes through. (No asynchronous generator: they cannot be compiled.)"""

    __slots__ = ("_body",)

    def __init__(self, body: Body) -> None:
        self._body = body

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._body.next_chunk()
        if not chunk:
            raise StopAsyncIteration
        return chunk


class _Mapped:
    """Sits between two bodies: the sink of the first, the source of the second."""

    __slots__ = ("_inner", "_paused", "_started", "_transform", "body", "on_drain")

    def __init__(self, inner: Body, transform: Transform) -> None:
        self._inner = inner
        self._transform = transform
        self._paused = False
        self._started = False
        self.on_drain: Callable[[], None] | None = None
        self.body = Body.streaming(self, None)

    def write(self, chunk: bytes) -> bool:
        self._feed(chunk)
        return not self._paused

    def end(self, trailers: Fields | None) -> None:
        self._feed(None)
        self.body.finish(trailers)

    def _feed(self, chunk: bytes | None) -> None:
        """Pass on what the transform makes of `chunk`. An error of its own ends this body and goes no further."""
        if self.body.ended:
            return
        try:
            changed = self._transform(chunk)
        except Exception as error:
            failure = Failure("proxy_internal_error", Side.INTERNAL, f"Changing the content failed: {error!r}")
            failure.__cause__ = error
            self.body.fail(error if isinstance(error, Failure) else failure)
            self._inner.close()
            return
        if changed:
            self.body.feed(changed)

    def abort(self, failure: Failure) -> None:
        self.body.fail(failure)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        if not self._started:
            self._started = True
            self._inner.pipe(self)
        elif self.on_drain is not None:
            self.on_drain()

    def cancel(self) -> None:
        self._inner.close()


def too_large(limit: int) -> Failure:
    """The failure for content above a limit of octets."""
    return Failure("http_request_error", Side.DOWNSTREAM, f"The content is larger than {limit} bytes.", status=413)


EMPTY: Final = Body()
"""No content. Shared: a body that has ended holds nothing that could change."""
