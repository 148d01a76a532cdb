"""The firewall before an origin, with its processes: what is refused, what passes, and what happens to both when a
process takes too long or dies."""

from __future__ import annotations

import asyncio
import gc
import gzip
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import brotli
import pytest
import zstandard
from tests.support.product import Product, product, settings
from tests.support.raw_client import ask
from tests.support.raw_origin import RawOrigin, answering

from interpose.config.load import config_of
from interpose.config.model import Config
from interpose.config.roles import gateway_tables
from interpose.filters.firewall.messages import Inspect
from interpose.filters.firewall.pool import Pool

PAGE = b"<html><p>All is well.</p></html>"
LEAK = b"You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version"
SQL = "/?id=1%27%20union%20select%20name%20from%20users%20--%20"
HEAVY = b"a=" + b"'" * 100_000
"""The rules need more than ten seconds for it."""


def answer(content: bytes, *fields: str, type_: str = "text/html") -> bytes:
    lines = "".join(f"{field}\r\n" for field in (f"Content-Type: {type_}", *fields))
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n{lines}\r\n".encode("latin-1") + content


def request(target: str = "/", body: bytes = b"", *fields: str, method: str = "") -> bytes:
    lines = [f"{method or ('POST' if body else 'GET')} {target} HTTP/1.1", "Host: shop.example"]
    lines += ["User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101", "Accept: */*", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
        if not any(field.startswith("Content-Type") for field in fields):
            lines.append("Content-Type: application/x-www-form-urlencoded")
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body


def firewalled(origin: RawOrigin, *, routes: list[dict[str, Any]] | None = None, **firewall: Any) -> Config:
    tables = gateway_tables([origin.address], ["127.0.0.1:0"])
    tables["firewall"] = firewall
    [upstream] = tables["upstream"]
    tables["route"] = [{"upstream": upstream["name"], **route} for route in routes or []]
    return config_of(tables)


@contextmanager
def inspected() -> Iterator[list[Inspect]]:
    """What is asked of the processes meanwhile."""
    seen: list[Inspect] = []
    really = Pool.request

    async def spy(self: Pool, asked: Inspect) -> Any:
        seen.append(asked)
        return await really(self, asked)

    with patch.object(Pool, "request", spy):
        yield seen


async def status(running: Product, asked: bytes, method: str = "GET") -> int:
    return (await ask(running.address(), asked, method)).status


async def test_what_is_refused_never_reaches_the_origin_and_says_why() -> None:
    binary = answer(LEAK, type_="application/octet-stream")
    leaks = [answer(LEAK), binary, answer(LEAK, type_="Text/HTML; charset=utf-8")]
    async with RawOrigin(answering(answer(PAGE), answer(PAGE), *leaks)) as origin:
        rule = {"name": "no admin", "when": "path:/admin/*", "message": "the administration is elsewhere"}
        async with product(firewalled(origin, rule=[rule], response_types=["text/*"])) as running:
            assert await status(running, request("/things?page=2")) == 200
            assert await status(running, request(SQL)) == 403
            assert await status(running, request("/form", b"q=<script>alert(1)</script>")) == 403
            assert await status(running, request("/admin/users")) == 403
            assert await status(running, request("/admin;x=y/users")) == 403
            assert await status(running, request("/form", b"q=a+lamp&n=2")) == 200
            assert await status(running, request("/leaks")) == 403
            assert await status(running, request("/leaks.txt")) == 200
            assert await status(running, request("/leaks")) == 403
            log = await running.logged(9)
        assert [asked.target for asked in origin.requests()] == [
            "/things?page=2",
            "/form",
            "/leaks",
            "/leaks.txt",
            "/leaks",
        ]
        assert origin.requests()[1].body == b"q=a+lamp&n=2"
    notes = [line.get("notes", {}) for line in log]
    assert [note.get("filter") for note in notes] == [None, *["firewall"] * 4, None, "firewall", None, "firewall"]
    assert notes[1]["firewall"].startswith("blocked inbound ")
    assert "942100 5 ARGS:id SQL Injection Attack Detected via libinjection" in notes[1]["firewall_matches"]
    assert "941" in notes[2]["firewall_matches"]
    assert "ARGS:q" in notes[2]["firewall_matches"]
    assert (notes[3]["rule"], notes[3]["why"]) == ("no admin", "the administration is elsewhere")
    assert notes[6]["firewall"] == "blocked outbound 5 of 4"
    assert "951230 5 RESPONSE_BODY" in notes[6]["firewall_matches"]
    assert "union" not in " ".join(str(note) for note in notes)  # of values nothing is noted


async def test_a_route_detects_another_is_left_out_and_a_third_has_an_exclusion() -> None:
    routes = [
        {"name": "watched", "path": "/watched", "firewall": {"mode": "detect"}},
        {"name": "plain", "path": "/plain", "firewall": {"mode": "off"}},
        {"name": "blog", "path": "/blog"},
        {"name": "rest"},
    ]
    exclude = [{"when": "route:blog path:/blog/edit*", "rules": ["941000-942999"], "variables": ["ARGS:text"]}]
    score = [{"name": "odd", "when": "query.odd:1", "action": "score", "score": 5}]
    async with RawOrigin(answering(answer(PAGE))) as origin:
        config = firewalled(origin, routes=routes, exclude=exclude, rule=score)
        async with product(config) as running:
            text = "?text=<script>alert(1)</script>"
            with inspected() as seen:
                assert await status(running, request(f"/plain{text}")) == 200
            assert seen == []
            assert await status(running, request(f"/watched{text}")) == 200
            assert await status(running, request(f"/blog/edit{text}")) == 200
            assert await status(running, request(f"/blog/read{text}")) == 403
            assert await status(running, request(f"/blog/edit{text}&other=<script>alert(1)</script>")) == 403
            assert await status(running, request("/?odd=1")) == 403
            log = await running.logged(6)
    assert log[1]["notes"]["firewall"].startswith("detected inbound ")
    assert "filter" not in log[1]["notes"]
    assert "firewall" not in log[2].get("notes", {})
    assert log[5]["notes"]["firewall"] == "blocked inbound 5 of 5"


async def test_a30_f21_a_heavy_request_is_given_up_at_its_deadline_and_delays_no_other() -> None:
    async with RawOrigin(answering(answer(PAGE))) as origin, product(firewalled(origin, deadline_s=1.5)) as running:
        assert await status(running, request()) == 200
        began = time.monotonic()
        heavy = asyncio.create_task(ask(running.address(), request("/", HEAVY)))
        others: list[float] = []
        while not heavy.done():
            asked = time.monotonic()
            assert await status(running, request("/things")) == 200
            others.append(time.monotonic() - asked)
        took = time.monotonic() - began
        assert heavy.result().status == 503
        assert await status(running, request(SQL)) == 403  # what took its place has the rules, too
        await running.when(lambda: running.counters["firewall_deadlines_total"] == 1.0)
        [line] = [line for line in await running.logged(len(others) + 3) if line["status"] == 503]
    assert line["notes"]["rule"] == "deadline"
    assert took < 6.0
    assert len(others) >= 5
    assert sorted(others)[len(others) // 2] < 0.15
    assert max(others) < 1.0  # well below the deadline


@pytest.mark.parametrize(("on_failure", "wanted"), [("block", 503), ("pass", 200)])
async def test_f23_a_process_that_dies_takes_one_request_with_it_and_is_replaced(on_failure: str, wanted: int) -> None:
    config = {"on_failure": on_failure, "deadline_s": 20.0}
    async with RawOrigin(answering(answer(PAGE))) as origin, product(firewalled(origin, **config)) as running:
        [pool] = running.running._runtime._parts.every(Pool)
        before = set(pool.pids)
        asked = asyncio.create_task(ask(running.address(), request("/", HEAVY)))
        await running.when(lambda: any(process.job is not None for process in pool._processes))
        [busy] = [process for process in pool._processes if process.job is not None]
        os.kill(busy.companion.pid, signal.SIGSEGV)
        assert (await asked).status == wanted
        for _ in range(10):
            assert await status(running, request("/things")) == 200
        await running.when(lambda: len(set(pool.pids) - before) == 1 and all(p.is_ready for p in pool._processes))
        assert await status(running, request(SQL)) == 403
        assert pool.deaths_total == 1


async def test_f23_an_answer_whose_process_has_died_is_inspected_all_the_same() -> None:
    at_origin, may_answer = asyncio.Event(), asyncio.Event()

    async def script(connection: Any) -> None:
        await connection.request()
        at_origin.set()
        await may_answer.wait()
        await connection.send(answer(LEAK))

    async with RawOrigin(script) as origin, product(firewalled(origin)) as running:
        [pool] = running.running._runtime._parts.every(Pool)
        asked = asyncio.create_task(ask(running.address(), request("/leaks")))
        await at_origin.wait()
        before = set(pool.pids)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await running.when(lambda: not before & set(pool.pids) and len(pool.pids) == 2)
        may_answer.set()
        assert (await asked).status == 403


LAMP = gzip.compress(b"q=a+lamp")
BOMB = b"\0" * (32 << 20)
BOMBS = {
    "gzip": gzip.compress(BOMB, 9),
    "br": brotli.compress(BOMB, quality=5),
    "zstd": zstandard.ZstdCompressor(level=3).compress(BOMB),
}


async def test_a29_a_compressed_bomb_is_seen_early_in_requests_and_in_answers() -> None:
    answers = [answer(BOMBS["gzip"], "Content-Encoding: gzip"), answer(gzip.compress(LEAK), "Content-Encoding: gzip")]
    async with RawOrigin(answering(*answers, answer(PAGE))) as origin:
        async with product(firewalled(origin)) as running:
            began = time.monotonic()
            for coding, bomb in BOMBS.items():
                assert len(bomb) < 131072
                assert await status(running, request("/", bomb, f"Content-Encoding: {coding}")) == 413
            nested = gzip.compress(BOMBS["gzip"])
            assert await status(running, request("/", nested, "Content-Encoding: gzip, gzip")) == 403
            came = await ask(running.address(), request("/", b"", "Accept-Encoding: gzip"))
            assert (came.status, came.body) == (200, BOMBS["gzip"])  # its beginning was inspected, and it passes
            assert time.monotonic() - began < 5.0
            assert await status(running, request("/", b"", "Accept-Encoding: gzip")) == 403
            assert await status(running, request("/", LAMP, "Content-Encoding: gzip")) == 200
            bad = gzip.compress(b"q=<script>alert(1)</script>")
            assert await status(running, request("/", bad, "Content-Encoding: gzip")) == 403
        assert origin.requests()[-1].body == LAMP  # what passes passes as it came


async def test_larger_content_is_refused_or_passes_with_a_note() -> None:
    routes = [{"name": "uploads", "path": "/uploads", "firewall": {"larger_body": "pass"}}, {"name": "rest"}]
    async with RawOrigin(answering(answer(PAGE))) as origin:
        async with product(firewalled(origin, routes=routes, max_body_bytes=1000)) as running:
            long = b"q=" + b"a" * 2000
            assert await status(running, request("/", long)) == 413
            assert await status(running, request("/uploads", long)) == 200
            assert await status(running, request("/uploads?q=<script>alert(1)</script>", long)) == 403
            log = await running.logged(3)
        assert [asked.body for asked in origin.requests()] == [long]
    assert log[1]["notes"]["firewall_skipped"] == "content longer than 1000 bytes"


PATHS = [
    "/a/../b", "/a/./b", "//a//b", "/%61%2e%2e/b", "/a/%2e%2e/b", "/a;x=1/b", "/a/b;y", "/%7Ea", "/a%20b", "/a/..;/b",
    "/A/B", "/a/b/", "/a/.../b", "/%C3%A9", "/a+b", "/a%2Bb", "/.a", "/a.", "/a/b?c=../d", "/?x=%2e%2e%2f", "/a:b",
    "/a@b", "/a!b", "/a'b", "/a(b)", "/%41%42", "/a/%25/b", "/a//../b", "/./a", "/a/b/..", "/a/b/.", "/a,b", "/a=b",
]  # fmt: skip


async def test_a13_the_firewall_sees_the_path_that_the_origin_gets() -> None:
    async with RawOrigin(answering(answer(PAGE))) as origin:
        async with product(firewalled(origin, mode="detect")) as running:
            with inspected() as seen:
                statuses = [await status(running, request(path)) for path in PATHS]
        assert set(statuses) <= {200, 400}
        assert statuses.count(200) > len(PATHS) * 0.8
        assert [asked.target for asked in seen] == [asked.target for asked in origin.requests()]


async def test_rules_that_cannot_be_loaded_are_told_with_file_and_line(tmp_path: Path) -> None:
    bad = tmp_path / "mine.conf"
    bad.write_text('# mine\nSecRule ARGS "@rx a" "id:5,phase:1,pass"\nSecRule ARGS "@rx b" "id:6,phase:9"\n')
    async with RawOrigin(answering(answer(PAGE))) as origin:
        with pytest.raises(ValueError, match=rf"{bad}, line 3: .*phase"):
            async with product(firewalled(origin, include=[str(bad)]), may_log_errors=True):
                pass


async def test_a_reload_asks_other_processes_and_lets_running_exchanges_end_with_the_old_ones() -> None:
    at_origin, may_answer = asyncio.Event(), asyncio.Event()

    async def script(connection: Any) -> None:
        await connection.request()
        at_origin.set()
        await may_answer.wait()
        await connection.send(answer(LEAK))

    async with RawOrigin(script) as origin, product(firewalled(origin)) as running:
        [pool] = running.running._runtime._parts.every(Pool)
        before = set(pool.pids)
        asked = asyncio.create_task(ask(running.address(), request("/leaks")))
        await at_origin.wait()
        lax = settings(running.running._runtime._config, firewall={"inbound_threshold": 1000})
        await running.running.reload(lax)
        [new] = running.running._runtime._parts.every(Pool)
        assert not before & set(new.pids)
        may_answer.set()
        assert (await asked).status == 403  # by the old threshold, and the old processes
        assert await status(running, request(SQL)) == 403  # the answer is withheld
        assert (await running.logged(2))[1]["notes"]["firewall"] == "blocked outbound 5 of 4"
        gc.collect()  # a failure refers to where it came from, and that to the filter
        await running.when(lambda: all(one.companion.is_collected for one in pool._processes) and not pool.pids)


async def test_f16_until_new_processes_can_be_asked_the_old_ones_are() -> None:
    """Rules take longer to load than a request may wait for them."""
    may_start = asyncio.Event()
    start = Pool.start

    async def slow(pool: Pool) -> None:
        await may_start.wait()
        await start(pool)

    async with RawOrigin(answering(answer(PAGE))) as origin, product(firewalled(origin)) as running:
        lax = settings(running.running._runtime._config, firewall={"inbound_threshold": 1000})
        with patch.object(Pool, "start", slow):
            reload = asyncio.create_task(running.running.reload(lax))
            while len(running.running._runtime._parts.every(Pool)) < 2:  # noqa: ASYNC110 - nothing here sets an event
                await asyncio.sleep(0)
            for _ in range(10):
                await asyncio.sleep(0)
            assert await status(running, request()) == 200
            assert await status(running, request(SQL)) == 403
            assert not reload.done()
            may_start.set()
            await reload
        assert await status(running, request(SQL)) == 200
