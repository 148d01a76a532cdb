"""Compression as clients and origins see it: raw bytes, curl, Chromium and nginx."""

from __future__ import annotations

import asyncio
import gzip
import random
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import brotli
import pytest
import zstandard
from playwright.sync_api import sync_playwright
from tests.scenes import judge
from tests.support.certificates import CertificateAuthority
from tests.support.nginx import Nginx
from tests.support.product import product
from tests.support.program import Program, interpose, wait_until
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import Connection, RawOrigin, answering

from interpose import gateway_config
from interpose.config.load import config_of
from interpose.config.roles import gateway_tables

LOCAL = ["127.0.0.1:0"]
ROWS = random.Random(1)
JSON = b"[" + b",".join(b'{"id":%d,"name":"item %d"}' % (ROWS.randrange(1 << 40), row) for row in range(3000)) + b"]"
PAGE = b"<!doctype html><title>loading</title>" + b"<p>All of it is here.</p>" * 400
SCRIPT = b"/* %b */ document.title = 'loaded'" % (b"words of a script, " * 400)
UNDOERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


def answer(content: bytes, *fields: str) -> bytes:
    lines = "".join(f"{field}\r\n" for field in ("Content-Type: application/json", *fields))
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n{lines}\r\n".encode("latin-1") + content


def get(target: str = "/", *fields: str, method: str = "GET") -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"{method} {target} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n".encode("latin-1")


def undone(response: judge.Response) -> bytes:
    return UNDOERS[", ".join(response.values("content-encoding"))](response.body)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def compressing(origin: RawOrigin, compression: dict[str, Any], **options: Any) -> Any:
    tables = gateway_tables([origin.address], LOCAL, **options)
    tables["listener"][0]["compression"] = compression
    return config_of(tables)


# --- raw bytes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cache", [None, "16MiB"], ids=["plain", "cached"])
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_what_a_client_can_undo_comes_compressed(coding: str, cache: str | None) -> None:
    fresh = answer(JSON, "Cache-Control: max-age=600", 'ETag: "1"', "Vary: Accept-Language")
    async with (
        RawOrigin(answering(fresh)) as origin,
        product(gateway_config([origin.address], LOCAL, compress=True, cache=cache)) as running,
    ):
        for _ in range(3):
            response = await ask(running.address(), get("/", f"Accept-Encoding: {coding}"))
            assert undone(response) == JSON
            assert len(response.body) < len(JSON) / 2
            assert response.values("content-encoding") == [coding]
            assert response.values("etag") == ['W/"1"']
            assert response.values("vary") == ["Accept-Language, Accept-Encoding"]
        plain = await ask(running.address(), get())
        assert (plain.body, plain.values("etag")) == (JSON, ['"1"'])
        head = await ask(running.address(), get("/", f"Accept-Encoding: {coding}", method="HEAD"), "HEAD")
        assert (head.values("content-encoding"), head.values("content-length")) == ([coding], [])
        known = await ask(running.address(), get("/", f"Accept-Encoding: {coding}", 'If-None-Match: W/"1"'))
        if cache is not None:
            assert (known.status, known.values("etag")) == (304, ['W/"1"'])
            assert "hit" in ", ".join(response.values("cache-status"))
            assert response.values("content-length") == [str(len(response.body))]
    assert len(origin.requests()) == (1 if cache else 6)


async def test_events_come_one_by_one() -> None:
    seen = asyncio.Queue[int]()

    async def events(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        await connection.send(head)
        for number in range(20):
            await connection.send(chunk(b"data: %d\n\n" % number))
            assert await seen.get() == number  # the next one only when this one was seen
        await connection.send(b"0\r\n\r\n")
        await connection.gone()

    for coding in ("gzip", "br", "zstd"):
        async with (
            RawOrigin(events) as origin,
            product(gateway_config([origin.address], LOCAL, compress=True)) as running,
            RawClient(running.address()) as client,
        ):
            client.send(get("/", f"Accept-Encoding: {coding}"))
            for number in range(20):
                await client.wait_for(lambda: b"data: %d\n\n" % number in so_far(client.received))  # noqa: B023
                seen.put_nowait(number)
            [response] = await client.answers("GET")
            assert undone(response) == b"".join(b"data: %d\n\n" % number for number in range(20))


def so_far(received: bytes) -> bytes:
    """What of a chunked and compressed answer can be read already. The judge of it is not the product's own code."""
    head, _, rest = received.partition(b"\r\n\r\n")
    data = b""
    while b"\r\n" in rest:
        size, _, rest = rest.partition(b"\r\n")
        data, rest = data + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    coding = head.lower().partition(b"content-encoding: ")[2].partition(b"\r\n")[0]
    if coding == b"gzip":
        return zlib.decompressobj(31).decompress(data)
    if coding == b"br":
        return bytes(brotli.Decompressor().process(data)) if data else b""
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


async def test_what_breaks_off_is_seen_to_break_off() -> None:
    async def breaks_off(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await connection.send(answer(JSON)[:-1])
        connection.end()

    async with (
        RawOrigin(breaks_off) as origin,
        product(gateway_config([origin.address], LOCAL, compress=True, cache="16MiB")) as running,
        RawClient(running.address()) as client,
    ):
        client.send(get("/", "Accept-Encoding: gzip"))
        received = await client.rest()
        assert b"Transfer-Encoding: chunked" in received
        assert not received.endswith(b"0\r\n\r\n")


async def test_a_route_may_do_without_and_a_hold_makes_servers_send_plain_content() -> None:
    async with RawOrigin(answering(answer(JSON))) as origin:
        tables = gateway_tables([origin.address], LOCAL, compress=True, holds=["path:/held"])
        tables["route"] = [{"path": "/plain", "upstream": "upstream", "compression": {"codings": []}}]
        async with product(config_of(tables)) as running:
            for path, is_compressed in (("/plain", False), ("/other", True)):
                response = await ask(running.address(), get(path, "Accept-Encoding: br"))
                assert (response.values("content-encoding") == ["br"]) is is_compressed
                assert undone(response) == JSON
        asked = [request.values("accept-encoding") for request in origin.requests()]
    assert asked == [["br"], []]


async def test_a42_over_tls_a_page_with_a_cookie_has_its_own_length(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    pair = authority.issue("127.0.0.1")
    personal = answer(JSON, "Set-Cookie: session=1")
    async with RawOrigin(answering(personal)) as origin:
        identity = {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key)}
        async with product(gateway_config([origin.address], LOCAL, compress=True, **identity)) as running:
            command = ["curl", "-sS", "-i", "--max-time", "20", "--cacert", str(authority.file), "--compressed"]
            process = await asyncio.create_subprocess_exec(
                *command, f"https://{running.address()}/", stdout=asyncio.subprocess.PIPE
            )
            out, _ = await asyncio.wait_for(process.communicate(), 30)
        head, _, content = out.partition(b"\r\n\r\n")
        assert b"content-encoding" not in head.lower()
        assert content == JSON
        async with product(gateway_config([origin.address], LOCAL, compress=True)) as running:
            response = await ask(running.address(), get("/", "Accept-Encoding: br"))
        assert response.values("content-encoding") == ["br"]


@pytest.mark.parametrize("levels", [{}, {"gzip_level": 9, "br_level": 9, "zstd_level": 12}], ids=["usual", "highest"])
async def test_f21_what_is_large_delays_nobody(levels: dict[str, int]) -> None:
    large = JSON * (16_000_000 // len(JSON))
    fresh = answer(large, "Cache-Control: max-age=600")

    async def origin_of_both(connection: Connection) -> None:
        while True:
            request = await connection.request(None)
            await connection.send(fresh if request.target == "/large" else answer(b"{}"))

    async with (
        RawOrigin(origin_of_both) as origin,
        product(compressing(origin, levels, cache="256MiB")) as running,
        RawClient(running.address(), deadline_s=30) as small,
    ):
        await ask(running.address(), get("/large"), deadline_s=30)  # from here on it is in memory, all of it
        for coding in ("gzip", "br", "zstd"):
            async with RawClient(running.address(), deadline_s=60) as client:
                client.send(get("/large", f"Accept-Encoding: {coding}"))
                longest, rounds = 0.0, 0
                while not client.received.endswith(b"\r\n0\r\n\r\n") and not client.has_ended:
                    began = time.thread_time()  # all of it is one thread, and others' load is not measured
                    small.send(get("/small"))
                    await small.answers("GET")
                    longest, rounds = max(longest, time.thread_time() - began), rounds + 1
                [response] = await client.answers("GET")
            assert undone(response) == large
            assert rounds >= 5  # in between, not behind it
            assert longest < 0.15


# --- the program: curl, Chromium and nginx --------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "root"
    directory.mkdir()
    files = {"a.json": JSON, "index.html": PAGE + b"<script src=a.js></script>", "a.js": SCRIPT, "a.png": JSON}
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


def curl(*arguments: str) -> tuple[dict[str, str], bytes]:
    """The fields (lower case) and the content, undone by curl where it asked for a coding by itself."""
    done = subprocess.run(["curl", "-sS", "--max-time", "20", "-i", *arguments], capture_output=True, check=True)
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    lines = [line.partition(": ") for line in head.decode("latin-1").split("\r\n")[1:]]
    return {name.lower(): value for name, _, value in lines}, content


GZIP_ON = "gzip on; gzip_types application/json; gzip_proxied any; gzip_vary on;"


@pytest.mark.parametrize("extra", ["", GZIP_ON], ids=["gzip-off", "gzip-on"])
def test_curl_and_nginx(tmp_path: Path, root: Path, extra: str) -> None:
    with (
        Nginx(tmp_path / "nginx", root, extra=f"{extra} add_header Cache-Control max-age=600;") as origin,
        Program(tmp_path, "gateway", f"127.0.0.1:{origin.port}", "--compress", "--cache", "64MiB") as program,
    ):
        for _ in range(3):
            fields, content = curl("--compressed", f"{program.url}/a.json")
            assert content == JSON
            # curl takes gzip, br and zstd alike: nginx has no other than gzip, which is not done twice.
            assert fields["content-encoding"] == ("gzip" if extra else "zstd")
            assert fields["etag"].startswith("W/")
            assert fields["vary"].count("Accept-Encoding") == 1
        asked = len(origin.requests)
        fields, content = curl("-H", "Accept-Encoding: br", f"{program.url}/a.json")
        assert (fields["content-encoding"], brotli.decompress(content)) == ("br", JSON)
        fields, content = curl(
            "-H", "Accept-Encoding: br", "-H", f"If-None-Match: {fields['etag']}", program.url + "/a.json"
        )
        assert content == b""
        fields, content = curl("-H", "Accept-Encoding: br", "-r", "5-14", f"{program.url}/a.json")
        assert content == JSON[5:15]
        fields, content = curl("--compressed", f"{program.url}/a.png")
        assert content == JSON
        assert "content-encoding" not in fields
        if not extra:
            assert asked == 1
            assert origin.requests == ["GET /a.json 200", "GET /a.png 200"]


def test_chromium_loads_a_page_in_each_coding(tmp_path: Path, root: Path) -> None:
    pair = CertificateAuthority(tmp_path).issue("127.0.0.1")
    file = tmp_path / "gateway.toml"
    with Nginx(tmp_path / "nginx", root, extra="rewrite ^/(?:gzip|br|zstd)/(.*) /$1;") as origin:
        tables = f"""
[log]
access = "off"
[[upstream]]
name = "app"
servers = ["127.0.0.1:{origin.port}"]
[[listener]]
address = "127.0.0.1:0"
role = "gateway"
tls = {{ certificate = "{pair.certificate}", key = "{pair.key}" }}
"""
        routes = [
            f'[[route]]\npath = "/{coding}"\nupstream = "app"\ncompression = {{ codings = ["{coding}"] }}\n'
            for coding in ("gzip", "br", "zstd")
        ]
        file.write_text(tables + "".join(routes))
        with Program(tmp_path, "run", str(file)) as program, sync_playwright() as playwright:
            flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
            page = browser.new_context(ignore_https_errors=True).new_page()
            page.set_default_timeout(20_000)
            seen: list[tuple[str, str | None]] = []
            page.on("response", lambda got: seen.append((urlsplit(got.url).path, got.headers.get("content-encoding"))))
            for coding in ("gzip", "br", "zstd"):
                page.goto(f"{program.url}/{coding}/index.html")
                page.wait_for_function("document.title === 'loaded'")
                assert (f"/{coding}/index.html", coding) in seen
                assert (f"/{coding}/a.js", coding) in seen
            browser.close()


def test_check_shows_what_is_compressed_and_refuses_what_would_be_too_slow(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    text = """
[[upstream]]
name = "app"
servers = ["127.0.0.1:9000"]

[[listener]]
address = "127.0.0.1:0"
role = "gateway"
upstream = "app"

[listener.compression]
codings = ["br", "gzip"]
"""
    file.write_text(text)
    said = interpose("check", str(file))
    assert said.returncode == 0
    assert ["SHAPE", "compression"] in [line.split()[:2] for line in said.stdout.splitlines()]
    assert "br 5, gzip 5; 1024 bytes or more" in said.stdout
    file.write_text(text + 'br_level = 11\ntypes = ["text"]\n')
    said = interpose("check", str(file))
    assert said.returncode == 2
    assert "listener[1].compression.br_level = 11: must be a whole number from 0 to 9" in said.stderr
    assert 'listener[1].compression.types[1] = "text": is not a media type; write "text/html"' in said.stderr
    file.write_text(text.replace('role = "gateway"\nupstream = "app"', 'role = "echo"'))
    said = interpose("check", str(file))
    assert said.returncode == 2
    assert "has no meaning for role" in said.stderr


def test_what_was_compressed_is_on_disk_after_a_restart(tmp_path: Path, root: Path) -> None:
    large = JSON * 8
    (root / "large.json").write_bytes(large)
    kept = ("--compress", "--cache", f"64MiB,{tmp_path / 'kept'}")
    with Nginx(tmp_path / "nginx", root, extra="add_header Cache-Control max-age=600;") as origin:
        ask_for = ("-H", "Accept-Encoding: gzip", "-H", "Host: a.example")  # the port is another each time
        lengths: list[str] = []
        for _ in range(2):
            with Program(tmp_path, "gateway", f"127.0.0.1:{origin.port}", *kept) as program:

                def is_known(url: str = f"{program.url}/large.json") -> bool:
                    """Whether the length is known beforehand, as it is of what was compressed before."""
                    fields, content = curl(*ask_for, url)
                    assert gzip.decompress(content) == large
                    lengths.append(fields.get("content-length", ""))
                    return lengths[-1] != ""

                wait_until(is_known, "it is kept compressed")
        assert lengths[0] == ""  # while it was fetched, nobody knew
        assert lengths[-2] == lengths[-1]  # the first answer after the restart, too
        assert origin.requests == ["GET /large.json 200"]
