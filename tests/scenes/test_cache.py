"""The cache as clients and origins see it: raw bytes on both sides, curl, nginx."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.scenes import judge
from tests.support.nginx import Nginx
from tests.support.product import product
from tests.support.program import Program, interpose, wait_until
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import Connection, RawOrigin, answering

from interpose import gateway_config, proxy_config

LOCAL = ["127.0.0.1:0"]
CONTENT = bytes(range(33, 127)) * 3


def answer(content: bytes = CONTENT, *fields: str, status: str = "200 OK") -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{lines}\r\n".encode("latin-1") + content


FRESH = answer(CONTENT, "Cache-Control: max-age=600", 'ETag: "1"')


def get(target: str = "/", *fields: str, method: str = "GET", host: str = "a.example") -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode("latin-1")


def cached(origin: RawOrigin, **options: Any) -> Any:
    return gateway_config([origin.address], LOCAL, cache="16MiB", **options)


def cache_status(response: judge.Response) -> str:
    return ", ".join(response.values("cache-status"))


# --- one fetch for many ---------------------------------------------------------------------------------------------


async def test_f25_two_hundred_clients_of_one_cold_key_make_one_request() -> None:
    go = asyncio.Event()

    async def slow(connection: Connection) -> None:
        while True:
            await connection.request(None)
            await go.wait()
            await connection.send(FRESH[:-100])
            await asyncio.sleep(0.05)
            await connection.send(FRESH[-100:])

    async with RawOrigin(slow) as origin, product(cached(origin)) as running:
        asking = [asyncio.create_task(ask(running.address(), get("/cold"))) for _ in range(200)]
        await running.when(lambda: running.counters["exchanges"] == 200)
        go.set()
        answers = await asyncio.gather(*asking)
        assert {response.body for response in answers} == {CONTENT}
        assert sum("collapsed" in cache_status(response) for response in answers) == 199
        assert len(origin.requests()) == 1
        again = await ask(running.address(), get("/cold"))
        assert "hit" in cache_status(again)
    assert len(origin.requests()) == 1


async def test_f25_a_fetcher_that_is_killed_holds_nobody() -> None:
    go = asyncio.Event()

    async def dies_first(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        if connection.number == 0:
            await go.wait()
            connection.reset()
        else:
            await answering(FRESH)(connection)

    async with RawOrigin(dies_first) as origin, product(cached(origin)) as running:
        asking = [asyncio.create_task(ask(running.address(), get("/cold"))) for _ in range(200)]
        await running.when(lambda: running.counters["exchanges"] == 200)
        go.set()
        answers = await asyncio.gather(*asking)
    good = [response for response in answers if response.status == 200]
    assert len(good) >= 199  # who asked first may be told what happened
    assert {response.body for response in good} == {CONTENT}
    assert len(origin.connections) <= 2


async def test_f25_who_asked_first_and_leaves_takes_nobody_along() -> None:
    go = asyncio.Event()

    async def slow(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await go.wait()
        await connection.send(FRESH)
        await connection.gone()

    async with RawOrigin(slow) as origin, product(cached(origin)) as running:
        async with RawClient(running.address()) as first:
            first.send(get("/cold"))
            await origin.connected()
            asking = [asyncio.create_task(ask(running.address(), get("/cold"))) for _ in range(20)]
            await running.when(lambda: running.counters["exchanges"] == 21)
            first.reset()
            await running.when(lambda: running.counters["exchanges"] == 20)
        go.set()
        assert {response.body for response in await asyncio.gather(*asking)} == {CONTENT}
    assert len(origin.requests()) == 1


async def test_an_object_streams_to_all_who_want_it_as_it_arrives() -> None:
    go = asyncio.Event()

    async def halting(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await connection.send(FRESH[:-50])
        await go.wait()
        await connection.send(FRESH[-50:])
        await connection.gone()

    async with (
        RawOrigin(halting) as origin,
        product(cached(origin)) as running,
        RawClient(running.address()) as first,
        RawClient(running.address()) as second,
    ):
        first.send(get())
        await first.until(CONTENT[:-50])
        second.send(get())
        await second.until(CONTENT[:-50])
        go.set()
        for client in (first, second):
            [response] = await client.answers("GET")
            assert response.body == CONTENT
    assert len(origin.requests()) == 1


# --- what is never stored -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
async def test_a17_an_answer_cut_anywhere_is_never_stored(is_chunked: bool) -> None:
    whole = FRESH
    if is_chunked:
        parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (CONTENT[:100], CONTENT[100:], b""))
        whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=600\r\n\r\n" + parts
    places = sorted({*range(1, len(whole), -(-len(whole) // 50)), len(whole) - 1, len(whole) - 2})
    seen: set[str] = set()

    async def cut_the_first_time(connection: Connection) -> None:
        while True:
            target = (await connection.request(None)).target
            if target not in seen:
                seen.add(target)
                await connection.send(whole[: int(target[1:])])
                return
            await connection.send(whole)

    async with RawOrigin(cut_the_first_time) as origin, product(cached(origin)) as running:
        for place in places:
            async with RawClient(running.address()) as client:
                client.send(get(f"/{place}", "Connection: close"))
                await client.rest()
            again = await ask(running.address(), get(f"/{place}"))
            assert "fwd=uri-miss" in cache_status(again), place
            assert again.body == CONTENT
            assert "hit" in cache_status(await ask(running.address(), get(f"/{place}")))
    assert len(origin.connections) >= len(places)


async def test_a17_what_only_its_connection_ends_and_what_is_a_part_are_not_stored() -> None:
    async def close_delimited(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n\r\n" + CONTENT)

    part = answer(
        CONTENT[:10], "Cache-Control: max-age=600", "Content-Range: bytes 0-9/282", status="206 Partial Content"
    )
    async with RawOrigin(close_delimited) as origin, product(cached(origin)) as running:
        for _ in range(2):
            assert (await ask(running.address(), get())).body == CONTENT
        assert len(origin.connections) == 2
        origin.script = answering(part, FRESH)
        assert (await ask(running.address(), get("/part"))).status == 206
        assert (await ask(running.address(), get("/part"))).body == CONTENT


async def test_a4_a_body_behind_what_is_stored_is_never_read_as_a_request() -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
    async with RawOrigin(answering(FRESH)) as origin, product(cached(origin)) as running:
        await ask(running.address(), get("/stored"))
        async with RawClient(running.address()) as client:
            client.send(get("/stored", f"Content-Length: {len(smuggled)}") + smuggled + get("/stored"))
            first, second = await client.answers("GET", "GET")
        assert first.status == second.status == 200
        assert "fwd=bypass" in cache_status(first)
        assert "hit" in cache_status(second)
        await running.logged(3)
    assert [request.target for request in origin.requests()] == ["/stored", "/stored"]
    assert [line["target"] for line in running.log] == ["http://a.example/stored"] * 3


REFLECTED = [
    "X-Forwarded-Host", "X-Forwarded-Scheme", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix",
    "X-Forwarded-Server", "X-Forwarded-Path", "X-Forwarded-For", "X-Host", "X-Original-URL", "X-Original-Host",
    "X-Rewrite-URL", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-HTTP-Host-Override",
    "Forwarded", "X-Real-IP", "True-Client-IP", "X-Client-IP", "Client-IP", "X-WAP-Profile",
    "X-Custom-IP-Authorization", "X-Backend-Host", "Base-Url", "Proxy-Host", "Request-Uri", "Front-End-Https",
    "X-Url-Scheme", "Origin", "X-Middleware-Prefetch", "X-Original-URI", "X-Scheme",
]  # fmt: skip


async def reflect(connection: Connection) -> None:
    """Everything of the request is in the answer, which says that it is for everybody."""
    while True:
        request = await connection.request(None)
        told = "\n".join(f"{name}: {value}" for name, value in request.fields) + f"\n{request.target}"
        await connection.send(answer(told.encode("latin-1"), "Cache-Control: public, max-age=600"))


@pytest.mark.parametrize("role", ["gateway", "proxy"])
async def test_a14_what_a_request_says_beside_its_key_is_never_shown_to_another(role: str) -> None:
    async with RawOrigin(reflect) as origin:
        config = cached(origin) if role == "gateway" else proxy_config(LOCAL, cache="16MiB")
        before = "" if role == "gateway" else f"http://{origin.address}"
        async with product(config) as running:
            for name in REFLECTED:
                target = f"{before}/{name}?q=a%20b"
                await ask(running.address(), get(target, f"{name}: poison.example"))
                clean = await ask(running.address(), get(target))
                assert b"poison" not in clean.body, name
            for place, request in enumerate(
                (get(f"{before}/h"), get(f"{before}/h?poison"), get(f"{before}/h?"), get(f"{before}/h", method="HEAD"))
            ):
                response = await ask(running.address(), request, "HEAD" if place == 3 else "GET")
                assert (b"poison" in response.body) == (place == 1)
            if role == "gateway":
                await ask(running.address(), get("/host", host="poison.example"))
                assert b"poison" not in (await ask(running.address(), get("/host"))).body
            body = b"poison"
            await ask(running.address(), get(f"{before}/body", f"Content-Length: {len(body)}") + body)
            assert "uri-miss" in cache_status(await ask(running.address(), get(f"{before}/body")))


SUFFIXES = [
    "/x.css", "/x.js", "/x.png", "/.css", ";x.css", "%3Bx.css", "%3Fx.css", "%23x.css", "/x.ico", "//x.css",
    "/..;/x.css", ".css", "?x.css", "?.css", "/x.woff2", "%0Ax.css", "/%2e%2e/x.css", "/x.css?v=1", "$x.css",
    "/static/x.css", ",x.css",
]  # fmt: skip


@pytest.mark.parametrize("role", ["gateway", "proxy"])
@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("Set-Cookie: s=1",),
        ("Cache-Control: private",),
        ('ETag: "1"',),
        ("Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT",),
    ],
)
async def test_a15_an_account_is_shown_to_nobody_else_whatever_its_address_looks_like(
    role: str, fields: tuple[str, ...]
) -> None:
    async def account(connection: Connection) -> None:
        while True:
            request = await connection.request(None)
            user = dict(request.fields).get("Cookie", "nobody")
            await connection.send(answer(f"account of {user}".encode(), *fields))

    async with RawOrigin(account) as origin:
        config = cached(origin) if role == "gateway" else proxy_config(LOCAL, cache="16MiB")
        before = "" if role == "gateway" else f"http://{origin.address}"
        async with product(config) as running:
            for suffix in SUFFIXES:
                target = f"{before}/account{suffix}"
                asking = [ask(running.address(), get(target, f"Cookie: {user}")) for user in ("a=1", "b=2")]
                one, other = await asyncio.gather(*asking)
                if one.status == 200:
                    assert (one.body, other.body) == (b"account of a=1", b"account of b=2"), suffix


@pytest.mark.parametrize(
    "status",
    [
        "400 Bad Request",
        "413 Content Too Large",
        "414 URI Too Long",
        "431 Too Large",
        "500 Oops",
        "502 Bad",
        "503 Later",
        "501 No",
        "404 Not Found",
    ],
)
async def test_a16_an_error_made_for_one_is_not_kept_for_others(status: str) -> None:
    def answer_to(request: judge.Request) -> bytes:
        is_odd = any(name.lower().startswith("x-odd") or name == "X-HTTP-Method-Override" for name, _ in request.fields)
        return answer(b"error", status=status) if is_odd else FRESH

    async def easily_upset(connection: Connection) -> None:
        while True:
            await connection.send(answer_to(await connection.request(None)))

    async with RawOrigin(easily_upset) as origin, product(cached(origin)) as running:
        for number, field in enumerate(("X-Odd: " + "x" * 4000, "X-Odd: ${jndi}", "X-HTTP-Method-Override: DELETE")):
            assert (await ask(running.address(), get(f"/{number}", field))).body == b"error"
            assert (await ask(running.address(), get(f"/{number}"))).body == CONTENT
            assert (await ask(running.address(), get(f"/{number}", field))).body == CONTENT


# --- curl and nginx -------------------------------------------------------------------------------------------------


def curl(*arguments: str) -> tuple[str, bytes]:
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "-i", *arguments], capture_output=True, timeout=30, check=True
    )
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    return head.decode("latin-1"), content


EXTRA = """
  location /fresh/ { add_header Cache-Control max-age=600; }
  location /short/ { add_header Cache-Control "max-age=1, stale-if-error=600"; }
  location /swr/ { add_header Cache-Control "max-age=0, stale-while-revalidate=600"; }
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("fresh", "short", "swr", "plain"):
        (root / name).mkdir(parents=True)
        (root / name / "a.txt").write_bytes(CONTENT)
        (root / name / "large.bin").write_bytes(CONTENT * 10_000)
    return root


def test_curl_and_nginx(tmp_path: Path, files: Path) -> None:
    with (
        Nginx(tmp_path / "nginx", files, extra=EXTRA) as origin,
        Program(tmp_path, "gateway", f"127.0.0.1:{origin.port}", "--cache", "64MiB") as program,
    ):
        url = program.url
        head, content = curl(f"{url}/fresh/a.txt")
        assert content == CONTENT
        assert "fwd=uri-miss; stored" in head
        head, content = curl(f"{url}/fresh/a.txt")
        assert content == CONTENT
        assert "; hit; ttl=" in head
        assert "\r\nAge: " in head
        head, content = curl("-r", "10-19", f"{url}/fresh/a.txt")
        assert (head.split(" ")[1], content) == ("206", CONTENT[10:20])
        head, content = curl("-r", "0-4,10-14", f"{url}/fresh/a.txt")
        assert content.count(b"Content-Range") == 2
        head, content = curl("-I", f"{url}/fresh/a.txt")
        assert f"Content-Length: {len(CONTENT)}" in head
        etag = head.partition("ETag: ")[2].partition("\r")[0]
        head, content = curl("-H", f"If-None-Match: {etag}", f"{url}/fresh/a.txt")
        assert (head.split(" ")[1], content) == ("304", b"")
        assert origin.requests == ["GET /fresh/a.txt 200"]

        assert curl(f"{url}/fresh/large.bin")[1] == CONTENT * 10_000
        assert "; hit;" in curl(f"{url}/fresh/large.bin")[0]
        assert curl("-r", "-5", f"{url}/fresh/large.bin")[1] == CONTENT[-5:]

        assert curl("--compressed", f"{url}/plain/a.txt")[1] == CONTENT
        head, content = curl(f"{url}/plain/a.txt")
        assert content == CONTENT
        assert "fwd=stale; fwd-status=304" in head

        curl(f"{url}/swr/a.txt")
        assert "; hit; ttl=" in curl(f"{url}/swr/a.txt")[0]
        wait_until(lambda: "GET /swr/a.txt 304" in origin.requests, "it is validated in the background")

        curl("-T", str(files / "fresh" / "large.bin"), f"{url}/fresh/a.txt")
        assert curl(f"{url}/fresh/a.txt")[1] == CONTENT * 10_000

        curl(f"{url}/short/a.txt")
        head, content = curl("-H", "Cache-Control: only-if-cached", f"{url}/short/unknown")
        assert head.split(" ")[1] == "504"
        head, content = curl("-H", "Cache-Control: no-cache", f"{url}/short/a.txt")
        assert "fwd=request; fwd-status=304" in head
        log = program.log(18)
    assert {line["notes"]["cache"] for line in log} >= {"miss", "hit", "revalidated", "stale", "bypass", "refused"}


def test_a_stale_answer_stands_in_for_a_server_that_is_gone(tmp_path: Path, files: Path) -> None:
    with Nginx(tmp_path / "nginx", files, extra=EXTRA) as origin:
        program = Program(tmp_path, "gateway", f"127.0.0.1:{origin.port}", "--cache", "64MiB").__enter__()
        try:
            curl(f"{program.url}/short/a.txt")
            wait_until(lambda: "hit" not in curl(f"{program.url}/short/a.txt")[0] or False, "it is stale", 5)
        except BaseException:
            program.__exit__(RuntimeError, None, None)
            raise
    try:
        wait_until(lambda: "ttl=-" in curl(f"{program.url}/short/a.txt")[0], "what is stale is served", 5)
        assert curl(f"{program.url}/short/a.txt")[1] == CONTENT
    finally:
        program.__exit__(None, None, None)


def test_list_show_and_purge_speak_of_all_workers(tmp_path: Path, files: Path) -> None:
    tagged = EXTRA + '  location /tagged/ { alias ROOT/fresh/; add_header Surrogate-Key "news all"; expires 1h; }\n'
    with (
        Nginx(tmp_path / "nginx", files, extra=tagged.replace("ROOT", str(files))) as origin,
        Program(tmp_path, "gateway", f"127.0.0.1:{origin.port}", "--cache", "64MiB", "--workers", "2") as program,
    ):

        def cache(*arguments: str, status: int = 0) -> str:
            done = interpose("cache", *arguments, "--state", str(program.state))
            assert done.returncode == status, done
            return done.stdout + done.stderr

        url = program.url
        for _ in range(12):  # both workers get some of them
            curl(f"{url}/fresh/a.txt")
            curl(f"{url}/tagged/a.txt")
        listed = json.loads(cache("list", "--json"))["stored"]
        assert {row["key"] for row in listed} == {f"GET {url}/fresh/a.txt", f"GET {url}/tagged/a.txt"}
        assert f"{url}/fresh/a.txt" in cache("list", f"{url}/f*").replace("\n", "")
        shown = cache("show", f"{url}/fresh/a.txt")
        assert "fresh for 600 s because of max-age" in shown
        assert "Last asked of the server" in shown
        assert "uri-miss" in shown
        assert "Nothing is stored" in cache("show", f"{url}/unknown")

        stored = sum(row["workers"] for row in listed if "/tagged/" in row["key"])
        assert cache("purge", "tag:news", "--soft").startswith(f"{stored} answer")
        assert "stale since it was purged" in cache("show", f"{url}/tagged/a.txt")
        assert "fwd=stale; fwd-status=304" in curl(f"{url}/tagged/a.txt")[0]
        assert cache("purge", f"{url}/fresh/*") != "0 answers forgotten.\n"
        assert "fwd=uri-miss" in curl(f"{url}/fresh/a.txt")[0]
        assert "is no pattern" in cache("purge", "nonsense", status=2)
        assert cache("purge", "host:127.0.0.1") != "0 answers forgotten.\n"
        assert json.loads(cache("list", "--json"))["stored"] == []
        # Workers tell their counts once a second.
        wait_until(lambda: program.status()["counters"].get("cache_purged_total", 0) >= 2, "purges are counted", 5)


def test_the_cache_lives_on_across_a_reload_and_its_rules_change(tmp_path: Path, files: Path) -> None:
    file = tmp_path / "interpose.toml"

    def write(rules: str) -> None:
        file.write_text(f"""
[[cache]]
name = "main"
memory_bytes = 16777216
{rules}
[[upstream]]
name = "o"
servers = ["127.0.0.1:{origin.port}"]
[[listener]]
name = "web"
address = "127.0.0.1:0"
role = "gateway"
upstream = "o"
cache = "main"
[[route]]
path = "/plain"
upstream = "o"
cache = "off"
""")

    with Nginx(tmp_path / "nginx", files, extra=EXTRA) as origin:
        write("")
        with Program(tmp_path, "run", str(file)) as program:
            url = program.url
            curl(f"{url}/fresh/a.txt")
            assert "hit" in curl(f"{url}/fresh/a.txt")[0]
            assert "Cache-Status" not in curl(f"{url}/plain/a.txt")[0]
            write('[[cache.rule]]\npath = "/swr"\nbypass = true')
            assert interpose("reload", "--state", str(program.state)).returncode == 0
            assert "hit" in curl(f"{url}/fresh/a.txt")[0]
            assert "fwd=bypass" in curl(f"{url}/swr/a.txt")[0]
            checked = interpose("check", str(file)).stdout
    assert "STORE" in checked
    assert "main: 16 MiB of memory; 1 rule" in checked


def test_two_workers_share_what_is_on_disk_and_it_is_there_after_a_restart(tmp_path: Path, files: Path) -> None:
    kept, listen = tmp_path / "kept", "127.0.0.1:0"
    fetched: list[list[str]] = []
    with Nginx(tmp_path / "nginx", files, extra=EXTRA) as origin:
        for number, workers in enumerate(("2", "1")):
            with Program(
                tmp_path / str(number), "gateway", f"127.0.0.1:{origin.port}", "--cache", f"64MiB,{kept}",
                "--workers", workers, "--listen", listen,
            ) as program:  # fmt: skip
                listen = f"127.0.0.1:{program.port}"  # the port is a part of what is asked for
                for path in ("/fresh/a.txt", "/fresh/large.bin"):
                    expected = CONTENT * (1 if path.endswith("txt") else 10_000)
                    assert curl(f"{program.url}{path}")[1] == expected
                    wait_until(lambda: "; hit;" in curl(f"{program.url}{path}")[0], "it is on disk")  # noqa: B023
                    for _ in range(8):
                        head, content = curl(f"{program.url}{path}")
                        assert content == expected
                        assert "; hit;" in head
            fetched.append(origin.requests)
    assert len(fetched[0]) <= 4  # a worker may ask before what another one fetched is there
    assert fetched[1] == fetched[0]
