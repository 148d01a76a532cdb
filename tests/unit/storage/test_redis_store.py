from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.support.certificates import CertificateAuthority
from tests.support.redis_server import RedisServer
from tests.support.store_conformance import (
    KEY,
    MAX_OBJECT_BYTES,
    StoreConformance,
    begin,
    content_of,
    found,
    head_for,
    put,
    read,
)

from interpose.core.fields import field_line
from interpose.filters.cache.pattern import matcher
from interpose.protocol.freshness import Policy
from interpose.protocol.stored import StoredHead
from interpose.storage.keep_time import seconds_to_keep
from interpose.storage.redis_link import LinkOptions
from interpose.storage.redis_store import RedisStore
from interpose.storage.store import Entry

LARGE = content_of(40000)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    """A client of an empty server."""
    with server.client() as asking:
        asking.flushall()
        yield asking


def redis_store(server: RedisServer, secret: bytes = b"secret", timeout_s: float = 5.0, **more: Any) -> RedisStore:
    """A store that waits longer than a user's, for a machine that is busy."""
    options = LinkOptions(server.url, connect_timeout_s=5.0, timeout_s=timeout_s)
    keep: Callable[[StoredHead], float] = more.pop("keep", lambda head: 600.0)
    return RedisStore(options, secret, more.pop("space", "test"), matcher, keep, **more)


@pytest.fixture
async def store(server: RedisServer, client: redis.Redis) -> AsyncIterator[RedisStore]:
    store = redis_store(server)
    yield store
    await store.close()


@pytest.fixture
async def other(server: RedisServer, client: redis.Redis) -> AsyncIterator[RedisStore]:
    """Another node with the same key."""
    store = redis_store(server)
    yield store
    await store.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what a store does sets no event of ours
            await asyncio.sleep(0.005)


def names(client: redis.Redis, kind: str) -> list[bytes]:
    return sorted(name for name in client.scan_iter(count=1000) if re.search(rb":" + kind.encode() + rb"(:|$)", name))


class TestConformance(StoreConformance):
    @pytest.fixture
    async def store(self, server: RedisServer, client: redis.Redis) -> AsyncIterator[RedisStore]:
        store = redis_store(server, max_object_bytes=MAX_OBJECT_BYTES)
        yield store
        await store.close()


# --- what it looks like there ---------------------------------------------------------------------------------------


async def test_what_one_node_stores_the_other_finds(store: RedisStore, other: RedisStore) -> None:
    small = await put(store, b"hello", tags=(b"one",))
    large = await put(store, LARGE, vary=((b"accept", b"x"),), time=2000.0)
    first, second = await found(other)
    assert (first.head, await read(first)) == (large, LARGE)
    assert (second.head, await read(second)) == (small, b"hello")


async def test_a41_names_are_digests_and_everything_has_an_end(store: RedisStore, client: redis.Redis) -> None:
    await put(store, LARGE, b"GET http://a.example/secret\r\nFLUSHALL\r\n *?[", tags=(b"secret",))
    await put(store, b"hello", b"GET http://a.example/ shade=dark", tags=(b"secret",))
    await put(store, b"again", b"GET http://a.example/ shade=dark", time=2000.0)
    digest = r"[0-9a-f]{32}"
    form = re.compile(rf"interpose:[0-9a-f]{{16}}:(h:{digest}|b:{digest}:{digest}|s:{digest}|all|totals|news)")
    keys = [name.decode() for name in client.scan_iter()]
    assert len(keys) == 10
    assert [name for name in keys if form.fullmatch(name) is None] == []
    assert [name for name in keys if not 0 < client.ttl(name) <= 7 * 86400] == []


async def test_redis_forgets_by_itself_what_is_of_no_use_any_more(client: redis.Redis, server: RedisServer) -> None:
    keep = seconds_to_keep([Policy(grace_s=200.0), Policy(override_ttl_s=50.0)], lambda: 1000.0)
    store = redis_store(server, keep=keep)
    try:
        for lines, seconds in [
            (["Cache-Control: max-age=600"], 800),
            (["Cache-Control: max-age=600, stale-if-error=900"], 1500),
            (["Cache-Control: max-age=600, stale-while-revalidate=300"], 900),
            (["Cache-Control: max-age=600", 'ETag: "1"'], 4200),
            (["Cache-Control: max-age=1"], 201),
            (["Cache-Control: max-age=99999999"], 7 * 86400),
        ]:
            fields = tuple(field_line(*line.split(": ", 1)) for line in lines)
            head = head_for(LARGE, lines=fields, time=1000.0).replace(response_time=1000.0)
            begin(store, head, [LARGE]).commit(head)
            await store.settle()
            [name], [body] = names(client, "h"), names(client, "b")
            assert seconds - 5 <= client.ttl(name) <= seconds, lines
            assert seconds - 5 <= client.ttl(body) <= seconds, lines
            client.flushall()
    finally:
        await store.close()


async def test_what_redis_has_evicted_is_a_miss(store: RedisStore, client: redis.Redis) -> None:
    await put(store, LARGE)
    await put(store, b"small", vary=((b"accept", b"x"),))
    client.delete(*names(client, "b"))
    [entry] = await found(store)
    assert await read(entry) == b"small"
    client.delete(*names(client, "h"))
    assert await found(store) == []
    await put(store, b"again")
    [entry] = await found(store)
    assert await read(entry) == b"again"


async def test_a_purge_looks_at_nothing_but_what_it_is_about(store: RedisStore, client: redis.Redis) -> None:
    for number in range(300):
        await put(store, b"x", b"GET http://a.example/%d" % number, tags=(b"rare",) if number % 100 == 0 else ())
    await put(store, b"x", b"GET http://b.example:81/0")
    await put(store, b"x", b"GET http://b.example:81/0 shade=dark")
    for pattern, purged in [
        ("http://a.example/5", 1),
        ("http://b.example:81/0", 2),
        ("tag:rare", 3),
        ("host:b.example", 0),
        ("http://c.example/*", 0),
    ]:
        client.config_resetstat()
        assert await store.purge(matcher(pattern), soft=False) == purged, pattern
        assert client.info("commandstats").get("cmdstat_hgetall", {"calls": 0})["calls"] <= purged + 2, pattern
    assert await store.purge(matcher("host:a.example"), soft=True) == 296
    assert await store.purge(matcher("http://a.example/1*"), soft=False) == 110
    assert await store.purge(matcher("*"), soft=False) == 296 - 110
    assert store.counters()["objects"] == 0


# --- who can write there is not believed ----------------------------------------------------------------------------


async def test_a41_no_octet_of_a_record_can_be_changed(store: RedisStore, client: redis.Redis) -> None:
    await put(store, b"hello", tags=(b"one",))
    [name] = names(client, "h")
    [(field, raw)] = client.hgetall(name).items()
    for place in range(len(raw)):
        changed = raw[:place] + bytes((raw[place] ^ 1,)) + raw[place + 1 :]
        client.hset(name, field, changed)
        assert await found(store) == [], place
    client.hset(name, field, raw)
    assert len(await found(store)) == 1


async def test_a41_no_content_can_be_changed(store: RedisStore, client: redis.Redis) -> None:
    await put(store, LARGE)
    [name] = names(client, "b")
    for bad in (b"", LARGE[:-1], LARGE + b"x", LARGE[:-1] + b"?", b"x" * 1000):
        client.set(name, bad)
        assert await found(store) == []
    client.set(name, LARGE)
    assert len(await found(store)) == 1
    assert store.counters()["damaged"] == 5


async def test_a41_a_record_of_another_place_version_or_cluster_is_a_miss(
    store: RedisStore, server: RedisServer, client: redis.Redis
) -> None:
    await put(store, b"mine")
    await put(store, b"yours", b"GET http://a.example/yours")
    stranger = redis_store(server, b"another secret")
    try:
        await put(stranger, b"theirs")
        mine, yours, theirs = (
            next(name for name in names(client, "h") if content in b"".join(client.hvals(name)))
            for content in (b"mine", b"yours", b"theirs")
        )
        [(field, raw)] = client.hgetall(mine).items()
        for bad in (
            client.hvals(yours)[0],
            client.hvals(theirs)[0],
            b"R0" + raw[2:],
            b"R2" + raw[2:],
            b"",
            b"R1",
            raw[:-1],
            raw + b"x",
            b"\x80\x04\x95\x00.",
            *[random.Random(seed).randbytes(seed * 7) for seed in range(100)],
        ):
            client.hset(mine, field, bad)
            assert await found(store) == []
        client.hset(mine, mapping={b"": raw, b"0" * 16: raw, b"\xff" * 300: raw, field: b"no"})
        assert await found(store) == []
        client.copy(mine, theirs, replace=True)
        assert await found(stranger) == []
        assert await stranger.entries(matcher("*"), 10) == []
        assert await stranger.purge(matcher("*"), soft=False) == 0
        await put(store, b"again")
        [entry] = await found(store)
        assert await read(entry) == b"again"
    finally:
        await stranger.close()


@pytest.mark.parametrize("kind", ["h", "b", "s", "all", "totals", "news"])
async def test_a41_f10_a_value_of_another_kind_is_a_miss_and_is_replaced(
    store: RedisStore, client: redis.Redis, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    await put(store, LARGE, tags=(b"one",))
    await put(store, LARGE, time=2000.0)
    for name in names(client, kind):
        client.delete(name)
        client.lpush(name, "x") if kind != "news" else client.set(name, "x")
    await found(store)
    await store.entries(matcher("tag:one"), 10)
    for number in range(3):
        await put(store, LARGE, time=3000.0 + number)
    async with asyncio.timeout(10):
        while not await found(store):
            await put(store, LARGE, time=4000.0)
    assert await store.purge(matcher("*"), soft=False) == 1
    assert await found(store) == []
    assert [record for record in caplog.records if record.levelno > logging.WARNING] == []


async def test_a41_a_user_needs_no_more_than_the_manual_says(server: RedisServer, client: redis.Redis) -> None:
    manual = (Path(__file__).parents[3] / "docs/cache.md").read_text()
    rules = " ".join(re.findall(r"`((?:resetchannels )?(?:-@all )?\+[^`]+)`", manual)).split()
    assert "~interpose:*" in rules
    client.execute_command("ACL", "SETUSER", "node", "reset", "on", ">pass word", *rules)
    url = f"unix://node:pass%20word@{server.path}"
    store = RedisStore(LinkOptions(url, 5.0, 5.0), b"secret", "test", matcher, lambda head: 600.0)
    try:
        for number in range(70):  # more variants than are kept
            await put(store, b"x", vary=((b"accept", b"%d" % number),), time=2000.0 + number)
        head = await put(store, LARGE, tags=(b"one",))
        store.refresh(Entry(head, LARGE), head.replace(response_time=5000.0))
        await store.settle()
        assert (await found(store))[0].head.response_time == 5000.0
        store.remove((await found(store))[0])
        store.forget(b"GET http://a.example/other")
        await store.settle()
        assert len(await store.entries(matcher("host:a.example"), 100)) == 63
        assert await store.purge(matcher("http://a.example/"), soft=True) == 63
        assert await store.purge(matcher("*"), soft=False) == 63
        client.set(names(client, "totals")[0], "x")
        await put(store, b"refused")
        await put(store, b"taken", time=9000.0)
        assert [await read(entry) for entry in await found(store)] == [b"taken"]
        assert store.counters()["failures"] == store.counters()["owed"] == 0
        client.execute_command("ACL", "SETUSER", "node", "resetpass", ">another")
        client.execute_command("CLIENT", "KILL", "USER", "node")
        assert list(await store.find(KEY)) == []
        assert store.link.is_away
    finally:
        await store.close()
        client.execute_command("ACL", "DELUSER", "node")


async def test_a41_tls_is_verified(tmp_path: Path) -> None:
    authority, stranger = (CertificateAuthority(tmp_path, name) for name in ("Ours", "Another"))
    pair = authority.issue("localhost", "127.0.0.1")
    files = ("--tls-cert-file", pair.certificate, "--tls-key-file", pair.key, "--tls-ca-cert-file", authority.file)
    with RedisServer(tls=(*files, "--tls-auth-clients", "no")) as server:
        for ca, is_believed in ((authority.file, True), (stranger.file, False), ("", False)):
            url = f"rediss://{server.address}/0" + (f"?ssl_ca_certs={ca}" if ca else "")
            store = RedisStore(LinkOptions(url, 5.0, 5.0), b"secret", "test", matcher, lambda head: 600.0)
            try:
                await put(store, b"hello")
                assert len(await found(store)) == is_believed
                assert store.link.is_away != is_believed
            finally:
                await store.close()


async def test_a41_announcements_that_were_not_sealed_here_are_not_heard(
    store: RedisStore, client: redis.Redis
) -> None:
    await put(store, b"one")
    copies = Copies()
    store.listen(copies)
    news = names(client, "all")[0].replace(b":all", b":news")
    for garbage in ({"m": "x"}, {"m": ""}, {"x": "y"}, {"m": b"\0" * 32 + b"key " + KEY}, {"m": b"\xff" * 1000}):
        client.xadd(news, garbage)
    await put(store, b"two", time=2000.0)
    await until(lambda: bool(copies.heard))
    assert copies.heard == [KEY]


# --- what is announced ----------------------------------------------------------------------------------------------


class Copies:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def changed(self, key: bytes) -> None:
        self.heard.append(key)

    def purged(self, match: Any, *, soft: bool) -> None:
        self.heard.append((match.pattern, soft))

    def forget_all(self) -> None:
        self.heard.append("everything")


async def test_what_a_node_changes_is_announced_and_what_is_new_is_not(store: RedisStore, other: RedisStore) -> None:
    copies = Copies()
    other.listen(copies)
    assert await found(other) == []
    head = await put(store, b"one")
    await put(store, b"two", b"GET http://b.example/")
    [entry] = await found(store)
    store.refresh(entry, head.replace(response_time=2000.0))
    await store.settle()
    await put(store, b"three", vary=((b"accept", b"x"),), time=3000.0)
    store.remove((await found(store))[0])
    await store.purge(matcher("host:b.example"), soft=True)
    await store.purge(matcher("http://a.example/*"), soft=False)
    await until(lambda: len(copies.heard) >= 5)
    assert copies.heard == [KEY, KEY, KEY, ("host:b.example", True), ("http://a.example/*", False)]


async def test_what_was_announced_while_a_node_was_away_is_heard_when_it_is_back(
    store: RedisStore, other: RedisStore
) -> None:
    copies = Copies()
    other.listen(copies)
    await put(store, b"one")
    assert len(await found(other)) == 1
    other.link.lost(ConnectionError("cut"))
    assert await found(other) == []
    await put(store, b"two", time=2000.0)
    await until(lambda: not other.link.is_away)
    assert copies.heard == [KEY]
    [entry] = await found(other)
    assert await read(entry) == b"two"


async def test_who_was_away_for_too_many_announcements_forgets_everything(
    store: RedisStore, other: RedisStore, client: redis.Redis
) -> None:
    copies = Copies()
    other.listen(copies)
    assert await found(other) == []
    await put(store, b"one")
    await put(store, b"one", time=1500.0)
    await until(lambda: copies.heard == [KEY])
    other.link.lost(ConnectionError("cut"))
    [news] = names(client, "news")
    with client.pipeline() as many:
        for _ in range(5000):
            many.xadd(news, {"m": "x"}, maxlen=2048, approximate=True)
        many.execute()
    await until(lambda: not other.link.is_away)
    assert copies.heard == [KEY, "everything"]


# --- when it is not there -------------------------------------------------------------------------------------------


async def test_f10_what_could_not_be_removed_is_removed_before_anything_is_read_again(
    server: RedisServer, client: redis.Redis
) -> None:
    store, other = redis_store(server, timeout_s=0.05), redis_store(server)
    try:
        for number in range(4):
            await put(other, b"x", b"GET http://a.example/%d" % number)
        async with asyncio.timeout(10):
            while not (entries := await store.find(b"GET http://a.example/0")):
                pass  # a first look may be late
        server.stop()
        try:
            store.remove(entries[0])
            assert await store.find(b"GET http://a.example/0") == ()
            assert await store.purge(matcher("http://a.example/1"), soft=False) == 0
            await until(lambda: store.link.is_away)
            assert store.counters()["owed"] == 2
        finally:
            server.go_on()
        await until(lambda: not store.link.is_away)
        assert store.counters()["owed"] == 0
        left = sorted(head.key[-1:] for head in await other.entries(matcher("*"), 10))
        assert left == [b"2", b"3"]
    finally:
        await store.close()
        await other.close()


async def test_f10_a_server_that_is_full_stores_nothing_more_and_serves_and_forgets(client: redis.Redis) -> None:
    with RedisServer("--maxmemory", "4mb", "--maxmemory-policy", "noeviction") as small:
        store = redis_store(small)
        try:
            await put(store, b"hello")
            content = content_of(1 << 20)
            for number in range(8):
                await put(store, content, b"GET http://a.example/%d" % number)
            assert store.counters()["refused"] > 0
            assert not store.link.is_away
            assert store.writer(head_for(b"x")).gave_up
            [entry] = await found(store)
            assert await read(entry) == b"hello"
            assert await store.purge(matcher("*"), soft=False) >= 2
            assert store.counters()["owed"] == 0
            await until(lambda: not store.writer(head_for(b"x")).gave_up)
            await put(store, content)
            [entry] = await found(store)
            assert await read(entry) == content
        finally:
            await store.close()


async def test_a_store_that_nobody_has_used_leaves_nothing_behind(server: RedisServer) -> None:
    before = asyncio.all_tasks()
    await redis_store(server).close()
    assert asyncio.all_tasks() == before
