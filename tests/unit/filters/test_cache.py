"""The cache, over servers in memory: what clients get, and what the origin was asked."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.support.memory_stream import MemoryStream

from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Handler, chain
from interpose.core.message import Request, Response
from interpose.engine.pace import Timeouts
from interpose.engine.serve import HttpServer
from interpose.filters.cache.filter import Cache
from interpose.filters.cache.keeper import Keeper
from interpose.filters.cache.options import CacheOptions, CacheRule
from interpose.filters.error_answer import ErrorAnswer, ErrorAnswerOptions
from interpose.protocol.head import HeadParser
from interpose.storage.memory_store import MemoryStore

NOW = 1_700_000_000.0
FRESH = [("Cache-Control", "max-age=60")]


class Source:
    """What an origin's content comes from: told what to send by the test."""

    def __init__(self, length: int | None) -> None:
        self.is_paused = False
        self.was_cancelled = False
        self.body = Body.streaming(self, length)

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def cancel(self) -> None:
        self.was_cancelled = True


Origin = Callable[[Exchange, Request], Awaitable[Response]]


class Client:
    """One connection. `text` is the content of its last answer, `head` its head."""

    def __init__(self, site: Site) -> None:
        self.stream = MemoryStream()
        site.server(self.stream)
        self._site = site

    def ask(self, path: str = "/", *fields: str, method: str = "GET") -> None:
        lines = "".join(f"{field}\r\n" for field in fields)
        self.stream.receive(f"{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode())

    @property
    def head(self) -> bytes:
        return self.stream.sent.partition(b"\r\n\r\n")[0]

    @property
    def text(self) -> bytes:
        return self.stream.sent.partition(b"\r\n\r\n")[2]


class Site:
    """A cache before an origin, and clients before the cache. `answer` says what the origin says to everybody."""

    def __init__(
        self,
        options: CacheOptions | None = None,
        *,
        store_bytes: int = 1 << 22,
        most: int = 1 << 20,
        store: Any = None,
    ) -> None:
        self.now = NOW
        self.asked: list[Request] = []
        self.exchanges: list[Exchange] = []
        self.outcomes: list[Outcome] = []
        self.own: list[Exchange] = []
        store = store or MemoryStore(store_bytes, max_object_bytes=most)
        self.keeper = Keeper(store, wall=lambda: self.now)
        self.answer: Origin = saying(b"content", FRESH)
        self.cache = Cache(options or CacheOptions(), self.keeper)
        handler = chain([self.observe, self.cache], self.origin)
        self.server = HttpServer("site", handler, ErrorAnswer(ErrorAnswerOptions()), HeadParser(), Timeouts(), 0)

    def observe(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        self.exchanges.append(exchange)
        exchange.at_end(self.outcomes.append)
        return forward(exchange, request)

    async def origin(self, exchange: Exchange, request: Request) -> Response:
        self.asked.append(request)
        self.own.append(exchange)
        return await self.answer(exchange, request)

    async def when(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - nothing here sets an event
                await asyncio.sleep(0)

    async def get(self, path: str = "/", *fields: str, method: str = "GET") -> Client:
        """An answer, to its end."""
        client, before = Client(self), len(self.outcomes)
        client.ask(path, *fields, method=method)
        await self.when(lambda: len(self.outcomes) > before)
        return client

    @property
    def notes(self) -> list[str]:
        return [exchange.notes.get("cache", "") for exchange in self.exchanges]


def saying(text: bytes, fields: Any = (), status: int = 200) -> Origin:
    async def answer(exchange: Exchange, request: Request) -> Response:
        return Response(status, Fields(fields), Body(text))

    return answer


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    yield site
    await site.keeper.close()


async def test_a_fetch_goes_the_way_that_was_chosen_for_who_asked(site: Site) -> None:
    """An access rule may say through which proxy: a fetch that forgot it would go round that."""
    observe = site.observe

    def chosen(exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        exchange.through, exchange.groups, exchange.route = "far", ("staff",), "shop"
        return observe(exchange, request, forward)

    site.server.handler = chain([chosen, site.cache], site.origin)
    assert (await site.get()).text == b"content"
    [own] = site.own
    assert own is not site.exchanges[0]
    assert (own.through, own.groups, own.route) == ("far", ("staff",), "shop")


async def test_what_is_fresh_is_served_without_its_origin(site: Site) -> None:
    first = await site.get()
    assert first.text == b"content"
    assert b"\r\nCache-Status: interpose; fwd=uri-miss; stored" in first.head
    site.now += 10
    second = await site.get()
    assert second.text == b"content"
    assert b"\r\nAge: 10\r\n" in second.head
    assert b"\r\nCache-Status: interpose; hit; ttl=50" in second.head
    assert len(site.asked) == 1
    assert site.notes == ["miss", "hit"]


async def test_a_hit_needs_no_waiting(site: Site) -> None:
    await site.get()
    client = Client(site)
    client.ask()
    assert client.text == b"content"  # without a turn of the loop
    assert site.notes == ["miss", "hit"]


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


async def test_a_store_that_has_to_be_waited_for_is() -> None:
    site = Site(store=Remote(MemoryStore(1 << 22)))
    await site.get()
    assert (await site.get()).text == b"content"
    assert (await site.get("/", method="HEAD")).text == b""
    site.now += 100
    await site.get()
    assert site.notes == ["miss", "hit", "hit", "miss"]
    assert len(site.asked) == 2
    await site.keeper.close()


async def test_two_hundred_clients_and_one_request(site: Site) -> None:
    gate = asyncio.Event()
    source = Source(10)

    async def slow(exchange: Exchange, request: Request) -> Response:
        await gate.wait()
        return Response(200, Fields(FRESH), source.body)

    site.answer = slow
    clients = [Client(site) for _ in range(200)]
    for client in clients:
        client.ask()
    await site.when(lambda: len(site.asked) == 1)
    gate.set()
    await site.when(lambda: source.body._sink is not None)
    source.body.feed(b"01234")
    await site.when(lambda: all(client.text == b"01234" for client in clients))
    source.body.feed(b"56789")
    source.body.finish()
    await site.when(lambda: len(site.outcomes) == 200)
    assert {client.text for client in clients} == {b"0123456789"}
    assert len(site.asked) == 1
    assert site.notes.count("collapsed") == 199
    assert (await site.get()).text == b"0123456789"
    assert site.notes[-1] == "hit"
    assert site.keeper.running == 0


@pytest.mark.parametrize(
    ("answered", "asked"),
    [
        ([("Cache-Control", "max-age=60")], 3),
        ([("Cache-Control", "max-age=60"), ("Vary", "X-Auth-User")], 2),
        ([("Cache-Control", "max-age=60, public")], 1),
        ([("Cache-Control", "s-maxage=60")], 1),
    ],
)
async def test_a15_an_answer_to_who_was_named_to_the_server_is_shared_only_where_it_says_so(
    answered: list[tuple[str, str]], asked: int
) -> None:
    """The credentials themselves are not seen here: a service that was asked has put a name in their place."""
    site = Site(CacheOptions(is_gateway=True, told_fields=("x-auth-user",)))

    async def greet(exchange: Exchange, request: Request) -> Response:
        return Response(200, Fields(answered), Body(request.fields.get("X-Auth-User", "nobody").encode()))

    site.answer = greet
    for user in ("ann", "ben", "ann"):
        text = (await site.get("/", f"X-Auth-User: {user}")).text
        assert text == user.encode() or asked == 1
    assert len(site.asked) == asked
    await site.keeper.close()


async def test_what_cannot_be_shared_is_for_who_asked_first_and_the_others_ask(site: Site) -> None:
    gate = asyncio.Event()

    async def private(exchange: Exchange, request: Request) -> Response:
        number = len(site.asked)
        await gate.wait()
        return Response(200, Fields([("Cache-Control", "private")]), Body(b"%d" % number))

    site.answer = private
    clients = [Client(site) for _ in range(5)]
    for client in clients:
        client.ask()
    await site.when(lambda: bool(site.asked))
    gate.set()
    await site.when(lambda: len(site.outcomes) == 5)
    assert sorted(client.text for client in clients) == [b"1", b"2", b"3", b"4", b"5"]
    assert site.exchanges[0].notes["not_stored"] == "it is private"


async def test_a_truncated_answer_is_seen_as_one_and_never_stored(site: Site) -> None:
    source = Source(10)

    async def cut(exchange: Exchange, request: Request) -> Response:
        return Response(200, Fields(FRESH), source.body)

    site.answer = cut
    client = Client(site)
    client.ask()
    await site.when(lambda: source.body._sink is not None)
    source.body.feed(b"01234")
    source.body.fail(Failure("http_response_incomplete", Side.UPSTREAM, "It broke off."))
    await site.when(lambda: bool(site.outcomes))
    assert client.stream.was_aborted
    assert client.text == b"01234"
    site.answer = saying(b"whole", FRESH)
    assert (await site.get()).text == b"whole"
    assert len(site.asked) == 2


async def test_an_answer_whose_end_nobody_can_see_is_not_stored(site: Site) -> None:
    async def old(exchange: Exchange, request: Request) -> Response:
        response = Response(200, Fields(FRESH), Body(b"perhaps all"))
        response.ends_with_connection = True
        return response

    site.answer = old
    await site.get()
    await site.get()
    assert len(site.asked) == 2


async def test_who_leaves_does_not_end_a_fetch(site: Site) -> None:
    gate, source = asyncio.Event(), Source(10)

    async def slow(exchange: Exchange, request: Request) -> Response:
        await gate.wait()
        return Response(200, Fields(FRESH), source.body)

    site.answer = slow
    client = Client(site)
    client.ask()
    await site.when(lambda: bool(site.asked))
    client.stream.lose()
    await site.when(lambda: bool(site.outcomes))
    gate.set()
    await site.when(lambda: source.body._sink is not None)
    source.body.feed(b"0123456789")
    source.body.finish()
    assert (await site.get()).text == b"0123456789"
    assert len(site.asked) == 1


async def test_who_leaves_ends_a_fetch_where_that_is_wished() -> None:
    site = Site(CacheOptions(finish_abandoned=False))
    source = Source(10)
    cancelled = asyncio.Event()

    async def slow(exchange: Exchange, request: Request) -> Response:
        if len(site.asked) == 2:
            return Response(200, Fields(FRESH), source.body)
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    site.answer = slow
    client = Client(site)
    client.ask()
    await site.when(lambda: bool(site.asked))
    client.stream.lose()
    await asyncio.wait_for(cancelled.wait(), 10)
    client = Client(site)
    client.ask()
    await site.when(lambda: source.body._sink is not None)
    source.body.feed(b"01234")
    await site.when(lambda: client.text == b"01234")
    client.stream.lose()
    await site.when(lambda: source.was_cancelled)
    assert site.keeper.running == 0
    await site.keeper.close()


async def test_a_stale_answer_is_validated_and_good_again(site: Site) -> None:
    site.answer = saying(b"content", [*FRESH, ("ETag", '"1"')])
    await site.get()
    site.now += 100

    async def same(exchange: Exchange, request: Request) -> Response:
        assert request.fields["if-none-match"] == '"1"'
        return Response(304, Fields([("ETag", '"1"'), ("Cache-Control", "max-age=30"), ("X-New", "1")]))

    site.answer = same
    client = await site.get()
    assert client.head.startswith(b"HTTP/1.1 200 ")
    assert client.text == b"content"
    assert b"X-New: 1" in client.head
    assert b"fwd=stale; fwd-status=304" in client.head
    site.now += 29
    await site.get()
    assert site.notes == ["miss", "revalidated", "hit"]
    assert len(site.asked) == 2


async def test_a_304_about_something_else_is_asked_again_without_a_condition(site: Site) -> None:
    site.answer = saying(b"old", [*FRESH, ("ETag", '"1"')])
    await site.get()
    site.now += 100

    async def other(exchange: Exchange, request: Request) -> Response:
        if "if-none-match" in request.fields:
            return Response(304, Fields([("ETag", '"2"')]))
        return Response(200, Fields([*FRESH, ("ETag", '"2"')]), Body(b"new"))

    site.answer = other
    assert (await site.get()).text == b"new"
    assert (await site.get()).text == b"new"
    assert len(site.asked) == 3


async def test_a_stale_answer_stands_in_for_an_origin_that_fails(site: Site) -> None:
    site.answer = saying(b"old", [("Cache-Control", "max-age=60, stale-if-error=600"), ("ETag", '"1"')])
    await site.get()
    site.now += 100
    site.answer = saying(b"broken", status=503)
    client = await site.get()
    assert client.text == b"old"
    assert b"hit; ttl=-40" in client.head

    async def refused(exchange: Exchange, request: Request) -> Response:
        raise Failure("connection_refused", Side.UPSTREAM, "Nobody is there.")

    site.answer = refused
    assert (await site.get()).text == b"old"
    site.now += 1000
    assert (await site.get()).head.startswith(b"HTTP/1.1 502 ")
    assert site.notes == ["miss", "stale", "stale", "miss"]


async def test_a_stale_answer_stands_in_for_a_minute_where_there_is_no_answer_and_nothing_was_said(site: Site) -> None:
    side = Side.UPSTREAM

    async def broken(exchange: Exchange, request: Request) -> Response:
        raise Failure("connection_terminated", side, "It is gone.", sent=True)

    site.answer = saying(b"old", FRESH)
    await site.get()
    site.now += 119
    site.answer = broken
    assert (await site.get()).text == b"old"
    assert (await site.get("/", "If-Unmodified-Since: x")).text == b"old"
    side = Side.DOWNSTREAM  # refused by a rule: nothing is wrong with the origin
    assert (await site.get()).head.startswith(b"HTTP/1.1 502 ")
    site.answer = saying(b"broken", status=503)
    assert (await site.get()).text == b"broken"
    site.answer, side = broken, Side.UPSTREAM
    site.now += 2
    assert (await site.get()).head.startswith(b"HTTP/1.1 502 ")


async def test_a_stale_answer_is_served_while_it_is_validated(site: Site) -> None:
    site.answer = saying(b"old", [("Cache-Control", "max-age=60, stale-while-revalidate=600"), ("ETag", '"1"')])
    await site.get()
    site.now += 100
    site.answer = saying(b"new", FRESH)
    clients = [await site.get() for _ in range(2)]
    assert clients[0].text == b"old"
    await site.when(lambda: not site.keeper.running)
    assert (await site.get()).text == b"new"
    assert len(site.asked) == 2
    assert site.own[1].attempts is not site.exchanges[1].attempts


@pytest.mark.parametrize("own", ["Authorization: Basic eDp5", "Cache-Control: no-store"])
async def test_what_an_origin_tells_one_alone_neither_renews_nor_removes_what_is_stored(site: Site, own: str) -> None:
    async def validated(exchange: Exchange, request: Request) -> Response:
        is_known = "if-none-match" in request.fields
        return Response(304 if is_known else 200, Fields([*FRESH, ("ETag", '"1"')]), Body(b"" if is_known else b"all"))

    site.answer = validated
    await site.get()
    site.now += 100
    assert (await site.get("/", own)).text == b"all"
    assert site.keeper.store.counters()["objects"] == 1
    assert b"fwd=stale; fwd-status=304; stored" in (await site.get()).head


@pytest.mark.parametrize("control", ["private, max-age=60", "no-store"])
async def test_what_a_head_says_is_private_is_not_stored_any_more(site: Site, control: str) -> None:
    site.answer = saying(b"content", [("Cache-Control", "max-age=60")])
    await site.get()
    site.now += 100
    site.answer = saying(b"", [("Cache-Control", control)])
    await site.get(method="HEAD")
    assert site.keeper.store.counters()["objects"] == 0


@pytest.mark.parametrize(("method", "field"), [("HEAD", "X: 1"), ("GET", "Cache-Control: no-store")])
async def test_only_what_may_be_stored_is_fetched_in_the_background(site: Site, method: str, field: str) -> None:
    site.answer = saying(b"old", [("Cache-Control", "max-age=60, stale-while-revalidate=600"), ("ETag", '"1"')])
    await site.get()
    site.now += 100
    site.answer = saying(b"new", FRESH)
    assert b"hit; ttl=-40" in (await site.get("/", field, method=method)).head
    await site.when(lambda: not site.keeper.running)
    assert len(site.asked) == 1
    assert (await site.get()).text == b"old"
    await site.when(lambda: not site.keeper.running)
    assert (await site.get()).text == b"new"


async def test_a_part_and_a_condition_are_answered_from_what_is_stored(site: Site) -> None:
    site.answer = saying(b"0123456789", [*FRESH, ("ETag", '"1"'), ("Content-Type", "text/plain")])
    part = await site.get("/", "Range: bytes=2-4")
    assert part.head.startswith(b"HTTP/1.1 206 ")
    assert part.text == b"234"
    assert b"\r\nContent-Range: bytes 2-4/10\r\n" in part.head
    assert "range" not in site.asked[0].fields
    parts = await site.get("/", "Range: bytes=0-1,8-9")
    assert b"multipart/byteranges" in parts.head
    assert parts.text.count(b"Content-Range:") == 2
    assert f"Content-Length: {len(parts.text)}".encode() in parts.head
    assert (await site.get("/", "Range: bytes=99-")).head.startswith(b"HTTP/1.1 416 ")
    same = await site.get("/", 'If-None-Match: "1"')
    assert same.head.startswith(b"HTTP/1.1 304 ")
    assert same.text == b""
    head = await site.get("/", method="HEAD")
    assert head.head.endswith(b"\r\nContent-Length: 10")
    assert head.text == b""
    assert len(site.asked) == 1


async def test_a31_no_range_makes_more_than_there_is(site: Site) -> None:
    content = bytes(range(256)) * 40
    site.answer = saying(content, FRESH)
    await site.get()
    odd = [
        "bytes=0-", "bytes=-1", "bytes=-0", "bytes=0-0", "bytes=-", "bytes=", "bytes=a-b", "bytes=5-2", "bytes=1-2,",
        "bytes=,1-2", "bytes 0-1", "lines=0-1", "bytes=0-18446744073709551616", "bytes=18446744073709551616-",
        "bytes=-18446744073709551616", "bytes=" + "9" * 400 + "-", "bytes=0x1-2", "bytes=+1-2", "bytes=1-+2",
        "bytes=--1", "bytes=0-0," * 9, "bytes=" + "0-," * 1000, "bytes=" + ",".join(f"{n}-{n}" for n in range(1000)),
        "bytes=0-9,5-14,10-19", "bytes=0-10239,0-10239,0-10239", "bytes=10239-10240", "bytes=10240-",
        "bytes=0-1;bytes=3-4", "BYTES=0-1", "bytes=1-2, 4-5,\t7-8",
    ]  # fmt: skip
    for value in odd:
        client = await site.get("/", f"Range: {value}")
        status = int(client.head.split(b" ")[1])
        assert status in (200, 206, 416), value
        assert len(client.text) <= len(content) + 1000, value
    assert len(site.asked) == 1


async def test_what_a_method_changes_is_forgotten_also_where_it_is_being_fetched(site: Site) -> None:
    await site.get()
    site.answer = saying(b"done")
    await site.get(method="POST")
    site.answer = saying(b"newer", FRESH)
    assert (await site.get()).text == b"newer"
    assert b"fwd=method" in (await site.get("/", method="DELETE")).head
    gate = asyncio.Event()

    async def slow(exchange: Exchange, request: Request) -> Response:
        if request.method == "GET":
            await gate.wait()
        return Response(200, Fields(FRESH), Body(b"before the change"))

    site.answer = slow
    client = Client(site)
    client.ask()
    await site.when(lambda: len(site.asked) == 5)
    await site.get(method="PUT")
    gate.set()
    await site.when(lambda: bool(client.text))
    site.answer = saying(b"after", FRESH)
    assert (await site.get()).text == b"after"


async def test_variants_are_told_apart(site: Site) -> None:
    async def by_language(exchange: Exchange, request: Request) -> Response:
        language = request.fields.get("accept-language", "none")
        return Response(200, Fields([*FRESH, ("Vary", "Accept-Language")]), Body(language.encode()))

    site.answer = by_language
    for _ in range(2):
        for language in ("de", "fr"):
            assert (await site.get("/", f"Accept-Language: {language}")).text == language.encode()
    assert len(site.asked) == 2
    assert b"fwd=vary-miss" in (await site.get("/", "Accept-Language: it")).head


async def test_those_who_wait_for_another_variant_ask_for_theirs(site: Site) -> None:
    gate = asyncio.Event()

    async def by_language(exchange: Exchange, request: Request) -> Response:
        await gate.wait()
        language = request.fields.get("accept-language", "none")
        return Response(200, Fields([*FRESH, ("Vary", "Accept-Language")]), Body(language.encode()))

    site.answer = by_language
    clients = {language: [Client(site) for _ in range(5)] for language in ("de", "fr")}
    for language, asking in clients.items():
        for client in asking:
            client.ask("/", f"Accept-Language: {language}")
    await site.when(lambda: bool(site.asked))
    gate.set()
    await site.when(lambda: len(site.outcomes) == 10)
    for language, asking in clients.items():
        assert {client.text for client in asking} == {language.encode()}
    assert len(site.asked) <= 6


async def test_what_must_be_validated_is_nobody_elses_while_it_arrives(site: Site) -> None:
    gate = asyncio.Event()

    async def for_each(exchange: Exchange, request: Request) -> Response:
        await gate.wait()
        return Response(200, Fields([("ETag", '"x"')]), Body((request.fields.get("cookie") or "").encode()))

    site.answer = for_each
    clients = [Client(site) for _ in range(4)]
    for number, client in enumerate(clients):
        client.ask("/", f"Cookie: {number}")
    await site.when(lambda: bool(site.asked))
    gate.set()
    await site.when(lambda: len(site.outcomes) == 4)
    assert [client.text for client in clients] == [b"0", b"1", b"2", b"3"]


async def test_only_if_cached_is_504(site: Site) -> None:
    client = await site.get("/", "Cache-Control: only-if-cached")
    assert client.head.startswith(b"HTTP/1.1 504 ")
    assert site.asked == []
    assert site.exchanges[0].notes["filter"] == "cache"


async def test_f25_a_fetch_that_fails_is_tried_once_more_for_all_who_wait(site: Site) -> None:
    gate = asyncio.Event()

    async def fails(exchange: Exchange, request: Request) -> Response:
        await gate.wait()
        raise Failure("connection_terminated", Side.UPSTREAM, "It is gone.", sent=True)

    site.answer = fails
    clients = [Client(site) for _ in range(200)]
    for client in clients:
        client.ask()
    await site.when(lambda: bool(site.asked))
    gate.set()
    await site.when(lambda: len(site.outcomes) == 200)
    assert len(site.asked) == 2
    assert {client.head[:12] for client in clients} == {b"HTTP/1.1 502"}


async def test_f25_who_has_waited_long_enough_asks_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interpose.filters.cache.fetch.LOCK_AGE_S", 0.02)
    gate = asyncio.Event()

    async def stuck(exchange: Exchange, request: Request) -> Response:
        if len(site.asked) == 1:
            await gate.wait()
        return Response(200, Fields(FRESH), Body(b"%d" % len(site.asked)))

    site.answer = stuck
    clients = [Client(site) for _ in range(20)]
    for client in clients:
        client.ask()
    await site.when(lambda: len(site.outcomes) == 19)
    assert len(site.asked) == 2
    assert clients[0].text == b""
    gate.set()
    await site.when(lambda: len(site.outcomes) == 20)


async def test_a_slow_client_slows_neither_store_nor_others(site: Site) -> None:
    content = b"x" * 400_000
    source = Source(len(content))

    async def large(exchange: Exchange, request: Request) -> Response:
        return Response(200, Fields(FRESH), source.body)

    site.answer = large
    slow = Client(site)
    slow.stream._window = 10
    slow.ask()
    quick = Client(site)
    quick.ask()
    await site.when(lambda: source.body._sink is not None)
    for place in range(0, len(content), 50_000):
        source.body.feed(content[place : place + 50_000])
        await asyncio.sleep(0)
    source.body.finish()
    await site.when(lambda: len(quick.text) == len(content))
    assert (await site.get()).text == content
    assert len(slow.text) < 100_000

    def takes_all() -> bool:
        slow.stream.take()
        return len(slow.text) == len(content)

    await site.when(takes_all)
    assert slow.text == content


async def test_what_is_too_large_is_streamed_and_not_stored() -> None:
    site = Site(most=1000)
    source = Source(None)

    async def large(exchange: Exchange, request: Request) -> Response:
        return Response(200, Fields(FRESH), source.body)

    site.answer = large
    client = Client(site)
    client.ask("/chunked")
    await site.when(lambda: source.body._sink is not None)
    for _ in range(10):
        source.body.feed(b"y" * 500)
    source.body.finish()
    await site.when(lambda: bool(site.outcomes))
    assert site.outcomes[0].failure is None
    assert site.outcomes[0].body_bytes == 5000
    site.answer = saying(b"z" * 2000, FRESH)
    assert len((await site.get("/sized")).text) == 2000
    assert "too large" in site.exchanges[-1].notes["not_stored"]
    await site.get("/chunked")
    assert len(site.asked) == 3
    await site.keeper.close()


@pytest.mark.parametrize("is_sized", [True, False])
async def test_what_is_stored_goes_where_something_newer_cannot_be_stored(is_sized: bool) -> None:
    site = Site(most=1000)
    old = [("Cache-Control", "max-age=60, stale-if-error=600"), ("Vary", "Accept-Language")]
    for language in ("de", "fr"):
        site.answer = saying(f"old {language}".encode(), old)
        await site.get("/", f"Accept-Language: {language}")
    site.now += 100

    async def large(exchange: Exchange, request: Request) -> Response:
        source = Source(2000 if is_sized else None)
        asyncio.get_running_loop().call_soon(source.body.feed, b"x" * 2000)
        asyncio.get_running_loop().call_soon(source.body.finish)
        return Response(200, Fields(old), source.body)

    site.answer = large
    await site.get("/", "Accept-Language: de")
    await site.when(lambda: not site.keeper.running)
    site.answer = saying(b"broken", status=503)
    assert (await site.get("/", "Accept-Language: de")).text == b"broken"
    assert (await site.get("/", "Accept-Language: fr")).text == b"old fr"
    await site.keeper.close()


@pytest.mark.parametrize(("status", "is_gone"), [(200, True), (302, True), (404, True), (403, False), (429, False)])
async def test_9111_4_3_3_a_full_answer_to_a_validation_says_that_what_is_stored_is_not_suitable(
    site: Site, status: int, is_gone: bool
) -> None:
    site.answer = saying(b"old", [("Cache-Control", "max-age=60, stale-if-error=600"), ("ETag", '"1"')])
    await site.get()
    site.now += 100
    site.answer = saying(b"new", [("Cache-Control", "no-store")], status)
    assert (await site.get()).text == b"new"
    site.answer = saying(b"broken", status=503)
    assert (await site.get()).text == (b"broken" if is_gone else b"old")


async def test_rules_say_what_is_left_out_how_long_and_what_makes_a_difference() -> None:
    rules = (
        CacheRule(path="/api", bypass=True),
        CacheRule(cookie="session", bypass=True),
        CacheRule(path="/silent", ttl_s=30),
        CacheRule(path="/wrong", override_ttl_s=30),
        CacheRule(path="/shop", key_cookies=("currency",), key_fields=("X-Country",)),
    )
    site = Site(CacheOptions(rules=rules, ignored_parameters=("utm_*",)))

    async def count(path: str, *fields: str) -> int:
        before = len(site.asked)
        await site.get(path, *fields)
        return len(site.asked) - before

    assert [await count("/api/x") for _ in range(2)] == [1, 1]
    assert [await count("/", "Cookie: session=1") for _ in range(2)] == [1, 1]
    assert [await count("/?utm_a=1"), await count("/?utm_b=2"), await count("/?a=1")] == [1, 0, 1]
    assert [await count("/shop", "Cookie: currency=eur"), await count("/shop", "Cookie: currency=usd")] == [1, 1]
    assert [await count("/shop", "Cookie: currency=eur; x=1"), await count("/shop", "X-Country: de")] == [0, 1]
    site.answer = saying(b"silent")
    assert [await count("/silent") for _ in range(2)] == [1, 0]
    assert [await count("/other") for _ in range(2)] == [1, 1]
    site.answer = saying(b"wrong", [("Cache-Control", "max-age=0")])
    assert [await count("/wrong") for _ in range(2)] == [1, 0]
    site.answer = saying(b"done")
    await site.get("/shop", method="POST")
    assert await count("/shop", "Cookie: currency=eur") == 1
    await site.keeper.close()


@pytest.mark.parametrize(
    ("origin", "says", "is_kept"),
    [
        ("https://b", [], False),
        ("https://b", [("Access-Control-Allow-Origin", "*")], True),
        ("https://b", [("Access-Control-Allow-Origin", "https://b")], False),
        ("https://b", [("Access-Control-Allow-Origin", "https://b"), ("Vary", "Origin")], True),
        ("https://b", [("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Origin", "https://b")], False),
        ("", [("Access-Control-Allow-Origin", "https://b")], True),
    ],
)
async def test_a14_what_another_site_asks_for_is_kept_where_the_answer_is_for_every_site(
    site: Site, origin: str, says: list[tuple[str, str]], is_kept: bool
) -> None:
    site.answer = saying(b"font", [*FRESH, *says])
    fields = [f"Origin: {origin}"] if origin else []
    for _ in range(2):
        await site.get("/font", *fields)
    assert len(site.asked) == (1 if is_kept else 2)


async def test_purging_by_url_prefix_host_and_tag(site: Site) -> None:
    async def tagged(exchange: Exchange, request: Request) -> Response:
        return Response(200, Fields([*FRESH, ("Surrogate-Key", f"all {request.target.path[1:]}"), ("ETag", '"1"')]))

    site.answer = tagged
    for path in ("/a", "/ab", "/b"):
        await site.get(path)
    assert [head["bytes"] for head in await site.keeper.listed("*", 10)] == [0, 0, 0]
    assert await site.keeper.purge("http://a/a", soft=False) == 1
    assert await site.keeper.purge("tag:b", soft=True) == 1
    assert await site.keeper.purge("host:other", soft=False) == 0
    client = await site.get("/b")
    assert b"fwd=stale" in client.head
    assert await site.keeper.purge("http://a/*", soft=False) == 2
    with pytest.raises(ValueError, match="no pattern"):
        await site.keeper.purge("nonsense", soft=False)
    miss = site.keeper.last_miss("http://a/a")
    assert miss is not None
    assert miss["why"] == "uri-miss"


async def test_nothing_is_left_behind(site: Site) -> None:
    source = Source(100)

    async def slow(exchange: Exchange, request: Request) -> Response:
        if request.target.path == "/head":
            return await asyncio.get_running_loop().create_future()
        return Response(200, Fields(FRESH), source.body)

    site.answer = slow
    for path in ("/head", "/body"):
        client = Client(site)
        client.ask(path)
    await site.when(lambda: len(site.asked) == 2 and source.body._sink is not None)
    await site.keeper.close()
    await asyncio.sleep(0)
    assert source.was_cancelled
    assert site.keeper.running == 0
    assert [own.outcome is not None for own in site.own] == [True, True]
    gc.collect()
    assert len(asyncio.all_tasks()) == 1
