"""The filter: which answers are compressed, and from where their content comes then.

    kept already      out of the cache's store, with its length
    short, and here   compressed at once, with its length
    all else          compressed while it flows (`flow`)

What may be compressed is decided in `protocol.compressible`; everything a client could get compressed says so in Vary,
also where this one gets it plain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import NamedTuple

from interpose.core.body import EMPTY, MAX_PIECE_BYTES, Body
from interpose.core.exchange import Exchange
from interpose.core.handler import Answered, Handler
from interpose.core.message import Request, Response
from interpose.core.target import Target
from interpose.filters.compression.flow import Flow
from interpose.filters.compression.options import CompressionOptions
from interpose.filters.compression.variants import Variants
from interpose.protocol.compressible import (
    ACCEPT_ENCODING,
    Asked,
    MediaTypes,
    asked_of,
    coded,
    not_modified,
    said_of,
    varying,
    why_not,
    why_personal,
)
from interpose.protocol.content_coding import Encoder

# Content of which each piece is news.
_STREAMS = MediaTypes(("text/event-stream", "application/x-ndjson", "application/stream+json", "application/json-seq"))
_OF_A_PART = (b"range", b"if-range")


class Wanted(NamedTuple):
    """A request that may get a compressed answer: what it asked, and where its content is kept."""

    asked: Asked
    target: Target
    method: str


class Compression:
    """The filter. `variants` are what the cache below it keeps of compressed content."""

    def __init__(
        self, options: CompressionOptions, variants: Variants | None = None, *, plain_upstream: bool = False
    ) -> None:
        self._offers: tuple[str, ...] = options.codings
        self._types = MediaTypes(options.types)
        self._min_bytes = options.min_bytes
        self._levels = {"gzip": options.gzip_level, "br": options.br_level, "zstd": options.zstd_level}
        self._personal = options.personal
        self._asks_for_plain = options.plain_upstream or plain_upstream
        self._variants = variants

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        if request.upgrade is not None or request.method == "CONNECT":
            return forward(exchange, request)
        fields = request.fields
        asked = asked_of(fields.lines, request.target, self._offers, is_tls=exchange.tls is not None)
        if self._asks_for_plain:
            fields.lines = [line for line in fields.lines if line[0] != ACCEPT_ENCODING]
        wanted = Wanted(asked, request.target, request.method)
        if asked.coding and asked.wants_part_since and request.method == "GET" and request.body is EMPTY:
            return self._part_since(exchange, request, wanted, forward)
        answering = forward(exchange, request)
        if type(answering) is Answered:
            return self._shaped(exchange, wanted, answering)
        return self._awaited(exchange, wanted, answering)

    async def _awaited(self, exchange: Exchange, wanted: Wanted, answering: Awaitable[Response]) -> Response:
        return await self._shaped(exchange, wanted, Answered(await answering))

    async def _part_since(self, exchange: Exchange, request: Request, wanted: Wanted, forward: Handler) -> Response:
        """The answer to who has a part of something, and its date. A date does not tell the plain content from the
        compressed one: who may have begun with this gets all of it."""
        whole = request.copy()
        response = await forward(exchange, request)
        if response.status == 206:
            said = said_of(200, [line for line in response.fields.lines if line[0] != b"content-range"])
            if not self._leaves(wanted.asked, said.obstacle or why_not(said, self._types, None, 0)):
                response.body.close()
                whole.fields.lines = [line for line in whole.fields.lines if line[0] not in _OF_A_PART]
                response = await forward(exchange, whole)
        return await self._shaped(exchange, wanted, Answered(response))

    @staticmethod
    def _leaves(asked: Asked, why: str) -> bool:
        return bool(why) or asked.forbids

    def _shaped(self, exchange: Exchange, wanted: Wanted, answered: Answered) -> Awaitable[Response]:
        """The answer as this client gets it; the same object where nothing has to be waited for."""
        response, asked = answered.response, wanted.asked
        if response.status == 304:
            response.fields.lines = not_modified(asked, response.fields.lines)
            return answered
        if response.then is not None or asked.forbids:
            return answered
        said = said_of(response.status, response.fields.lines)
        length = response.declared_length if wanted.method == "HEAD" else _length_of(response.body)
        why = why_not(said, self._types, length, self._min_bytes)
        if not why and self._personal != "always" and (asked.is_secure or self._personal == "never"):
            why = why_personal(asked, said)
        if why:
            if asked.coding and self._types.matches(said.content_type):  # of pictures nobody asks why
                exchange.notes["not_compressed"] = why
            return answered
        if not asked.coding:
            response.fields.lines = varying(response.fields.lines)
            return answered
        exchange.notes["compressed"] = asked.coding
        response.fields.lines = coded(response.fields.lines, asked.coding)
        if wanted.method == "HEAD":
            response.declared_length = None
            return answered
        variants, digest = self._variants, response.body.digest
        if variants is None or not digest:
            response.body = self._compressed(response, asked.coding, said.content_type, b"")
            return answered
        key = variants.key_of(wanted.target, asked.coding, self._levels[asked.coding], digest)
        kept = variants.look(key)
        if kept is None:
            return self._found(variants, response, asked.coding, said.content_type, key)
        if kept:
            response.body.close()
            response.body = kept[0].body()
        else:
            response.body = self._compressed(response, asked.coding, said.content_type, key)
        return answered

    async def _found(
        self, variants: Variants, response: Response, coding: str, content_type: bytes, key: bytes
    ) -> Response:
        """The answer where the store has to be waited for."""
        kept = await variants.find(key)
        if kept:
            response.body.close()
            response.body = kept[0].body()
        else:
            response.body = self._compressed(response, coding, content_type, key)
        return response

    def _compressed(self, response: Response, coding: str, content_type: bytes, key: bytes) -> Body:
        """The content in a coding; kept under `key`, if there is one and nobody else is at it."""
        body = response.body
        copy = self._variants.keep(key, response.fields.lines) if self._variants is not None and key else None
        if body.is_complete and body.trailers is None:
            data = body.take()
            if len(data) <= MAX_PIECE_BYTES:
                encoder = Encoder(coding, self._levels[coding])
                data = encoder.encode(data) + encoder.finish()
                if copy is not None:
                    copy.write(data)
                    copy.end()
                return Body(data)
            body.put_back(data)
        is_stream = _STREAMS.matches(content_type) and body.length is None
        encoder = Encoder(coding, self._levels[coding], is_small=is_stream)
        return Flow(body, encoder, asyncio.get_running_loop(), flushes=is_stream, copy=copy).body


def _length_of(body: Body) -> int | None:
    """How long the content is, None where nobody can know."""
    if body.length is not None or not body.is_complete:
        return body.length
    data = body.take()
    body.put_back(data)
    return len(data)
