"""`interpose get`: pages from raw origins, nginx and through proxies; and every way in which there is none."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import ssl
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.certificates import CertificateAuthority
from tests.support.command import begun, command, typing
from tests.support.nginx import Nginx
from tests.support.product import product
from tests.support.raw_origin import OK, Connection, RawOrigin, Script, answering, saying, silent

from interpose import proxy_config

LOCAL = ["127.0.0.1:0"]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n3\r\nabc\r\n0\r\nT: t\r\n\r\n"
LONG = os.urandom(3 << 20)


def answer(status: str, content: bytes = b"", *fields: str) -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{lines}\r\n".encode() + content


async def never(connection: Connection) -> None:
    await asyncio.Event().wait()


# --- what is asked and what is printed -----------------------------------------------------------------------------


async def test_a_page_is_printed_as_it_was_sent() -> None:
    content = bytes(range(256)) * 1000
    async with RawOrigin(answering(answer("200 OK", content))) as origin:
        said = await command("get", f"http://{origin.address}/a/../b c?d=e#f")
    assert (said.status, said.out == content, said.err) == (0, True, "")
    [request] = origin.requests()
    assert (request.method, request.target, request.authority) == ("GET", "/b%20c?d=e", origin.address)


@pytest.mark.parametrize(
    ("sent", "out"),
    [
        (CHUNKED, b"abc"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, b"ok"),
    ],
    ids=["chunked", "until close", "none", "interim"],
)
async def test_raw_prints_the_exact_bytes_and_nothing_else_changes_them(sent: bytes, out: bytes) -> None:
    async with RawOrigin(saying(sent, then_close=True)) as origin:
        said = await command("get", origin.address)
        assert (said.status, said.out) == (0, out)
        said = await command("get", "--raw", origin.address)
        assert (said.status, said.out) == (0, sent)


async def test_the_connection_ends_in_order_and_not_by_a_reset() -> None:
    async with RawOrigin(answering(answer("200 OK", b"12345"))) as origin:
        said = await command("get", origin.address)
        await origin.connections[0].gone()
    assert (said.status, said.out, origin.connections[0].was_reset) == (0, b"12345", False)


async def test_head_prints_the_head() -> None:
    async with RawOrigin(answering(answer("200 Fine", b"12345", "X: y"))) as origin:
        said = await command("get", "-I", origin.address)
    assert (said.status, said.out) == (0, b"HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nX: y\r\n\r\n")
    assert origin.requests()[0].method == "HEAD"


async def test_fields_method_and_content_are_as_asked_for(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"from a file")
    async with RawOrigin(answering(OK)) as origin:
        url = f"http://me:p%40ss@{origin.address}/"
        await command("get", url, "--header", "X-One: 1", "-H", "X-One: 2", "-H", "user-agent: mine", "--data", "a=b")
        await command("get", "-X", "PUT", "-d", f"@{tmp_path}/data", "-H", "Content-Type: text/plain", origin.address)
        await command("get", "--data", "@-", "-H", "Host: other.test:81", origin.address, stdin=b"typed")
    one, two, three = origin.requests()
    fields = {name.lower(): [v for n, v in one.fields if n.lower() == name.lower()] for name, _ in one.fields}
    assert (one.method, one.body) == ("POST", b"a=b")
    assert fields["x-one"] == ["1", "2"]
    assert fields["user-agent"] == ["mine"]
    assert fields["accept"] == ["*/*"]
    assert fields["authorization"] == ["Basic " + base64.b64encode(b"me:p@ss").decode()]
    assert fields["content-type"] == ["application/x-www-form-urlencoded"]
    assert (two.method, two.body) == ("PUT", b"from a file")
    assert [v for n, v in two.fields if n.lower() == "content-type"] == ["text/plain"]
    assert (three.authority, three.body) == ("other.test:81", b"typed")


async def test_a_status_of_an_error_is_said_and_is_an_error_only_when_asked_for() -> None:
    async with RawOrigin(answering(answer("404 Not Here", b"gone"))) as origin:
        said = await command("get", origin.address)
        assert (said.status, said.out) == (0, b"gone")
        assert said.err == f"interpose: http://{origin.address} answered 404 Not Here.\n"
        said = await command("get", "--fail", origin.address)
        assert (said.status, said.out) == (1, b"")
        assert said.err == f"interpose: http://{origin.address} answered 404 Not Here.\n"


async def test_verbose_tells_addresses_and_times() -> None:
    async with RawOrigin(answering(OK)) as origin:
        said = await command("get", "-v", origin.address)
    connected, answered, ended = said.err.splitlines()
    assert connected.startswith(f"Connected to {origin.address} from 127.0.0.1:")
    assert connected.endswith(" ms.")
    assert answered.startswith("Answer 200 after ")
    assert ended.startswith("2 bytes of content; ")


async def test_a_terminal_obeys_nothing_of_a_page() -> None:
    async with (
        RawOrigin(answering(answer("200 OK", b"\x1b]0;owned\x07 caf\xc3\xa9"))) as origin,
        typing("get", origin.address) as person,
    ):
        assert await person.ends() == 0
        seen = await person.sees(b"\r\n")
    assert seen == rb"\x1b]0;owned\x07" + " café\r\n".encode()


# --- redirects -----------------------------------------------------------------------------------------------------


async def test_redirects_are_followed_when_asked_for() -> None:
    moved = answer("302 Found", b"moved", "Location: /b?c")
    async with RawOrigin(answering(moved, answer("200 OK", b"there"))) as origin:
        said = await command("get", "--follow", f"{origin.address}/a")
        assert (said.status, said.out, said.err) == (0, b"there", "")
    assert [request.target for request in origin.requests()] == ["/a", "/b?c"]
    assert len(origin.connections) == 1, "the connection is used again"
    async with RawOrigin(answering(moved)) as origin:
        said = await command("get", f"{origin.address}/a")
        assert (said.status, said.out) == (0, b"moved")
        assert "answered 302 Found, at /b?c; --follow goes there." in said.err


async def test_a_circle_of_redirects_ends() -> None:
    async with RawOrigin(answering(answer("302 Found", b"", "Location: /"))) as origin:
        said = await command("get", "-L", origin.address)
    assert said.status == 1
    assert "more than 10 redirects" in said.err
    assert len(origin.requests()) == 11


async def test_credentials_do_not_go_to_another_origin() -> None:
    async with RawOrigin(answering(OK)) as other:
        location = f"Location: http://{other.address}/x"
        async with RawOrigin(answering(answer("307 Temporary Redirect", b"", location))) as origin:
            said = await command(
                "get", "-L", "-H", "Cookie: a=b", "-H", "Host: claimed.test", "-H", "X: y", "-d", "kept",
                f"http://me:secret@{origin.address}",
            )  # fmt: skip
    assert (said.status, said.out) == (0, b"ok")
    names = {name.lower() for name, _ in origin.requests()[0].fields}
    assert {"cookie", "authorization", "x"} <= names
    [request] = other.requests()
    names = {name.lower() for name, _ in request.fields}
    assert "x" in names
    assert not {"cookie", "authorization"} & names
    assert (request.method, request.body, request.authority) == ("POST", b"kept", other.address)


async def test_303_becomes_get_and_nonsense_is_refused() -> None:
    async with RawOrigin(answering(answer("303 See Other", b"", "Location: /done"), OK)) as origin:
        said = await command("get", "-L", "-d", "x", origin.address)
    assert said.status == 0
    assert [(r.method, r.body) for r in origin.requests()] == [("POST", b"x"), ("GET", b"")]
    async with RawOrigin(answering(answer("302 Found", b"", "Location: gopher://x"))) as origin:
        said = await command("get", "-L", origin.address)
    assert said.status == 1
    assert "redirects to 'gopher://x', which is no http or https URL" in said.err


# --- files ---------------------------------------------------------------------------------------------------------


async def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    async with RawOrigin(answering(answer("200 OK", LONG))) as origin:
        said = await command("get", "-o", str(tmp_path / "page"), origin.address)
    assert (said.status, said.out, said.err) == (0, b"", "")
    assert (tmp_path / "page").read_bytes() == LONG
    assert stat.S_IMODE((tmp_path / "page").stat().st_mode) == 0o666 & ~current_umask()
    assert os.listdir(tmp_path) == ["page"]


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("how", ["cut off", "silent", "ctrl-c", "terminated"])
async def test_a_truncated_answer_leaves_the_old_file(tmp_path: Path, how: str) -> None:
    page = tmp_path / "page"
    page.write_bytes(b"old")

    async def half(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + LONG)
        if how != "cut off":
            await connection.gone()

    async with (
        RawOrigin(half) as origin,
        begun("get", "--timeout", "1" if how == "silent" else "20", "-o", str(page), origin.address) as running,
    ):
        if how in ("ctrl-c", "terminated"):
            async with asyncio.timeout(20):
                while len(os.listdir(tmp_path)) < 2 or not origin.connections:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            running.process.send_signal(signal.SIGINT if how == "ctrl-c" else signal.SIGTERM)
        said = await running.ends()
    assert page.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["page"]
    match how:
        case "cut off":
            assert said.status == 1
            assert "answer broke off: what came is not all there is" in said.err
        case "silent":
            assert said.status == 1
            assert "sent nothing for 1 s" in said.err
        case "ctrl-c":
            assert (said.status, said.err) == (130, "")
        case _:
            assert (said.status, said.err) == (143, "")


async def test_a_link_and_a_device_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "pipe")
    async with RawOrigin(answering(OK)) as origin:
        said = await command("get", "-o", str(tmp_path / "link"), origin.address)
        assert (said.status, (tmp_path / "real").read_bytes()) == (0, b"ok")
        assert (tmp_path / "link").is_symlink()
        assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640
        said = await command("get", "-o", "/dev/null", origin.address)
        assert said.status == 0
        assert Path("/dev/null").is_char_device()  # noqa: ASYNC240
        reading = asyncio.create_task(asyncio.to_thread((tmp_path / "pipe").read_bytes))
        said = await command("get", "-o", str(tmp_path / "pipe"), origin.address)
        assert (said.status, await reading) == (0, b"ok")
        assert (tmp_path / "pipe").is_fifo()


async def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    async with RawOrigin(answering(answer("200 OK", LONG))) as origin:
        said = await command("get", "-o", str(tmp_path / "no" / "page"), origin.address)
        assert said.status == 1
        assert "page cannot be written: no such file or directory." in said.err
        said = await command("get", "-o", str(tmp_path), origin.address)
        assert said.status == 1
        assert "cannot be written: is a directory." in said.err
        said = await command("get", "-o", "/dev/full", origin.address)
        assert said.status == 1
        assert said.err == "interpose: /dev/full cannot be written: no space left on device.\n"


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_person_sees_how_far_a_long_file_is(tmp_path: Path, framing: str) -> None:
    head = b"Content-Length: %d" % len(LONG) if framing == "length" else b"Transfer-Encoding: chunked"
    content = LONG if framing == "length" else b"%x\r\n%b\r\n0\r\n\r\n" % (len(LONG), LONG)
    page = tmp_path / "page"
    async with (
        RawOrigin(saying(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + content)) as origin,
        typing("get", "-o", str(page), origin.address) as person,
    ):
        assert await person.ends() == 0
        seen = await person.sees(b"MiB" if framing == "chunked" else b"3.0/3.0 MiB")
    assert b"page" in seen
    assert page.read_bytes() == LONG


async def test_standard_output_that_is_closed_ends_it_quietly() -> None:
    ours, theirs = os.pipe()
    async with (
        RawOrigin(saying(answer("200 OK", LONG))) as origin,
        begun("get", origin.address, stdout=theirs) as running,
    ):
        os.close(theirs)
        assert await asyncio.to_thread(os.read, ours, 10) == LONG[:10]
        os.close(ours)
        assert running.process.stderr is not None
        async with asyncio.timeout(20):
            assert await running.process.stderr.read() == b""
            assert await running.process.wait() == 1


@pytest.mark.parametrize("raw", [False, True])
async def test_who_does_not_read_holds_up_the_origin_and_not_memory(raw: bool) -> None:
    size, sent = 64 << 20, 0

    async def flood(connection: Connection) -> None:
        nonlocal sent
        await connection.until(b"\r\n\r\n")
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            await connection.send(LONG[: 1 << 20])
            sent += 1 << 20

    async with (
        RawOrigin(flood) as origin,
        begun("get", *(["--raw"] if raw else []), "--timeout", "1", origin.address) as running,
    ):
        await origin.connected()
        before = -1
        while before < sent or not sent:  # until everything on the way is full
            before = sent
            await asyncio.sleep(0.5)
        assert sent < size
        await asyncio.sleep(1.2)  # longer than the deadline: to wait for our own reader is no fault of the origin's
        said = await running.ends()
    assert (said.status, said.err) == (0, "")
    assert len(said.out.partition(b"\r\n\r\n")[2] if raw else said.out) == size


# --- TLS and proxies -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Nginx, str]]:
    directory = tmp_path_factory.mktemp("get")
    (directory / "root").mkdir()
    (directory / "root/a.txt").write_text("a text\n")
    authority = CertificateAuthority(directory)
    with Nginx(directory / "nginx", directory / "root", certificate=authority.issue("localhost")) as server:
        yield server, authority.file


async def test_https_is_checked(nginx: tuple[Nginx, str]) -> None:
    server, ca_file = nginx
    url = f"https://localhost:{server.tls_port}/a.txt"
    said = await command("get", "--ca-file", ca_file, "-v", url)
    assert (said.status, said.out) == (0, b"a text\n")
    assert "\nTLSv1." in said.err
    said = await command("get", url)
    assert (said.status, said.out) == (1, b"")
    assert "cannot be trusted" in said.err
    assert (await command("get", "--insecure", url)).out == b"a text\n"
    said = await command("get", "--ca-file", ca_file, f"https://127.0.0.1:{server.tls_port}/a.txt")
    assert said.status == 1
    said = await command("get", f"https://localhost:{server.port}/a.txt")
    assert said.status == 1
    assert "the port may not speak TLS at all" in said.err


async def test_leaving_https_is_said(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    async with RawOrigin(answering(OK)) as plain:

        async def redirecting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer("301 Moved Permanently", b"", f"Location: http://{plain.address}/"))
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("localhost"))
        server = await asyncio.start_server(redirecting, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        said = await command("get", "-L", "--ca-file", authority.file, f"https://localhost:{port}/")
        server.close()
    assert (said.status, said.out) == (0, b"ok")
    assert f"301 redirects from https to http://{plain.address}/: from here on everybody can read along." in said.err


async def test_through_our_own_proxy(nginx: tuple[Nginx, str]) -> None:
    server, ca_file = nginx
    plain, secure = f"http://localhost:{server.port}/a.txt", f"https://localhost:{server.tls_port}/a.txt"
    async with product(proxy_config(LOCAL)) as running:
        proxy = f"http://{running.address()}"
        said = await command("get", "--proxy", proxy, plain)
        assert (said.status, said.out, said.err) == (0, b"a text\n", "")
        said = await command("get", "--proxy", proxy, "--ca-file", ca_file, secure)
        assert (said.status, said.out, said.err) == (0, b"a text\n", "")
        said = await command("get", "--proxy", proxy, "--raw", "-I", plain)
        assert said.out.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nVia: 1.1 interpose\r\n" in said.out
    assert [(line["method"], line["target"]) for line in running.log] == [
        ("GET", plain),
        ("CONNECT", f"localhost:{server.tls_port}"),
        ("HEAD", plain),
    ]


async def test_a_proxy_gets_its_own_credentials_and_the_origin_does_not(nginx: tuple[Nginx, str]) -> None:
    """To another origin over TLS the same command goes with CONNECT, where nothing of them may be left."""
    async with RawOrigin(answering(OK)) as proxy:
        said = await command("get", "--proxy", f"http://me:pw@{proxy.address}", "http://origin.test/x")
        assert (said.status, said.out) == (0, b"ok")
        said = await command("get", "--proxy", f"http://{proxy.address}", "-H", "Host: x", "http://origin.test/x")
        assert (said.status, said.out) == (2, b"")
        assert "an HTTP proxy is told one host" in said.err
    assert proxy.received.startswith(b"GET http://origin.test/x HTTP/1.1\r\nHost: origin.test\r\n")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:pw") in proxy.received


async def test_through_a_socks_proxy(nginx: tuple[Nginx, str]) -> None:
    server, ca_file = nginx
    async with socks_proxy() as address:
        for url in (f"http://localhost:{server.port}/a.txt", f"https://localhost:{server.tls_port}/a.txt"):
            said = await command("get", "--proxy", f"socks5h://{address}", "--ca-file", ca_file, url)
            assert (said.status, said.out, said.err) == (0, b"a text\n", "")


@asynccontextmanager
async def socks_proxy() -> AsyncIterator[str]:
    """Takes names only, and looks them up itself."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3)
        writer.write(b"\x05\x00")
        assert await reader.readexactly(4) == b"\x05\x01\x00\x03"
        host = await reader.readexactly((await reader.readexactly(1))[0])
        port = int.from_bytes(await reader.readexactly(2), "big")
        there_reader, there = await asyncio.open_connection(host.decode(), port)
        writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")

        async def pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    target.write(data)
            target.close()

        await asyncio.gather(pipe(reader, there), pipe(there_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


# --- no page -------------------------------------------------------------------------------------------------------

FAILURES: dict[str, tuple[Script, str, bytes]] = {
    "closed at once": (saying(b"", then_close=True), "closed the connection before answering", b""),
    "half a head": (saying(b"HTTP/1.1 200 OK\r\nX:", then_close=True), "closed the connection before answering", b""),
    "another protocol": (saying(b"220 mail\r\n"), "does not begin with an HTTP/1 status line: the port may", b""),
    "no framing": (saying(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), "Content-Length", b""),
    "cut off": (saying(answer("200 OK", b"12345")[:-2], then_close=True), "broke off: what came is not all", b"123"),
    "cut chunks": (saying(CHUNKED[:-10], then_close=True), "broke off: what came is not all there is", b"abc"),
    "bad chunks": (saying(CHUNKED[:-12] + b"xyz\r\n"), "is broken; --raw shows what it sent", b""),
    "never": (silent, "did not answer within 0.5 s: it is slow or stuck", b""),
    "half and never": (saying(answer("200 OK", b"12345")[:-2]), "sent nothing for 0.5 s: it may wait", b"123"),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_what_goes_wrong_is_one_sentence_and_what_came_is_printed(case: str) -> None:
    script, words, out = FAILURES[case]
    async with RawOrigin(script) as origin:
        said = await command("get", "--timeout", "0.5", origin.address)
    assert (said.status, said.out) == (1, out), said.err
    assert words in said.err
    assert said.err.count("\n") == 1


async def test_raw_shows_what_makes_no_sense() -> None:
    async with RawOrigin(saying(b"220 mail.example ESMTP\r\n")) as origin:
        said = await command("get", "--raw", origin.address)
    assert (said.status, said.out) == (1, b"220 mail.example ESMTP\r\n")
    assert "does not begin with an HTTP/1 status line" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("",), "an empty URL"),
        (("ftp://x/",), "scheme ftp"),
        (("http:///x",), "names no host"),
        (("http://a b/",), "is not a URL"),
        (("http://h:70000/",), "not between 1 and 65535"),
        (("http://[::1/",), "is not a URL"),
        (("http://h/%zz",), "percent sign"),
        (("h", "-H", "no colon"), "has no colon"),
        (("h", "-H", "Content-Length: 3"), "written by Interpose itself"),
        (("h", "-H", "X: a\x01b"), "control characters"),
        (("h", "-H", "Host: a b"), "not a host"),
        (("h", "-X", "A B"), "not a method"),
        (("h", "-X", "CONNECT"), "makes a tunnel"),
        (("h", "-d", "@/nosuch/file"), "cannot be read: no such file"),
        (("h", "--timeout", "-1"), "--timeout -1"),
        (("h", "--proxy", "nonsense://x"), "is no proxy"),
    ],
)
async def test_bad_usage_is_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    said = await command("get", *arguments)
    assert (said.status, said.out) == (2, b""), said.err
    assert words in said.err
    assert said.err.count("\n") == 1


async def test_what_a_person_is_told_has_no_control_characters() -> None:
    location = "Location: http://x/\x1b[1m".encode("latin-1").replace(b"\x1b", b"\xff")
    sent = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n" + location + b"\r\n\r\n"
    async with RawOrigin(saying(sent)) as origin:
        said = await command("get", origin.address)
    assert said.status == 0
    assert all(c.isprintable() or c == "\n" for c in said.err)
    assert json.dumps(said.err)
