"""`interpose connect` as a person and as a pipe meet it: conversations, and every way in which there is none."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import random
import signal
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.support.certificates import CertificateAuthority, Pair
from tests.support.command import begun, command, typing
from tests.support.dialling import black_hole
from tests.support.product import product
from tests.support.raw_origin import Connection, Gone, RawOrigin, silent

from interpose import proxy_config
from interpose.config.roles import relay_config, socks_config, upper_config
from interpose.net.blocking import quiet_port

LOCAL = ["127.0.0.1:0"]
BINARY = bytes(range(256)) * 2000


async def echo(connection: Connection) -> None:
    """Send back what comes, and end when the other side does."""
    sent = 0
    while True:
        with contextlib.suppress(Gone):
            await connection.wait_for(partial(_has_more, connection, sent))
        data = connection.received[sent:]
        if not data:
            return
        sent += len(data)
        await connection.send(data)


def _has_more(connection: Connection, than: int) -> bool:
    return len(connection.received) > than


def greeting(text: bytes) -> Callable[[Connection], Awaitable[None]]:
    async def script(connection: Connection) -> None:
        await connection.send(text)

    return script


async def for_ever(connection: Connection) -> None:
    """Say nothing, and do not end either."""
    await asyncio.Event().wait()


def port_of(server: asyncio.Server, host: str) -> str:
    return f"{host}:{server.sockets[0].getsockname()[1]}"


# --- pipes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"Foobar\n", BINARY], ids=["nothing", "a line", "binary"])
async def test_what_is_piped_in_goes_out_and_the_answer_is_exact(data: bytes) -> None:
    async with RawOrigin(echo) as server:
        said = await command("connect", server.address, stdin=data)
    assert (said.status, said.out, said.err) == (0, data, "")
    [connection] = server.connections
    assert connection.received == data
    assert not connection.was_reset


async def test_the_end_of_input_is_passed_on_and_the_answer_after_it_is_awaited() -> None:
    async def answer_at_the_end(connection: Connection) -> None:
        await connection.gone()
        await connection.send(b"you said %d bytes\n" % len(connection.received))

    async with RawOrigin(answer_at_the_end) as server:
        said = await command("connect", server.address, stdin=b"12345")
    assert (said.status, said.out) == (0, b"you said 5 bytes\n")


async def test_answers_are_printed_as_they_come() -> None:
    async with RawOrigin(echo) as server, begun("connect", server.address) as running:
        running.say(b"one\n")
        assert await running.until(b"one\n") == b"one\n"
        running.say(b"two\n")
        assert await running.until(b"two\n") == b"one\ntwo\n"
        running.end()
        assert (await running.ends()).status == 0


async def test_what_is_said_after_the_other_side_has_ended_still_arrives() -> None:
    async def end_first(connection: Connection) -> None:
        await connection.send(b"go on\n")
        connection.end()
        await connection.gone()

    async with RawOrigin(end_first) as server, begun("connect", server.address) as running:
        await running.until(b"go on\n")
        running.say(b"x" * 300_000)
        running.end()
        said = await running.ends()
    assert (said.status, said.err) == (0, "")
    assert server.received == b"x" * 300_000


@pytest.mark.parametrize("direction", ["out", "in"])
async def test_a_long_stream_passes_whole_and_memory_stays_flat(direction: str) -> None:
    size, block = 256 << 20, os.urandom(1 << 20)
    wanted = hashlib.sha256()
    received = hashlib.sha256()
    for _ in range(size >> 20):
        wanted.update(block)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if direction == "in":
            for _ in range(size >> 20):
                writer.write(block)
                await writer.drain()
        else:
            while data := await reader.read(1 << 18):
                received.update(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = port_of(server, "127.0.0.1")
    peak = 0
    async with begun("connect", address) as running:
        process = running.process
        assert process.stdin is not None
        assert process.stdout is not None
        async with asyncio.timeout(50):
            if direction == "in":
                process.stdin.close()
            if direction == "out":
                for _ in range(size >> 20):
                    process.stdin.write(block)
                    await process.stdin.drain()
                    peak = max(peak, resident_kib(process.pid))
                process.stdin.close()
                assert await process.stdout.read() == b""
            else:
                while data := await process.stdout.read(1 << 18):
                    received.update(data)
                    peak = max(peak, resident_kib(process.pid))
        assert (await running.ends()).status == 0
    server.close()
    await server.wait_closed()
    assert received.hexdigest() == wanted.hexdigest()
    assert peak < 120 << 10, f"{peak} KiB"


def resident_kib(pid: int) -> int:
    with contextlib.suppress(FileNotFoundError, IndexError):
        return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])
    return 0


async def test_who_does_not_read_is_waited_for_and_loses_nothing() -> None:
    """Neither side of the conversation can be made to hold what the other does not take."""
    block = random.Random(5).randbytes(16 << 20)
    taken = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        while data := await reader.read(65536):
            taken += len(data)
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with begun("connect", port_of(server, "127.0.0.1")) as running:
        running.say(block)
        running.end()
        before = -1
        while before < taken or not taken:  # until everything on the way is full
            before = taken
            await asyncio.sleep(0.3)
        assert taken < len(block)
        assert resident_kib(running.process.pid) < 120 << 10
        said = await running.ends()
    server.close()
    await server.wait_closed()
    assert (said.status, said.out == block) == (0, True)


async def test_standard_output_that_is_closed_ends_it_quietly() -> None:
    async def flood(connection: Connection) -> None:
        while True:
            await connection.send(b"x" * 65536)

    ours, theirs = os.pipe()
    async with RawOrigin(flood) as server, begun("connect", server.address, stdout=theirs) as running:
        os.close(theirs)
        assert await asyncio.to_thread(os.read, ours, 10) == b"x" * 10
        os.close(ours)
        async with asyncio.timeout(10):
            assert running.process.stderr is not None
            assert await running.process.stderr.read() == b""
            assert await running.process.wait() == 1


async def test_input_that_neither_goes_on_nor_ends_is_not_waited_for_when_the_other_side_has_ended() -> None:
    async with (
        RawOrigin(greeting(b"12:00\n")) as server,
        begun("connect", "--timeout", "0.3", "-v", server.address) as running,
    ):
        said = await running.ends()
    assert (said.status, said.out) == (0, b"12:00\n")
    assert "Ended: the other side ended, and nothing more was said here for 0.3 s." in said.err


async def test_a_file_as_input_and_output(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(BINARY)
    async with RawOrigin(echo) as server:
        with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
            async with begun("connect", server.address, stdin=source, stdout=target) as running:
                async with asyncio.timeout(20):
                    assert await running.process.wait() == 0
    assert (tmp_path / "out").read_bytes() == BINARY


@pytest.mark.parametrize("closed", [0, 1, 2])
async def test_descriptors_that_are_closed_from_the_start_do_no_harm(closed: int) -> None:
    async with RawOrigin(greeting(b"hello\n")) as server:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", f'exec "$0" connect "$1" {closed}>&-', command.__globals__["INTERPOSE"], server.address,
            stdin=asyncio.subprocess.DEVNULL, stdout=-1, stderr=-1,
        )  # fmt: skip
        async with asyncio.timeout(20):
            out, err = await process.communicate()
    if closed == 1:
        assert (process.returncode, err) == (
            2,
            b"interpose: standard output is closed; there is nowhere to write to.\n",
        )
    else:
        assert (process.returncode, out, err) == (0, b"hello\n", b"")


async def test_crlf_for_protocols_that_want_it() -> None:
    async with RawOrigin(silent_then_end) as server:
        said = await command("connect", server.address, "--crlf", stdin=b"GET / HTTP/1.1\nHost: x\r\n\n")
    assert said.status == 0
    assert server.received == b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def silent_then_end(connection: Connection) -> None:
    await connection.gone()


# --- at a terminal -------------------------------------------------------------------------------------------------


async def test_a_person_types_lines_and_sees_answers_that_are_not_obeyed() -> None:
    async def shout(connection: Connection) -> None:
        await connection.until(b"hello\n")
        await connection.send(b"\x1b[2J\x1b]0;owned\x07 \xff caf\xc3")
        await connection.send(b"\xa9\r\nnext\n")
        await connection.gone()

    async with RawOrigin(shout) as server, typing("connect", server.address) as person:
        seen = await person.sees(b"Ctrl-D ends what you say.")
        assert f"Connected to {server.address} from 127.0.0.1:".encode() in seen
        person.types(b"hello\n")
        seen = await person.sees(b"next\r\n")
        assert rb"\x1b[2J\x1b]0;owned\x07 \xff caf" + "é\r\nnext\r\n".encode() in seen
        assert b"\x1b" not in seen
        person.types(b"\x04")
        seen = await person.sees(b"The connection has ended: 6 bytes sent")
        assert await person.ends() == 0


async def test_the_other_side_ends_and_the_person_need_not() -> None:
    async with RawOrigin(greeting(b"bye")) as server, typing("connect", server.address) as person:
        seen = await person.sees(b"The connection has ended: 0 bytes sent, 3 received.")
        assert b"bye\r\n" in seen
        assert await person.ends() == 0


async def test_ctrl_c_is_quiet() -> None:
    async with RawOrigin(silent) as server, typing("connect", server.address) as person:
        await person.sees(b"Ctrl-D")
        before = len(person.seen)
        person.types(b"\x03")
        assert await person.ends() == 130
        assert person.seen[before:].strip() in (b"", b"^C")


async def test_a_signal_ends_it_as_well() -> None:
    async with RawOrigin(silent) as server, begun("connect", server.address) as running:
        await server.connected()
        running.process.send_signal(signal.SIGTERM)
        said = await running.ends()
    assert (said.status, said.err) == (143, "")


# --- TLS, Unix sockets, proxies ------------------------------------------------------------------------------------


@asynccontextmanager
async def tls_server(pair: Pair, serve: Callable[..., Awaitable[None]]) -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield port_of(server, "localhost")
    finally:
        server.close()


async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a line in capitals, and end."""
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()


async def test_tls_is_checked(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    async with tls_server(authority.issue("localhost"), upper) as address:
        said = await command("connect", "--tls", "--ca-file", authority.file, "-v", address, stdin=b"quiet\n")
        assert (said.status, said.out) == (0, b"QUIET\n")
        assert "TLSv1.3" in said.err
        said = await command("connect", "--tls", address, stdin=b"quiet\n")
        assert (said.status, said.out) == (1, b"")
        assert said.err.startswith("interpose: The certificate of ")
        assert "--ca-file" in said.err
        assert said.err.count("\n") == 1
        said = await command("connect", "--tls", "--insecure", address, stdin=b"quiet\n")
        assert (said.status, said.out) == (0, b"QUIET\n")
    for greets in (b"220 no TLS here\r\n", b""):
        async with RawOrigin(greeting(greets)) as server:
            said = await command("connect", "--tls", server.address)
        assert said.status == 1
        assert "the port may not speak TLS at all; try without it.\n" in said.err


async def test_in_tls_silence_after_the_end_of_input_ends_it(tmp_path: Path) -> None:
    """TLS has no half-close that servers understand, so that a server that waits for more would be waited for."""
    authority = CertificateAuthority(tmp_path)
    async with tls_server(authority.issue("localhost"), mute) as address:
        said = await command("connect", "--tls", "--insecure", "--timeout", "0.5", "-v", address, stdin=b"anybody?\n")
    assert said.status == 0
    assert "nothing came for 0.5 s after everything was sent" in said.err


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read())[::-1])
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    said = await command("connect", f"unix:{path}", stdin=b"abc")
    assert (said.status, said.out) == (0, b"cba")
    server.close()
    said = await command("connect", f"unix:{path}.not")
    assert said.status == 1
    assert "does not exist" in said.err


async def test_through_our_own_http_proxy() -> None:
    async with RawOrigin(echo) as server, product(proxy_config(LOCAL)) as running:
        proxy = f"http://{running.address()}"
        said = await command("connect", "--proxy", proxy, "-v", server.address, stdin=BINARY)
        assert (said.status, said.out) == (0, BINARY)
        assert f"Connected to {server.address} through {proxy} from 127.0.0.1:" in said.err
        with quiet_port() as port:
            said = await command("connect", "--proxy", proxy, f"127.0.0.1:{port}")
        assert said.status == 1
        assert "answered 502 Bad Gateway" in said.err
        assert "error=connection_refused" in said.err
        said = await command("connect", "--proxy", proxy, "nosuch.invalid:80")
        assert (said.status, "nosuch.invalid:80" in said.err) == (1, True)
    assert [line["method"] for line in running.log] == ["CONNECT"] * 3


async def test_our_own_servers_and_socks_and_a_relay_that_adds_tls(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    pair = authority.issue("localhost")
    relayed = {"tls_certificate": pair.certificate, "tls_key": pair.key}
    async with (
        product(upper_config(LOCAL)) as server,
        product(relay_config([server.address()], LOCAL, **relayed)) as relay,
        product(socks_config(LOCAL)) as socks,
    ):
        address = relay.address().replace("127.0.0.1", "localhost")
        for arguments in ([], ["--proxy", f"socks5://{socks.address()}"]):
            said = await command(
                "connect",
                *arguments,
                "--tls",
                "--ca-file",
                authority.file,
                "--timeout",
                "1",
                address,
                stdin=b"foobar\n",
            )
            assert (said.status, said.out, said.err) == (0, b"FOOBAR\n", "")
            said = await command("connect", *arguments, server.address(), stdin=b"Foobar\n")
            assert (said.status, said.out, said.err) == (0, b"FOOBAR\n", "")


@pytest.mark.parametrize("early", [b"", b"220 hello\r\n"], ids=["then silence", "with the server's first words"])
async def test_an_http_proxy_is_told_who_asks_and_loses_nothing(early: bytes) -> None:
    async def tunnel(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 Fine\r\nX: y\r\n\r\n" + early)
        await connection.until(b"ping\n")
        await connection.send(b"pong\n")

    async with RawOrigin(tunnel) as proxy:
        url = f"http://some%20body:p%40ss@{proxy.address}"
        said = await command("connect", "--proxy", url, "origin.test:25", stdin=b"ping\n")
    assert (said.status, said.out, said.err) == (0, early + b"pong\n", "")
    head = proxy.received.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"CONNECT origin.test:25 HTTP/1.1\r\nHost: origin.test:25\r\n")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"some body:p@ss") in head


async def test_a_proxy_that_wants_a_password_says_so() -> None:
    async def refuse(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await connection.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    async with RawOrigin(refuse) as proxy:
        said = await command("connect", "--proxy", f"http://{proxy.address}", "origin.test:25")
    assert said.status == 1
    assert said.err == (
        f"interpose: The proxy http://{proxy.address} answered 407 Proxy Authentication Required when asked for "
        "origin.test:25: write user and password before its host: --proxy http://user:password@host:port.\n"
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "closed the connection before it answered"),
        (b"HTTP/1.1 200", "closed the connection before it answered"),
        (b"220 I am a mail server\r\n", "does not begin with an HTTP/1 status line"),
        (b"HTTP/1.1 200 OK\nX: y\n\n", "bare LF"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000, "longer than 65536 bytes"),
    ],
    ids=["nothing", "half a line", "another protocol", "bare line feeds", "endless"],
)
async def test_a_proxy_that_makes_no_sense(answer: bytes, words: str) -> None:
    async def script(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await connection.send(answer)

    async with RawOrigin(script) as proxy:
        said = await command("connect", "--proxy", f"http://{proxy.address}", "origin.test:25")
    assert (said.status, said.out) == (1, b"")
    assert words in said.err
    assert said.err.count("\n") == 1


async def test_a_proxy_that_never_answers_is_not_waited_for_longer_than_told() -> None:
    async with RawOrigin(silent) as proxy:
        for scheme in ("http", "socks5"):
            url = f"{scheme}://{proxy.address}"
            said = await command("connect", "--proxy", url, "--timeout", "0.5", "origin.test:25", deadline_s=10)
            assert said.status == 1
            assert f"The proxy {url} did not connect to origin.test:25 within 0.5 s" in said.err, said.err


async def test_a_socks_proxy() -> None:
    async def socks(connection: Connection) -> None:
        await connection.wait_for(lambda: len(connection.received) >= 4)
        assert connection.received == b"\x05\x02\x00\x02"
        await connection.send(b"\x05\x02")
        await connection.until(b"\x01\x02me\x06secret")
        await connection.send(b"\x01\x00")
        await connection.until(b"\x05\x01\x00\x03\x0borigin.test" + struct.pack("!H", 25))
        await connection.send(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34" + b"220 hello\r\n")
        await connection.until(b"ping\n")
        await connection.send(b"pong\n")

    async with RawOrigin(socks) as proxy:
        url = f"socks5://me:secret@{proxy.address}"
        said = await command("connect", "--proxy", url, "origin.test:25", stdin=b"ping\n")
    assert (said.status, said.out, said.err) == (0, b"220 hello\r\npong\n", "")


@pytest.mark.parametrize(("code", "words"), [(2, "does not allow it"), (5, "was refused there"), (99, "did not do it")])
async def test_a_socks_proxy_that_refuses(code: int, words: str) -> None:
    async def socks(connection: Connection) -> None:
        await connection.until(b"\x05\x01\x00")
        await connection.send(b"\x05\x00")
        await connection.until(struct.pack("!H", 25))
        await connection.send(bytes((5, code, 0, 1)) + bytes(6))

    async with RawOrigin(socks) as proxy:
        said = await command("connect", "--proxy", f"socks5://{proxy.address}", "192.0.2.1:25")
    assert said.status == 1
    assert words in said.err


async def test_a_proxy_that_speaks_tls_and_tls_through_it(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        there_reader, there = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    target.write(data)
                target.close()

        await asyncio.gather(pipe(reader, there), pipe(there_reader, writer))

    pair = authority.issue("localhost")
    async with tls_server(pair, tunnel) as proxy, tls_server(pair, upper) as address:
        said = await command(
            "connect", "--proxy", f"https://{proxy}", "--tls", "--ca-file", authority.file, address, stdin=b"quiet\n"
        )
    assert (said.status, said.out, said.err) == (0, b"QUIET\n", "")


# --- no conversation -----------------------------------------------------------------------------------------------


async def test_a_client_before_its_server_is_refused_at_once() -> None:
    with quiet_port() as port:
        said = await command("connect", f"127.0.0.1:{port}")
    assert said.status == 1
    assert said.err == (
        f"interpose: 127.0.0.1:{port} refused the connection: nothing listens on that port there; "
        "start the server first, or check address and port.\n"
    )


async def test_a_name_that_nobody_knows() -> None:
    said = await command("connect", "nosuch.invalid:80")
    assert said.status == 1
    assert said.err.startswith("interpose: ")
    assert "nosuch.invalid" in said.err
    assert said.err.count("\n") == 1


async def test_a_server_that_does_not_accept() -> None:
    with black_hole("127.0.0.1") as port:
        said = await command("connect", "--timeout", "0.5", f"127.0.0.1:{port}")
    assert said.status == 1
    assert "did not accept a connection in time: the machine may be off" in said.err


async def test_a_connection_that_is_reset() -> None:
    async def reset(connection: Connection) -> None:
        await connection.send(b"half an ans")
        await connection.until(b"?")
        connection.reset()

    async with RawOrigin(reset) as server, begun("connect", server.address) as running:
        await running.until(b"half an ans")
        running.say(b"?")
        said = await running.ends()
    assert (said.status, said.out) == (1, b"half an ans")
    assert f"{server.address} reset the connection: the server went away" in said.err


async def test_a_server_that_says_nothing_for_longer_than_told() -> None:
    async with RawOrigin(for_ever) as server:
        said = await command("connect", "--timeout", "0.3", server.address, stdin=b"well?")
    assert said.status == 1
    assert "Nothing came for 0.3 s after everything was sent: it may wait for something" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("127.0.0.1",), "'127.0.0.1' has no port"),
        (("127.0.0.1:0",), "port 0, where nobody can be reached"),
        (("127.0.0.1:65536",), "'65536' in '127.0.0.1:65536' is not a port"),
        (("127.0.0.1:x",), "is not a port"),
        (("::1:80",), "ambiguous"),
        (("1.2.3:80",), "is not an IPv4 address"),
        (("unix:",), "needs the path"),
        (("127.0.0.1:1", "--timeout", "0"), "--timeout 0"),
        (("127.0.0.1:1", "--retry", "1"), "--retry is for --udp"),
        (("127.0.0.1:1", "--udp", "--tls"), "--tls is for connections"),
        (("127.0.0.1:1", "--udp", "--proxy", "http://127.0.0.1:1"), "--proxy is for connections"),
        (("unix:/x", "--udp"), "a Unix socket, which carries connections"),
        (("unix:/x", "--proxy", "http://127.0.0.1:1"), "a proxy cannot reach it"),
        (("127.0.0.1:1", "--proxy", "ftp://me:secret@h:1"), "'ftp://h:1' is no proxy"),
        (("127.0.0.1:1", "--proxy", "http://h:0"), "names no host and port"),
        (("224.0.0.1:1", "--udp"), "multicast"),
        (("[ff02::1]:1", "--udp"), "multicast"),
        (("255.255.255.255:1", "--udp"), "broadcast"),
        (("127.0.0.1:1", "--tls", "--ca-file", "/nosuch/file"), "/nosuch/file cannot be used"),
    ],
)
async def test_bad_usage_is_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    said = await command("connect", *arguments)
    assert (said.status, said.out) == (2, b"")
    assert words in said.err
    assert said.err.count("\n") == 1
    assert "secret" not in said.err


# --- datagrams -----------------------------------------------------------------------------------------------------


class DatagramServer(asyncio.DatagramProtocol):
    """Answers each datagram with what `answer` makes of it, None for silence."""

    def __init__(self, answer: Callable[[bytes, int], bytes | None]) -> None:
        self.answer = answer
        self.received: list[bytes] = []
        self.last: object = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: object) -> None:
        self.received.append(data)
        self.last = address
        answer = self.answer(data, len(self.received))
        if answer is not None:
            self._transport.sendto(answer, address)  # type: ignore[attr-defined]


@asynccontextmanager
async def datagram_server(
    answer: Callable[[bytes, int], bytes | None], port: int = 0
) -> AsyncIterator[tuple[DatagramServer, str]]:
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a quiet port has a keeper
    sock.bind(("127.0.0.1", port))
    transport, server = await loop.create_datagram_endpoint(lambda: DatagramServer(answer), sock=sock)
    try:
        yield server, f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()


@pytest.mark.parametrize("data", [b"", b"Foobar\n", b"x" * 65_507], ids=["none", "a line", "the longest"])
async def test_standard_input_is_one_datagram(data: bytes) -> None:
    async with datagram_server(lambda data, _: data.upper() or b"none") as (server, address):
        said = await command("connect", "--udp", "--timeout", "0.5", address, stdin=data)
    assert (said.status, said.out, said.err) == (0, data.upper() or b"none", "")
    assert server.received == [data]


async def test_more_than_a_datagram_holds_is_refused() -> None:
    async with datagram_server(lambda data, _: data) as (server, address):
        said = await command("connect", "--udp", address, stdin=b"x" * 65_508)
    assert said.status == 2
    assert "longer than a datagram can be, which is 65507 bytes" in said.err
    assert server.received == []


async def test_a_udp_client_hears_nothing_and_says_so() -> None:
    async with datagram_server(lambda data, _: None) as (server, address):
        said = await command("connect", "--udp", "--timeout", "0.3", "--retry", "2", address, stdin=b"x")
    assert said.status == 1
    assert said.err == (
        "No answer for 0.3 s; sending it again (1 of 2).\n"
        "No answer for 0.3 s; sending it again (2 of 2).\n"
        f"interpose: {address} did not answer 3 datagrams within 0.3 s: in UDP nobody says why; "
        "start the server first, check the port, or send it again with --retry.\n"
    )
    assert server.received == [b"x"] * 3


async def test_a_udp_client_whose_port_is_unreachable_is_told_by_icmp() -> None:
    with quiet_port(udp=True) as port:
        said = await command("connect", "--udp", f"127.0.0.1:{port}", stdin=b"x")
    assert said.status == 1
    assert "ICMP port unreachable" in said.err
    assert "start the server first" in said.err


async def test_a_udp_client_before_its_server_insists() -> None:
    with quiet_port(udp=True) as port:
        async with begun("connect", "--udp", "--timeout", "0.3", "--retry", "50", f"127.0.0.1:{port}") as running:
            running.say(b"late?")
            running.end()
            assert running.process.stderr is not None
            assert b"sending it again (1 of 50)" in await running.process.stderr.readline()
            async with datagram_server(lambda data, _: b"never", port):
                said = await running.ends()
    assert (said.status, said.out) == (0, b"never")


async def test_answers_are_printed_until_silence() -> None:
    async with datagram_server(lambda data, _: data) as (server, address):

        def again(data: bytes, number: int) -> bytes:
            if number < 4:  # as if three more had been asked for
                asyncio.get_running_loop().call_later(0.1, server.datagram_received, data, server.last)
            return b"%d\n" % number

        server.answer = again
        said = await command("connect", "--udp", "--timeout", "0.5", "-v", address, stdin=b"a")
    assert (said.status, said.out) == (0, b"1\n2\n3\n4\n")
    assert said.err.count("An answer of 2 bytes.") == 4


async def test_a_person_sends_a_datagram_for_each_line() -> None:
    def second_only(data: bytes, number: int) -> bytes | None:
        return None if number == 1 else data.upper() + b"\x1b[1m"

    async with (
        datagram_server(second_only) as (server, address),
        typing("connect", "--udp", "--timeout", "0.3", address) as person,
    ):
        await person.sees(b"UDP does not say whether anybody is there.")
        person.types(b"one\n")
        await person.sees(b"No answer for 0.3 s.")
        person.types(b"two\n")
        await person.sees(b"TWO")
        seen = await person.sees(rb"\x1b[1m")
        person.types(b"\x04")
        assert await person.ends() == 0
        assert b"\x1b" not in seen
    assert server.received == [b"one\n", b"two\n"]
