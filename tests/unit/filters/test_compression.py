"""The compression filter, over a handler that stands for all behind it, and over a cache."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any

import brotli
import pytest
import zstandard
from tests.support.fake_clock import FakeClock, FakeTimer

from interpose.core.body import EMPTY, MAX_PIECE_BYTES, Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Answered, Handler, chain
from interpose.core.message import Request, Response
from interpose.core.stream import Address, TlsInfo
from interpose.core.target import Authority, Form, Target
from interpose.filters.cache.filter import Cache
from interpose.filters.cache.keeper import Keeper
from interpose.filters.cache.options import CacheOptions
from interpose.filters.compression.filter import Compression
from interpose.filters.compression.flow import IDLE_FLUSH_S, LONG_IDLE_FLUSH_S, PIECE_BYTES, TURN_S, Flow
from interpose.filters.compression.options import CompressionOptions
from interpose.filters.compression.variants import Variants
from interpose.protocol.content_coding import Decoder, Encoder
from interpose.storage.memory_store import MemoryStore

HERE = Target(Form.ORIGIN, "http", Authority("a.example"), "/page")
TLS = TlsInfo("TLSv1.3", "TLS_AES_128_GCM_SHA256", None, None)
WORDS = random.Random(1).choices(["the", "of", "a", "to", "which", "that", "for", "with", "this", "from"], k=2000)
TEXT = " ".join(WORDS).encode()
UNDOERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


class Source:
    """What an origin's content comes from."""

    def __init__(self, length: int | None = None) -> None:
        self.told: list[str] = []
        self.body = Body.streaming(self, length)

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def cancel(self) -> None:
        self.told.append("cancel")


class Reader:
    """What the compressed content flows into."""

    def __init__(self) -> None:
        self.got = b""
        self.how: list[str] = []
        self.trailers: Fields | None = None
        self.wants_more = True
        self.on_drain: Callable[[], None] | None = None

    def write(self, chunk: bytes) -> bool:
        self.got += chunk
        return self.wants_more

    def end(self, trailers: Fields | None) -> None:
        self.how.append("end")
        self.trailers = trailers

    def abort(self, failure: Failure) -> None:
        self.how.append(failure.kind)


def exchange(*, tls: TlsInfo | None = None) -> Exchange:
    return Exchange(1, 0, "main", Address("192.0.2.1", 50000), 0.0, tls=tls)


def request(*fields: tuple[str, str], method: str = "GET") -> Request:
    return Request(method, HERE, Fields(fields))


def saying(
    body: Body | bytes = TEXT, *fields: tuple[str, str], status: int = 200, seen: list[Request] | None = None
) -> Handler:
    async def handler(exchange: Exchange, request: Request) -> Response:
        if seen is not None:
            seen.append(request)
        content = Body(body) if isinstance(body, bytes) else body
        return Response(status, Fields([("Content-Type", "text/plain"), *fields]), content)

    return handler


async def answered(
    handler: Handler, *fields: tuple[str, str], tls: TlsInfo | None = None, method: str = "GET", **options: Any
) -> tuple[Response, Exchange]:
    of = exchange(tls=tls)
    compression = Compression(CompressionOptions(**options))
    return await compression(of, request(*fields, method=method), handler), of


GZIP = ("Accept-Encoding", "gzip")


# --- what is compressed, and how -------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_a_content_that_is_here_is_compressed_at_once(coding: str) -> None:
    response, of = await answered(saying(TEXT, ("ETag", '"1"')), ("Accept-Encoding", coding))
    data = response.body.take()
    assert UNDOERS[coding](data) == TEXT
    assert response.body.length == len(data) < len(TEXT) / 2
    assert dict(response.fields) == {
        "Content-Type": "text/plain",
        "ETag": 'W/"1"',
        "Content-Encoding": coding,
        "Vary": "Accept-Encoding",
    }
    assert of.notes == {"compressed": coding}


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_a_content_that_flows_is_compressed_as_it_flows_with_its_trailers(coding: str) -> None:
    source, reader = Source(len(TEXT)), Reader()
    response, _ = await answered(saying(source.body), ("Accept-Encoding", coding))
    assert response.body.length is None
    response.body.pipe(reader)
    for at in range(0, len(TEXT), 1000):
        source.body.feed(TEXT[at : at + 1000])
    source.body.finish(Fields([("X-Sum", "1")]))
    assert UNDOERS[coding](reader.got) == TEXT
    assert reader.how == ["end"]
    assert reader.trailers is not None
    assert dict(reader.trailers) == {"X-Sum": "1"}


@pytest.mark.parametrize(
    ("fields", "said", "why"),
    [
        ([GZIP], [("Content-Encoding", "br")], "it has a coding already"),
        ([GZIP], [("Cache-Control", "no-transform")], "it says no-transform"),
        ([GZIP], [("Content-Range", "bytes 0-1/2")], "it is a part"),
    ],
)
async def test_what_is_left_alone_is_left_alone_and_says_why(
    fields: list[tuple[str, str]], said: list[tuple[str, str]], why: str
) -> None:
    response, of = await answered(saying(TEXT, ("ETag", '"1"'), *said), *fields)
    assert response.body.take() == TEXT
    assert list(response.fields) == [("Content-Type", "text/plain"), ("ETag", '"1"'), *said]
    assert of.notes == {"not_compressed": why}


async def test_of_a_picture_nobody_asks_why() -> None:
    async def picture(exchange: Exchange, request: Request) -> Response:
        return Response(200, Fields([("Content-Type", "image/png")]), Body(TEXT))

    response, of = await answered(picture, GZIP)
    assert (response.body.take(), list(response.fields), of.notes) == (TEXT, [("Content-Type", "image/png")], {})


async def test_a_request_that_says_no_transform_gets_it_as_it_is() -> None:
    response, _ = await answered(saying(), GZIP, ("Cache-Control", "no-transform"))
    assert response.body.take() == TEXT


async def test_who_takes_no_coding_is_told_that_others_may() -> None:
    for fields in ((), (("Accept-Encoding", "gzip;q=0"),), (("Accept-Encoding", "deflate"),)):
        response, of = await answered(saying(TEXT, ("ETag", '"1"')), *fields)
        assert response.body.take() == TEXT
        assert response.fields["ETag"] == '"1"'
        assert response.fields["Vary"] == "Accept-Encoding"
        assert of.notes == {}


@pytest.mark.parametrize("length", [1023, 1024])
async def test_what_is_short_is_left_alone_however_it_came(length: int) -> None:
    whole = Source()
    whole.body.feed(TEXT[:length])
    whole.body.finish()  # chunked, and all of it here
    for body in (TEXT[:length], Source(length).body, whole.body):
        response, _ = await answered(saying(body), GZIP)
        assert ("Content-Encoding" in response.fields) is (length == 1024)


async def test_a_head_has_the_fields_of_the_answer_to_get() -> None:
    for length in (5000, None):

        async def handler(exchange: Exchange, request: Request, length: int | None = length) -> Response:
            response = Response(200, Fields([("Content-Type", "text/plain"), ("ETag", '"1"')]), EMPTY)
            response.declared_length = length
            return response

        response, _ = await answered(handler, GZIP, method="HEAD")
        assert response.declared_length is None
        assert (response.fields["Content-Encoding"], response.fields["ETag"]) == ("gzip", 'W/"1"')
        assert response.body is EMPTY


async def test_a_304_is_for_what_its_client_has() -> None:
    handler = saying(b"", ("ETag", '"1"'), status=304)
    response, _ = await answered(handler, GZIP, ("If-None-Match", 'W/"1"'))
    assert (response.fields["ETag"], response.fields["Vary"]) == ('W/"1"', "Accept-Encoding")
    response, _ = await answered(handler, GZIP, ("If-None-Match", '"1"'))
    assert (response.fields["ETag"], response.fields.get("Vary")) == ('"1"', None)


async def test_an_upgrade_and_a_tunnel_are_none_of_its_business() -> None:
    seen: list[Request] = []
    upgrade = request(GZIP)
    upgrade.upgrade = "websocket"
    for of in (upgrade, request(GZIP, method="CONNECT")):
        response = await Compression(CompressionOptions(plain_upstream=True))(exchange(), of, saying(seen=seen))
        assert response.body.take() == TEXT
    assert [sent.fields.get("Accept-Encoding") for sent in seen] == ["gzip", "gzip"]


async def test_servers_are_asked_for_plain_content_where_that_is_wanted() -> None:
    seen: list[Request] = []
    await answered(saying(seen=seen), GZIP)
    await answered(saying(seen=seen), GZIP, plain_upstream=True)
    assert [sent.fields.get("Accept-Encoding") for sent in seen] == ["gzip", None]


# --- parts ------------------------------------------------------------------------------------------------------------


async def test_who_resumes_by_date_gets_all_of_what_it_may_have_begun_compressed() -> None:
    asked: list[dict[str, str]] = []

    async def origin(exchange: Exchange, request: Request) -> Response:
        asked.append(dict(request.fields))
        if "Range" in request.fields:
            part = [("Content-Type", "text/plain"), ("Content-Range", f"bytes 10-{len(TEXT) - 1}/{len(TEXT)}")]
            return Response(206, Fields(part), Body(TEXT[10:]))
        return Response(200, Fields([("Content-Type", "text/plain")]), Body(TEXT))

    part, date = ("Range", "bytes=10-"), ("If-Range", "Tue, 14 Nov 2023 00:00:00 GMT")
    response, _ = await answered(origin, GZIP, part, date)
    assert (response.status, gzip.decompress(response.body.take())) == (200, TEXT)
    assert asked == [dict([GZIP, part, date]), dict([GZIP])]
    for fields in ((part, date), (GZIP, part), (GZIP, part, ("If-Range", '"1"'))):
        response, _ = await answered(origin, *fields)
        assert (response.status, response.body.take()) == (206, TEXT[10:])


async def test_who_resumes_by_date_what_is_never_compressed_gets_the_part() -> None:
    async def origin(exchange: Exchange, request: Request) -> Response:
        return Response(206, Fields([("Content-Type", "image/png"), ("Content-Range", "bytes 0-1/9")]), Body(b"ab"))

    response, _ = await answered(origin, GZIP, ("Range", "bytes=0-1"), ("If-Range", "Tue, 14 Nov 2023 00:00:00 GMT"))
    assert (response.status, response.body.take()) == (206, b"ab")


# --- secrets (THREATS A42) --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("personal", "tls", "forwarded", "is_compressed"),
    [
        ("without-tls", None, None, True),
        ("without-tls", TLS, None, False),
        ("without-tls", None, "https", False),
        ("without-tls", None, "http", True),
        ("never", None, None, False),
        ("always", TLS, None, True),
    ],
)
async def test_a42_over_tls_what_sets_a_cookie_stays_plain(
    personal: str, tls: TlsInfo | None, forwarded: str | None, is_compressed: bool
) -> None:
    fields = [GZIP] if forwarded is None else [GZIP, ("X-Forwarded-Proto", forwarded)]
    response, of = await answered(saying(TEXT, ("Set-Cookie", "a=1")), *fields, tls=tls, personal=personal)
    assert ("Content-Encoding" in response.fields) is is_compressed
    assert of.notes == ({"compressed": "gzip"} if is_compressed else {"not_compressed": "it sets a cookie"})


# --- flowing ----------------------------------------------------------------------------------------------------------


class Loop(FakeClock):
    """Turns that are taken when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.soon: list[FakeTimer] = []

    def call_soon(self, callback: Callable[[], object]) -> FakeTimer:
        self.soon.append(FakeTimer(self.now, callback))
        return self.soon[-1]

    def turn(self) -> None:
        due, self.soon = self.soon, []
        for timer in due:
            if not timer.is_cancelled:
                timer.call()


class Copy:
    def __init__(self) -> None:
        self.got = b""
        self.how: list[str] = []

    def write(self, data: bytes) -> None:
        self.got += data

    def end(self) -> None:
        self.how.append("end")

    def abort(self) -> None:
        self.how.append("abort")


@pytest.mark.parametrize(("seconds", "expected"), [(TURN_S, 6), (TURN_S / 2, 3), (0.0, 1)], ids=["slow", "quick", "0"])
def test_f21_a_large_content_is_compressed_in_many_turns(seconds: float, expected: int) -> None:
    content = random.Random(2).randbytes(5 * PIECE_BYTES + 1)
    loop, reader, copy = Loop(), Reader(), Copy()
    times = (number * seconds for number in itertools.count())  # each look at the clock is one piece later
    flow = Flow(Body(content), Encoder("gzip", 1), loop, copy=copy, clock=lambda: next(times))
    flow.body.pipe(reader)
    turns = 1
    while not reader.how:
        loop.turn()
        turns += 1
    assert turns == expected
    assert gzip.decompress(reader.got) == content
    assert (reader.how, copy.how, copy.got) == (["end"], ["end"], reader.got)
    assert loop.waiting == 0


def test_while_the_client_takes_nothing_nothing_is_compressed_and_the_server_is_paused() -> None:
    loop, source, reader = Loop(), Source(), Reader()
    times = itertools.count()
    flow = Flow(source.body, Encoder("gzip", 1), loop, clock=lambda: next(times))
    flow.body.pipe(reader)
    noise = random.Random(3).randbytes(4 * PIECE_BYTES)
    reader.wants_more = False
    source.told.clear()
    source.body.feed(noise)
    got = len(reader.got)
    assert 0 < got < 2 * PIECE_BYTES
    assert source.told == ["pause"]
    for _ in range(10):
        loop.turn()
    assert len(reader.got) == got
    reader.wants_more = True
    assert reader.on_drain is not None
    reader.on_drain()
    for _ in range(3):
        assert "resume" not in source.told
        loop.turn()
    assert source.told == ["pause", "resume"]
    source.body.finish()
    assert gzip.decompress(reader.got) == noise


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_events_leave_as_they_come(coding: str) -> None:
    loop, source, reader, decoder = Loop(), Source(), Reader(), Decoder(coding)
    Flow(source.body, Encoder(coding, is_small=True), loop, flushes=True).body.pipe(reader)
    seen = 0
    for number in range(50):
        event = b"data: %d\n\n" % number
        source.body.feed(event)
        assert b"".join(decoder.decode(reader.got[seen:])) == event
        seen = len(reader.got)
    assert loop.waiting == 0
    source.body.finish()
    b"".join(decoder.decode(reader.got[seen:]))
    decoder.finish()


@pytest.mark.parametrize(("length", "idle_s"), [(None, IDLE_FLUSH_S), (100, LONG_IDLE_FLUSH_S)])
def test_what_nothing_follows_leaves_after_a_while_and_once(length: int | None, idle_s: float) -> None:
    loop, source, reader, decoder = Loop(), Source(length), Reader(), Decoder("gzip")
    Flow(source.body, Encoder("gzip"), loop).body.pipe(reader)
    source.body.feed(b"first ")
    loop.advance(idle_s * 0.8)
    source.body.feed(b"second")
    loop.advance(idle_s * 0.8)
    assert b"".join(decoder.decode(reader.got)) == b""  # it came less than that ago
    seen = len(reader.got)
    loop.advance(idle_s)
    assert b"".join(decoder.decode(reader.got[seen:])) == b"first second"
    seen = len(reader.got)
    loop.advance(10)
    assert len(reader.got) == seen
    assert loop.waiting == 0


def test_what_breaks_off_breaks_off_for_the_client_and_is_not_kept() -> None:
    loop, source, reader, copy = Loop(), Source(), Reader(), Copy()
    Flow(source.body, Encoder("br"), loop, copy=copy).body.pipe(reader)
    source.body.feed(TEXT)
    source.body.fail(Failure("http_response_incomplete", Side.UPSTREAM, "It broke off."))
    assert (reader.how, copy.how) == (["http_response_incomplete"], ["abort"])
    assert loop.waiting == 0


def test_a_client_that_leaves_ends_it_all() -> None:
    loop, source, reader, copy = Loop(), Source(), Reader(), Copy()
    flow = Flow(source.body, Encoder("zstd"), loop, copy=copy)
    flow.body.pipe(reader)
    source.body.feed(random.Random(4).randbytes(3 * PIECE_BYTES))
    flow.body.close()
    got = len(reader.got)
    loop.turn()
    loop.advance(1)
    assert source.told[-1] == "cancel"
    assert (len(reader.got), copy.how, loop.waiting) == (got, ["abort"], 0)


def test_a_client_that_leaves_before_it_has_begun_ends_it_too() -> None:
    source, copy = Source(), Copy()
    flow = Flow(source.body, Encoder("gzip"), Loop(), copy=copy)
    flow.body.close()
    assert (source.told, copy.how) == (["cancel"], ["abort"])


# --- over a cache -----------------------------------------------------------------------------------------------------


class Site:
    """Compression over a cache over an origin."""

    def __init__(self, content: bytes = TEXT, store: Any = None, **options: Any) -> None:
        self.content = content
        self.tag = '"1"'
        self.asked = 0
        self.keeper = Keeper(store or MemoryStore(1 << 24), wall=lambda: 1_700_000_000.0)
        self.variants = Variants(self.keeper.store, lambda: 1_700_000_000.0, (b"surrogate-key",))
        cache = Cache(CacheOptions(), self.keeper)
        self._handler = chain([Compression(CompressionOptions(**options), self.variants), cache], self._origin)

    async def _origin(self, exchange: Exchange, request: Request) -> Response:
        self.asked += 1
        fields = [("Content-Type", "text/plain"), ("Cache-Control", "max-age=60"), ("ETag", self.tag)]
        fields.append(("Surrogate-Key", "news"))
        return Response(200, Fields(fields), Body(self.content))

    def ask(self, *fields: tuple[str, str], method: str = "GET") -> Awaitable[Response]:
        return self._handler(exchange(), request(*fields, method=method))

    async def get(self, *fields: tuple[str, str]) -> tuple[Response, bytes]:
        response = await self.ask(*fields)
        return response, await response.body.read(1 << 24)


@pytest.fixture
def compressions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The codings of the encoders that were made."""
    made: list[str] = []

    class Counted(Encoder):
        def __init__(self, coding: str, *args: Any, **options: Any) -> None:
            made.append(coding)
            super().__init__(coding, *args, **options)

    monkeypatch.setattr("interpose.filters.compression.filter.Encoder", Counted)
    return made


@pytest.mark.parametrize("size", [len(TEXT), 3 * MAX_PIECE_BYTES])
async def test_what_is_kept_is_compressed_once_for_each_coding(compressions: list[str], size: int) -> None:
    site = Site((TEXT * (size // len(TEXT) + 1))[:size])
    for _ in range(3):
        for coding in ("gzip", "br", "zstd"):
            response, data = await site.get(("Accept-Encoding", coding))
            assert UNDOERS[coding](data) == site.content
            assert response.fields["Content-Encoding"] == coding
            assert response.fields["ETag"] == 'W/"1"'
    assert response.body.length == len(data)
    assert compressions == ["gzip", "br", "zstd"]
    assert site.asked == 1
    response, data = await site.get()
    assert (data, response.fields["ETag"]) == (site.content, '"1"')
    await site.keeper.close()


async def test_a_hit_that_is_kept_compressed_needs_no_waiting() -> None:
    site = Site()
    await site.get(GZIP)
    answering = site.ask(GZIP)
    assert type(answering) is Answered
    assert gzip.decompress(answering.response.body.take()) == TEXT
    await site.keeper.close()


async def test_a_changed_content_is_never_answered_with_what_the_former_became(compressions: list[str]) -> None:
    site = Site()
    await site.get(GZIP)
    site.content, site.tag = TEXT[::-1], '"2"'
    await site.keeper.invalidate(b"GET http://a.example/page")
    response, data = await site.get(GZIP)
    assert (gzip.decompress(data), response.fields["ETag"]) == (site.content, 'W/"2"')
    site.content = TEXT
    await site.keeper.invalidate(b"GET http://a.example/page")
    response, data = await site.get(GZIP)
    assert (gzip.decompress(data), response.fields["ETag"]) == (TEXT, 'W/"2"')
    assert compressions == ["gzip", "gzip"]  # the first content's is still there
    await site.keeper.close()


async def test_a_purge_by_tag_takes_what_was_compressed_along() -> None:
    site = Site()
    await site.get(GZIP)
    assert await site.keeper.purge("tag:news", soft=False) == 2
    assert site.keeper.store.counters()["objects"] == 0
    await site.keeper.close()


async def test_a_purge_of_the_url_takes_what_was_compressed_along() -> None:
    site = Site()
    await site.get(GZIP)
    keys = [entry["key"] for entry in await site.keeper.listed("*", 10)]
    digest = hashlib.sha256(TEXT).hexdigest()
    assert sorted(keys) == ["GET http://a.example/page", f"GET http://a.example/page coding=gzip-5 of={digest}"]
    await site.keeper.purge("http://a.example/page", soft=False)
    assert site.keeper.store.counters()["objects"] == 0
    await site.keeper.close()


async def test_conditions_and_parts_are_those_of_the_plain_content() -> None:
    site = Site()
    await site.get(GZIP)
    response, data = await site.get(GZIP, ("If-None-Match", 'W/"1"'))
    assert (response.status, response.fields["ETag"], data) == (304, 'W/"1"', b"")
    response, data = await site.get(GZIP, ("Range", "bytes=0-9"), ("If-Range", '"1"'))
    assert (response.status, response.fields["ETag"], data) == (206, '"1"', TEXT[:10])
    response, data = await site.get(GZIP, ("Range", "bytes=0-9"), ("If-Range", 'W/"1"'))
    assert (response.status, gzip.decompress(data)) == (200, TEXT)
    assert site.asked == 1
    await site.keeper.close()


async def test_two_who_ask_at_once_for_a_large_content_store_it_once() -> None:
    site = Site(TEXT * 100)
    first, second = await asyncio.gather(site.ask(GZIP), site.ask(GZIP))
    one, other = await asyncio.gather(first.body.read(1 << 24), second.body.read(1 << 24))
    assert gzip.decompress(one) == gzip.decompress(other) == site.content
    assert site.keeper.store.counters()["objects"] == 2
    await site.keeper.close()


async def test_who_leaves_half_way_leaves_nothing_half_made() -> None:
    site = Site(TEXT * 100)
    (await site.ask(GZIP)).body.close()
    assert site.keeper.store.counters()["objects"] == 1
    _, data = await site.get(GZIP)
    assert gzip.decompress(data) == site.content
    assert site.keeper.store.counters()["objects"] == 2
    await site.keeper.close()


class Remote:
    """A store that only `find` can ask."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def look(self, key: bytes) -> None:
        return None

    async def find(self, key: bytes) -> Any:
        await asyncio.sleep(0)
        return self._store.look(key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_store_that_has_to_be_waited_for_is(compressions: list[str]) -> None:
    site = Site(store=Remote(MemoryStore(1 << 22)))
    for _ in range(3):
        _, data = await site.get(GZIP)
        assert gzip.decompress(data) == TEXT
    assert (compressions, site.asked) == (["gzip"], 1)
    await site.keeper.close()
