"""What a gateway does by itself, as clients and origins see it: routes, rewriting, redirects, files, pages, limits."""

from __future__ import annotations

import asyncio
import gzip
import os
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import async_playwright
from tests.support.product import Product, product
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, Connection, RawOrigin, answering

from interpose.config.load import config_of

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"


def get(target: str, *fields: str, method: str = "GET", host: str = "a.example") -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode("latin-1")


def gateway(*routes: dict[str, Any], origin: str = "127.0.0.1:9", **tables: Any) -> dict[str, Any]:
    return {
        "listener": [{"name": "main", "role": "gateway", "address": "127.0.0.1:0"}],
        "upstream": [{"name": "up", "servers": [origin]}],
        "route": list(routes),
        **tables,
    }


@asynccontextmanager
async def serving(tables: dict[str, Any]) -> AsyncIterator[Product]:
    async with product(config_of(tables)) as running:
        yield running


async def test_the_origin_sees_what_the_route_makes_of_a_request() -> None:
    route = {
        "path": "/users/{id}/{rest...}",
        "upstream": "up",
        "rewrite": {"path": "/app/{rest}", "set_query": ["id={id}"], "remove_query": ["utm_*"], "host": "app.internal"},
        "field": [
            {"name": "X-User", "value": "{id} at {host}"},
            {"action": "remove", "name": "x-internal-*"},
            {"message": "response", "name": "X-Asked", "value": "{path}"},
        ],
    }
    async with RawOrigin(answering(OK)) as origin, serving(gateway(route, origin=origin.address)) as running:
        asked = get("/users/a%20b/x/y?utm_source=1&q=%C3%A9", "X-Internal-Token: 1", "x-user: forged")
        answer = await ask(running.address(), asked)
        assert (answer.status, answer.values("x-asked")) == (200, ["/users/a%20b/x/y"])
        [request] = origin.requests()
        assert request.target == "/app/x/y?q=%C3%A9&id=a%20b"
        assert request.values("host") == ["app.internal"]
        assert request.values("x-user") == ["a%20b at a.example"]
        assert request.values("x-forwarded-host") == ["a.example"]
        assert request.values("x-internal-token") == []


async def test_a10_nothing_that_a_configuration_fills_in_breaks_a_line() -> None:
    """Values of the query, of cookies and of the path, in every place that can be filled in."""
    places = "{query.v}|{cookie.c}|{id}|{field.x-odd}"
    routes = [
        {
            "path": "/in/{id}",
            "upstream": "up",
            "rewrite": {"path": f"/app/{places}", "set_query": [f"v={places}"]},
            "field": [{"name": "X-In", "value": places}, {"message": "response", "name": "X-Out", "value": places}],
        },
        {"path": "/to/{id}", "redirect": {"to": f"/new/{places}?v={places}", "keep_query": True}},
        {"path": "/text/{id}", "answer": {"text": places, "fields": [f"X-Line: {places}"]}},
    ]
    values = [
        "%0d%0aX-Evil:%201",
        "%00",
        "%0a%20folded",
        "%E2%80%A8",
        "%85",
        "%20",
        "%22%3Cscript%3E",
        "%C4%8A",
        "..",
        "a",
    ]
    async with RawOrigin(answering(OK)) as origin, serving(gateway(*routes, origin=origin.address)) as running:
        for value in values:
            for path in ("/in/", "/to/", "/text/"):
                segment = "x" if value in ("%00", "..") else value
                asked = get(f"{path}{segment}?v={value}", f"Cookie: c={value}", "X-Odd: \xe9\xff")
                async with RawClient(running.address()) as client:
                    client.send(asked)
                    [answer] = await client.answers("GET")
                    assert answer.status in (200, 307, 400)
                    head = client.received.partition(b"\r\n\r\n")[0]
                    assert not answer.values("x-evil")
                    assert all(32 <= octet < 127 for line in head.split(b"\r\n") for octet in line)
        assert len(origin.requests()) >= len(values) - 1
        for request in origin.requests():
            assert not request.values("x-evil")
            assert all(32 < ord(character) < 127 for character in request.target)
            assert all(32 <= ord(character) < 127 for character in request.values("x-in")[0])


async def test_a14_answers_of_two_servers_for_one_url_are_kept_apart() -> None:
    """Routes that differ by a condition, and routes whose rewriting leads to the same URL."""
    routes = [
        {"path": "/", "upstream": "up", "cache": "c"},
        {"path": "/", "when": "cookie.beta:1", "upstream": "beta", "cache": "c"},
        {"path": "/two", "upstream": "beta", "cache": "c", "rewrite": {"strip_prefix": "/two"}},
        {"path": "/one", "upstream": "up", "cache": "c", "rewrite": {"strip_prefix": "/one", "host": "same.example"}},
    ]

    def named(name: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\n" + name

    async def echo(connection: Connection) -> None:
        while True:
            request = await connection.request()
            await connection.send(named(request.values("x-forwarded-host")[0][:4].encode()))

    async with RawOrigin(echo) as one, RawOrigin(answering(named(b"beta"))) as beta:
        tables = gateway(*routes, origin=one.address, cache=[{"name": "c"}])
        tables["upstream"].append({"name": "beta", "servers": [beta.address]})
        async with serving(tables) as running:
            for _ in range(2):
                assert (await ask(running.address(), get("/x"))).body == b"a.ex"
                assert (await ask(running.address(), get("/x", "Cookie: beta=1"))).body == b"beta"
                assert (await ask(running.address(), get("/two/x"))).body == b"beta"
                assert (await ask(running.address(), get("/one/x"))).body == b"a.ex"
                assert (await ask(running.address(), get("/one/x", host="b.example"))).body == b"b.ex"
            assert (len(one.requests()), len(beta.requests())) == (3, 2)


async def test_redirects_and_answers_need_no_server() -> None:
    routes = [
        {"path": "/old/{rest...}", "redirect": {"to": "https://{host}/new/{rest}", "status": 308}},
        {"path": "/bare", "redirect": {"to": "/x?a=1", "keep_query": False, "status": 303}},
        {"path": "/hello/{name}", "answer": {"text": "<p>{name} {query.q}</p>", "media_type": "text/html"}},
        {"path": "/json", "answer": {"text": '{"client": "{client}"}', "media_type": "application/json"}},
        {"path": "/file", "answer": {"file": str(ROOT / "LICENSE"), "fields": ["X-Kind: licence"]}},
    ]
    async with serving(gateway(*routes)) as running:
        answer = await ask(running.address(), get("/old/a%20b/c?q=1"))
        assert (answer.status, answer.values("location")) == (308, ["https://a.example/new/a%20b/c?q=1"])
        answer = await ask(running.address(), get("/bare?q=1"))
        assert (answer.status, answer.values("location")) == (303, ["/x?a=1"])
        answer = await ask(running.address(), get("/hello/a%3Cb%3E?q=%22%3Cscript%3E"))
        assert answer.body == b"<p>a&lt;b&gt; &quot;&lt;script&gt;</p>"
        assert answer.values("x-content-type-options") == ["nosniff"]
        assert (await ask(running.address(), get("/json"))).body == b'{"client": "127.0.0.1"}'
        answer = await ask(running.address(), get("/file"))
        assert (answer.body, answer.values("x-kind")) == ((ROOT / "LICENSE").read_bytes(), ["licence"])


async def test_files_are_served_by_pieces_whole_and_in_part(tmp_path: Path) -> None:
    large = bytes(range(256)) * 20_000
    (tmp_path / "large.bin").write_bytes(large)
    (tmp_path / "index.html").write_text("<p>home")
    (tmp_path / "link.html").symlink_to("/etc/passwd")
    route = {"path": "/static", "files": {"root": str(tmp_path)}, "rewrite": {"strip_prefix": "/static"}}
    async with serving(gateway(route)) as running:
        address = running.address()
        for _ in range(2):
            assert (await ask(address, get("/static/"))).body == b"<p>home"
        whole = await ask(address, get("/static/large.bin"))
        assert whole.body == large
        assert whole.values("content-length") == [str(len(large))]
        part = await ask(address, get("/static/large.bin", "Range: bytes=1000000-1999999"))
        assert (part.status, part.body) == (206, large[1_000_000:2_000_000])
        tag = whole.values("etag")[0]
        assert (await ask(address, get("/static/large.bin", f"If-None-Match: {tag}"))).status == 304
        for path in ("link.html", "none", "..%2fetc/passwd", "%2e%2e/%2e%2e/etc/passwd", ".%00/x", "..\\x", "..;/x"):
            answer = await ask(address, get(f"/static/{path}"))
            assert answer.status in (400, 404), path
            assert b"root:" not in answer.body
        async with RawClient(address) as client:  # one that leaves in the middle
            client.send(get("/static/large.bin"))
            await client.wait_for(lambda: len(client.received) > 100_000)


async def test_error_pages_stand_in_for_our_errors_and_where_asked_for_servers(tmp_path: Path) -> None:
    (tmp_path / "4.html").write_text("<h1>{status} {reference}</h1>")
    (tmp_path / "5.html").write_text("<h1>sorry: {status}</h1>")
    pages = [
        {"status": ["4xx"], "file": str(tmp_path / "4.html")},
        {"status": ["503"], "file": str(tmp_path / "5.html"), "intercept": True},
    ]
    theirs = b'HTTP/1.1 %b\r\nRetry-After: 7\r\nETag: "x"\r\nContent-Length: 6\r\n\r\ntheirs'
    async with RawOrigin(answering(theirs % b"503 Away", theirs % b"404 None")) as origin:
        tables = gateway({"path": "/up", "upstream": "up"}, origin=origin.address, error_page=pages)
        async with serving(tables) as running:
            ours = await ask(running.address(), get("/nothing", "Accept: text/html"))
            assert ours.status == 404
            assert ours.body.startswith(b"<h1>404 ")
            assert len(ours.values("proxy-status")) == 1
            program = await ask(running.address(), get("/nothing", "Accept: application/json"))
            assert b'"error":"destination_not_found"' in program.body
            away = await ask(running.address(), get("/up"))
            assert (away.status, away.body, away.values("retry-after")) == (503, b"<h1>sorry: 503</h1>", ["7"])
            assert away.values("etag") == []
            assert (await ask(running.address(), get("/up"))).body == b"theirs"


async def test_a_route_says_how_large_contents_may_be() -> None:
    route = {"path": "/", "upstream": "up", "max_body_bytes": 5, "max_response_bytes": 10}
    has_begun = asyncio.Event()

    async def script(connection: Connection) -> None:
        request = await connection.request()
        if request.target == "/known":
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n12345678901")
            return
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n")
        await has_begun.wait()
        await connection.send(b"6\r\n123456\r\n0\r\n\r\n")

    async with RawOrigin(script) as origin, serving(gateway(route, origin=origin.address)) as running:
        answer = await ask(running.address(), get("/", "Content-Length: 6", method="POST") + b"123456")
        assert (answer.status, origin.requests()) == (413, [])
        assert (await ask(running.address(), get("/known"))).status == 502
        async with RawClient(running.address()) as client:
            client.send(get("/chunked"))
            await client.until(b"12345")
            has_begun.set()
            await client.rest()
            assert client.received.startswith(b"HTTP/1.1 200 ")
            assert b"0\r\n\r\n" not in client.received
    assert [line["failure"] for line in running.log] == ["http_request_error"] + 2 * ["http_response_body_size"]


async def test_a_preflight_asks_neither_server_nor_user() -> None:
    route = {"path": "/", "methods": ["GET", "PUT"], "upstream": "up", "cors": {"origins": ["https://app.example"]}}
    async with RawOrigin(answering(OK)) as origin, serving(gateway(route, origin=origin.address)) as running:
        fields = ("Origin: https://app.example", "Access-Control-Request-Method: PUT")
        answer = await ask(running.address(), get("/x", *fields, method="OPTIONS"))
        assert (answer.status, answer.values("access-control-allow-methods")) == (204, ["GET, PUT"])
        assert origin.requests() == []
        answer = await ask(running.address(), get("/x", "Origin: https://app.example"))
        assert answer.values("access-control-allow-origin") == ["https://app.example"]
        assert (await ask(running.address(), get("/x", method="OPTIONS"))).status == 404


@pytest.mark.parametrize("path", ["/admin", "/admin/x", "/admin;x/y", "/a/../admin", "/%61dmin", "//admin"])
async def test_a13_a_rewritten_target_leads_no_way_round_a_route(path: str) -> None:
    routes = [
        {"path": "/admin", "answer": {"status": 403}},
        {"path": "/", "upstream": "up", "rewrite": {"path": "/app{path}"}},
    ]
    async with RawOrigin(answering(OK)) as origin, serving(gateway(*routes, origin=origin.address)) as running:
        assert (await ask(running.address(), get(path))).status == 403
        assert (await ask(running.address(), get("/x;y/z%20a"))).status == 200
        assert [request.target for request in origin.requests()] == ["/app/x;y/z%20a"]


async def test_the_example_of_a_site_is_one() -> None:
    tables = tomllib.loads((ROOT / "examples/static-site.toml").read_text())
    tables["listener"][0]["address"] = "127.0.0.1:0"
    busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n"
    async with RawOrigin(answering(OK, busy)) as api:
        tables["upstream"][0]["servers"] = [api.address]
        async with product(config_of(tables, base=ROOT / "examples")) as running:
            address = running.address()
            home = await ask(address, get("/"))
            assert b"<h1>A site</h1>" in home.body
            assert home.values("cache-control") == ["public, max-age=600"]
            assert (await ask(address, get("/style.css"))).values("content-type") == ["text/css; charset=utf-8"]
            assert b"The application" in (await ask(address, get("/app/orders/7"))).body
            missing = await ask(address, get("/nothing"))
            assert (missing.status, b"There is nothing here" in missing.body) == (404, True)
            assert missing.values("cache-control") == ["no-store"]
            moved = await ask(address, get("/articles/2024/a-b"))
            assert (moved.status, moved.values("location")) == (308, ["/blog/a-b?year=2024"])
            assert (await ask(address, get("/", "Cookie: beta=1"))).values("location") == ["/app/"]
            assert (await ask(address, get("/style.css", "Cookie: beta=1"))).status == 200
            assert (await ask(address, get("/alive"))).body == b'{"alive": true, "you": "127.0.0.1"}'
            async with RawClient(address) as client:
                client.send(get("/api/orders/7?page=2", "Origin: https://app.example", "X-Client: me"))
                [answer] = await client.answers("GET")
                assert answer.values("access-control-allow-origin") == ["https://app.example"]
                client.send(get("/api/busy"))
                [answer] = await client.answers("GET")
                assert (answer.status, answer.values("retry-after"), b"In a moment" in answer.body) == (
                    503,
                    ["9"],
                    True,
                )
            [request, _] = api.requests()
            assert (request.target, request.values("x-client")) == ("/v1/orders/7?page=2", ["127.0.0.1"])


ASK = """async ({api, path, method, fields}) => {
    try {
        const response = await fetch(api + path, {method, headers: fields})
        return [response.status, response.headers.get("X-Total"), await response.text()]
    } catch (error) {
        return "not allowed"
    }
}"""


async def test_a_browser_lets_scripts_of_named_sites_read_and_of_no_other(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>a site</title>")
    ok = b"HTTP/1.1 200 OK\r\nX-Total: 7\r\nContent-Length: 2\r\n\r\nok"
    site_tables = gateway({"path": "/", "files": {"root": str(tmp_path)}})
    site_tables["listener"].append({**site_tables["listener"][0], "name": "other"})
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as browser,
        RawOrigin(answering(ok)) as origin,
        serving(site_tables) as site,
    ):
        named, other = (f"http://{site.address(name)}" for name in ("main", "other"))
        cors = {"origins": [named], "methods": ["GET", "PUT"], "fields": ["X-Token"], "expose": ["X-Total"]}
        routes = [{"path": "/", "upstream": "up", "cors": cors}]
        async with serving(gateway(*routes, origin=origin.address)) as running:
            api = f"http://{running.address()}"
            said = {}
            for page_of in (named, other):
                page = await browser.new_page()
                await page.goto(page_of)
                for method, fields in (
                    ("GET", {}),
                    ("PUT", {"X-Token": "1"}),
                    ("DELETE", {}),
                    ("PUT", {"X-Other": "1"}),
                ):
                    asked = {"api": api, "path": f"/{method}", "method": method, "fields": fields}
                    said[page_of, method, *fields] = await page.evaluate(ASK, asked)
                await page.close()
    assert said == {
        (named, "GET"): [200, "7", "ok"],
        (named, "PUT", "X-Token"): [200, "7", "ok"],
        (named, "DELETE"): "not allowed",
        (named, "PUT", "X-Other"): "not allowed",
        (other, "GET"): "not allowed",
        (other, "PUT", "X-Token"): "not allowed",
        (other, "DELETE"): "not allowed",
        (other, "PUT", "X-Other"): "not allowed",
    }
    assert [request.method for request in origin.requests()] == ["GET", "PUT", "GET"]


async def test_curl_takes_up_a_download_where_it_broke_off(tmp_path: Path) -> None:
    """And asks for a part, and for the compressed version; one file for all of it."""
    data = bytes(range(256)) * 4000
    (tmp_path / "data.bin").write_bytes(data)
    (tmp_path / "data.bin.gz").write_bytes(gzip.compress(data))
    for name in ("data.bin", "data.bin.gz"):
        os.utime(tmp_path / name, (1e9, 1e9))

    async with serving(gateway({"path": "/", "files": {"root": str(tmp_path)}})) as running:
        url = f"http://{running.address()}/data.bin"
        broken_off = tmp_path / "broken-off"
        broken_off.write_bytes(data[:500_000])
        assert await curl("-C", "-", "-o", str(broken_off), url) == b""
        assert broken_off.read_bytes() == data
        assert await curl("-r", "100-199", url) == data[100:200]
        assert await curl("--compressed", url) == data
        kept = tmp_path / "kept"
        await curl("-R", "-o", str(kept), url)
        assert kept.stat().st_mtime == 1e9
        before = kept.read_bytes()
        assert await curl("-z", str(kept), "-o", str(kept), "-w", "%{http_code}", url) == b"304"
        assert kept.read_bytes() == before == data
    assert sum("data.bin" in str(line) for line in running.log) == 5


async def curl(*arguments: str) -> bytes:
    done = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--noproxy", "*", "--max-time", "20", *arguments, stdout=asyncio.subprocess.PIPE
    )
    content, _ = await done.communicate()
    assert done.returncode == 0
    return content
