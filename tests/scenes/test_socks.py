"""SOCKS as its clients see it: curl, nc, a SOCKS library, and bytes written by hand."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import socks
from tests.support.background import in_background
from tests.support.certificates import CertificateAuthority
from tests.support.name_server import NXDOMAIN, NameServer, Reply
from tests.support.product import Product, product, settings
from tests.support.program import Program, interpose
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, Connection, RawOrigin, answering
from tests.support.raw_socks import (
    ASSOCIATE,
    BIND,
    HELLO,
    association,
    bound,
    came,
    code_of,
    login,
    place,
    request,
    request_4,
)

from interpose.config.load import config_of

USERS = "ann:$2b$04$14J0ko8z6XFtMuC3vUxFzO8rFIHeYSHQgogaBraW4cZ7DOiCwV12q\n"  # pass word
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
SUCCEEDED = b"\x05\x00\x05\x00\x00\x01"


@asynccontextmanager
async def serving(role: str = "socks", *, tables: dict[str, Any] | None = None, **keys: Any) -> AsyncIterator[Product]:
    """A listener of this role."""
    listener = {"name": "main", "role": role, "address": "127.0.0.1:0", **keys}
    async with product(config_of({"listener": [listener], **(tables or {})})) as running:
        yield running


async def ran(*command: str, stdin: bytes = b"") -> tuple[int, bytes]:
    """Run a client to its end: its status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env=ENVIRONMENT,
    )  # fmt: skip
    async with asyncio.timeout(20):
        printed, _ = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, printed


async def curl(*arguments: str) -> tuple[int, bytes]:
    return await ran("curl", "-sS", "--max-time", "15", *arguments)


async def echoing(connection: Connection) -> None:
    """Send back what comes, and end when the client does."""
    sent = 0
    while not connection.has_ended:
        connection._changed.clear()
        await connection.send(connection.received[sent:])
        sent = len(connection.received)
        if not connection.has_ended:
            await connection._changed.wait()
    await connection.send(connection.received[sent:])


@pytest.fixture
def users(tmp_path: Path) -> str:
    file = tmp_path / "users"
    file.write_text(USERS)
    return str(file)


# --- curl ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["socks", "auto"])
@pytest.mark.parametrize("option", ["--socks4", "--socks4a", "--socks5", "--socks5-hostname"])
async def test_curl_gets_a_page(option: str, role: str) -> None:
    async with RawOrigin(answering(OK)) as origin, serving(role) as running:
        for host in ("127.0.0.1", "localhost"):
            got = await curl(option, running.address(), f"http://{host}:{origin.port}/")
            assert got == (0, b"ok")
        assert await curl(option, running.address(), "http://127.0.0.1:1/") == (97, b"")
    version = option[7]
    lines = [(line["method"], line["status"], line.get("failure")) for line in running.log]
    assert lines == [(f"SOCKS{version}", *end) for end in ((200, None), (200, None), (502, "connection_refused"))]
    # Whoever resolves names by itself sends an address.
    name = "localhost" if option in ("--socks4a", "--socks5-hostname") else "127.0.0.1"
    assert running.log[1]["target"] == f"{name}:{origin.port}"
    assert running.log[1]["upstream"] == f"127.0.0.1:{origin.port}"


@pytest.mark.parametrize("role", ["socks", "auto"])
async def test_curl_as_a_user(users: str, role: str) -> None:
    async with RawOrigin(answering(OK)) as origin, serving(role, auth=users) as running:
        url = f"http://127.0.0.1:{origin.port}/"
        for option in ("--socks5", "--socks5-hostname"):
            assert await curl(option, running.address(), "--proxy-user", "ann:pass word", url) == (0, b"ok")
            assert (await curl(option, running.address(), "--proxy-user", "ann:wrong", url))[0] == 97
            assert (await curl(option, running.address(), "--proxy-user", "ann:", url))[0] == 97
            assert (await curl(option, running.address(), url))[0] == 97
        assert (await curl("--socks4", running.address(), "--proxy-user", "ann:pass word", url))[0] == 97
    assert [line["status"] for line in running.log] == [200, 407, 407, 407, 200, 407, 407, 407, 407]
    assert [line.get("user") for line in running.log if line["status"] == 200] == ["ann", "ann"]
    refused = [line["notes"] for line in running.log if line["status"] == 407]
    assert all(notes["filter"] == "auth" and notes["why"] for notes in refused)
    assert len(origin.connections) == 2
    assert b"pass word" not in running.raw_log


async def test_curl_speaks_tls_to_the_origin_through_the_tunnel(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    pair = authority.issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.read()
        writer.close()

    origin = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with origin, serving() as running:
        url = f"https://localhost:{origin.sockets[0].getsockname()[1]}/"
        got = await curl("--cacert", authority.file, "--socks5-hostname", running.address(), url)
    assert got == (0, b"ok")


# --- nc and a library ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["4", "5"])
async def test_nc_passes_standard_input_on_and_prints_what_comes_back(version: str) -> None:
    async with RawOrigin(echoing) as origin, serving() as running:
        got = await ran(
            "nc", "-N", "-X", version, "-x", running.address(), "127.0.0.1", str(origin.port), stdin=b"Foobar\n" * 5000
        )
    assert got == (0, b"Foobar\n" * 5000)


def through(address: str, kind: int, login: tuple[str, str] | None = None) -> socks.socksocket:
    """A socket of the library's."""
    host, _, port = address.rpartition(":")
    sock = socks.socksocket(socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(10)
    user, password = login or (None, None)
    sock.set_proxy(kind, host, int(port), rdns=True, username=user, password=password)
    return sock


@pytest.mark.parametrize("kind", [socks.SOCKS4, socks.SOCKS5])
async def test_a_library_connects_by_name_and_sends_both_ways(kind: int) -> None:
    content = os.urandom(1 << 20)

    def conversation(address: str, port: int) -> bytes:
        with through(address, kind) as sock:
            sock.connect(("localhost", port))
            sock.sendall(content)
            sock.shutdown(socket.SHUT_WR)
            received = b""
            while data := sock.recv(65536):
                received += data
            return received

    async with RawOrigin(echoing) as origin, serving() as running:
        assert await asyncio.to_thread(conversation, running.address(), origin.port) == content
        await running.logged(1)
    [line] = running.log
    assert line["bytes"] == len(content)


async def test_a_library_logs_in(users: str) -> None:
    def attempt(address: str, port: int, login: tuple[str, str] | None) -> str:
        with through(address, socks.SOCKS5, login) as sock:
            try:
                sock.connect(("127.0.0.1", port))
            except socks.ProxyError as error:
                return str(error.socket_err or error)
        return "connected"

    async with RawOrigin(answering(OK)) as origin, serving(auth=users) as running:
        for login_, expected in (
            (("ann", "pass word"), "connected"),
            (("ann", "x"), "SOCKS5 authentication failed"),
            (("bob", "y"), "SOCKS5 authentication failed"),
            (None, "All offered SOCKS5 authentication methods were rejected"),
        ):
            assert await asyncio.to_thread(attempt, running.address(), origin.port, login_) == expected


async def test_a_library_learns_why_not() -> None:
    def attempt(address: str, host: str, port: int) -> str:
        with through(address, socks.SOCKS5) as sock:
            try:
                sock.connect((host, port))
            except socks.ProxyError as error:
                return str(error.socket_err)
        return "connected"

    async with (
        NameServer(lambda name, kind: Reply(status=NXDOMAIN)) as names,
        serving(tables={"dns": {"servers": [names.address]}}) as running,
    ):
        address = running.address()
        for host, port, why in (
            ("127.0.0.1", 1, "0x05: Connection refused"),
            ("nowhere.example", 80, "0x04: Host unreachable"),
            ("169.254.169.254", 80, "0x02: Connection not allowed"),
            ("127.0.0.1", 22, "0x02: Connection not allowed"),
        ):
            assert why in await asyncio.to_thread(attempt, address, host, port)


# --- by hand -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "code", "status"),
    [
        (request("127.0.0.1", 1), 5, 502),
        (request("127.0.0.1", 0), 1, 400),
        (request("127.0.0.1", 80, BIND), 7, 501),
        (request("127.0.0.1", 80, 9), 7, 501),
        (b"\x05\x01\x00\x02\x00\x00\x00\x00\x00\x50", 8, 400),
        (b"\x05\x01\x07\x01\x7f\x00\x00\x01\x00\x50", 1, 400),
        (b"\x05\x01\x00" + place("a b.test", 80), 1, 400),
        (request_4("127.0.0.1", 1), 91, 502),
        (request_4("127.0.0.1", 22), 91, 403),
        (b"\x04\x02" + request_4("127.0.0.1", 80)[2:], 91, 501),
        (b"\x04\x09" + request_4("127.0.0.1", 80)[2:], 91, 501),
    ],
)
async def test_every_refusal_is_said_and_logged(asked: bytes, code: int, status: int) -> None:
    async with serving() as running:
        assert await code_of(running.address(), asked) == code
    [line] = running.log
    assert (line["status"], line["client"]) == (status, "127.0.0.1")
    assert line["detail"]


async def test_the_reply_names_the_address_that_the_server_sees() -> None:
    async with RawOrigin(answering(OK)) as origin, serving() as running, RawClient(running.address()) as client:
        client.send(HELLO + request("127.0.0.1", origin.port))
        reply = await came(client, 12)
        await origin.connected()
        seen = origin.connections[0]._writer.get_extra_info("peername")
        assert bound(reply[2:]) == seen[:2]


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("role", ["socks", "auto"])
async def test_an_opening_may_come_byte_by_byte(role: str, step: int, users: str) -> None:
    """What comes behind it, in the same piece or in another, is the server's."""
    asked = b"\x05\x02\x00\x02" + login(b"ann", b"pass word")
    async with RawOrigin(echoing) as origin, serving(role, auth=users) as running:
        asked += request("localhost", origin.port, as_name=True) + b"early"
        async with RawClient(running.address()) as client:
            for start in range(0, len(asked), step):
                client.send(asked[start : start + step])
                await client.drain()
                await asyncio.sleep(0)
            received = await came(client, 4 + 10 + 5)
            assert received.startswith(b"\x05\x02\x01\x00\x05\x00\x00\x01")
            client.send(b" and late")
            client.end()
            assert (await client.rest())[14:] == b"early and late"
        await origin.connections[0].gone()


@pytest.mark.parametrize("asked", [HELLO + request("127.0.0.1", 0)[:-2], request_4("127.0.0.1", 0)[:2]])
async def test_everything_at_once(asked: bytes) -> None:
    """A client that does not wait for answers gets what the others get, with its first bytes for the server."""
    async with RawOrigin(echoing) as origin, serving() as running:
        asked = HELLO + request("127.0.0.1", origin.port) if asked[0] == 5 else request_4("127.0.0.1", origin.port)
        async with RawClient(running.address()) as client:
            client.send(asked + b"Foobar")
            client.end()
            received = await client.rest()
    answered = received.removesuffix(b"Foobar")
    assert answered == (b"\x00Z" + bytes(6) if asked[0] == 4 else b"\x05\x00\x05\x00\x00\x01" + answered[-6:])
    assert received != answered


async def test_half_close_goes_both_ways() -> None:
    """The client ends its side and gets everything that the server says after that; and the other way round."""

    async def ending_first(connection: Connection) -> None:
        await connection.send(b"said first")
        connection.end()
        await connection.gone()

    async def answering_late(connection: Connection) -> None:
        await connection.gone()
        await connection.send(b"said late" * 20_000)

    async with serving() as running:
        async with RawOrigin(answering_late) as origin, RawClient(running.address()) as client:
            client.send(HELLO + request("127.0.0.1", origin.port) + b"question")
            client.end()
            assert (await client.rest())[12:] == b"said late" * 20_000
            assert origin.received == b"question"
        async with RawOrigin(ending_first) as origin, RawClient(running.address()) as client:
            client.send(HELLO + request("127.0.0.1", origin.port))
            assert (await client.rest())[12:] == b"said first"
            client.send(b"late" * 20_000)
            client.end()
            await origin.connections[0].gone()
            assert origin.received == b"late" * 20_000
    assert [line["status"] for line in running.log] == [200, 200]


async def test_a_server_that_breaks_off_breaks_the_client_off() -> None:
    async def breaking(connection: Connection) -> None:
        await connection.until(b"go")
        connection.reset()

    async with RawOrigin(breaking) as origin, serving() as running:
        async with RawClient(running.address()) as client:
            client.send(HELLO + request("127.0.0.1", origin.port) + b"go")
            await client.rest()
            assert client.was_reset
        await running.logged(1)


async def test_a_client_that_leaves_while_it_waits_leaves_nothing_behind() -> None:
    async with (
        NameServer(lambda name, kind: Reply(silent=True)) as names,
        serving(tables={"dns": {"servers": [names.address], "timeout_s": 30.0}}) as running,
    ):
        async with RawClient(running.address()) as client:
            client.send(HELLO + request("slow.test", 80))
            await running.when(lambda: names.questions)
            client.reset()
        await running.when(lambda: running.counters["connections"] == 0)
    [line] = running.log
    assert line["failure"] == "connection_terminated"


async def test_a_client_that_insists_on_a_user_is_told_that_there_are_none() -> None:
    async with serving() as running, RawClient(running.address()) as client:
        client.send(b"\x05\x01\x02")
        assert await client.rest() == b"\x05\xff"
    assert "no users here" in running.log[0]["detail"]


async def test_a_browser_on_the_wrong_port_gets_words() -> None:
    async with serving() as running:
        got = await curl(f"http://{running.address()}/")
    assert got == (0, b"This port speaks SOCKS; use socks5h:// here, and not http://\n")


async def test_socks_inside_tls(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    pair = authority.issue("localhost")
    tls = {"certificate": pair.certificate, "key": pair.key}
    async with RawOrigin(echoing) as origin, serving(tls=tls) as running:
        host, _, port = running.address().rpartition(":")
        reader, writer = await asyncio.open_connection(
            host, int(port), ssl=authority.client(), server_hostname="localhost"
        )
        writer.write(HELLO + request("127.0.0.1", origin.port) + b"Foobar")
        async with asyncio.timeout(10):
            assert (await reader.readexactly(18))[12:] == b"Foobar"
        writer.close()
        await writer.wait_closed()


async def test_a_unix_socket_serves_connections_and_no_datagrams(tmp_path: Path) -> None:
    async with RawOrigin(echoing) as origin, serving(address=f"unix:{tmp_path}/s") as running:
        assert await code_of(running.address(), request("127.0.0.1", origin.port)) == 0
        assert await code_of(running.address(), request("0.0.0.0", 0, ASSOCIATE)) == 7


async def test_lines_of_the_log_in_the_usual_format(users: str) -> None:
    async with RawOrigin(echoing) as origin:
        config = config_of({"listener": [{"name": "main", "role": "socks", "address": "127.0.0.1:0", "auth": users}]})
        async with product(config, log="combined") as running, RawClient(running.address()) as client:
            client.send(b"\x05\x01\x02" + login(b"ann", b"pass word") + request("localhost", origin.port) + b"four")
            client.end()
            await client.rest()
    line = running.raw_log.decode()
    assert line.startswith("127.0.0.1 - ann [")
    assert f'"SOCKS5 localhost:{origin.port}" 200 4 ' in line


# --- the program ---------------------------------------------------------------------------------------------------


def blocking_curl(*arguments: str) -> tuple[int, bytes]:
    """For scenes of the program, which block: their origins have a loop of their own."""
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "15", *arguments], capture_output=True, env=ENVIRONMENT, timeout=20, check=False
    )
    return done.returncode, done.stdout


def test_interpose_socks_runs_with_users_and_drains(tmp_path: Path, users: str) -> None:
    log = tmp_path / "socks.log"
    arguments = ("socks", "--listen", "127.0.0.1:0", "--workers", "2", "--auth", users, "--log", str(log))
    with in_background(lambda: RawOrigin(answering(OK))) as origin:
        url = f"http://localhost:{origin.port}/"
        with Program(tmp_path / "run", *arguments) as program:
            assert program.ready[0]["role"] == "socks"
            assert program.url == f"socks5://127.0.0.1:{program.port}"
            address = f"127.0.0.1:{program.port}"
            for _ in range(4):
                got = blocking_curl("--socks5-hostname", address, "--proxy-user", "ann:pass word", url)
                assert got == (0, b"ok")
            assert blocking_curl("--socks4a", address, url)[0] == 97
    assert log.read_text().count('"SOCKS5"') == 4


def test_who_has_not_asked_for_anything_does_not_hold_up_the_end(tmp_path: Path) -> None:
    file = tmp_path / "interpose.toml"
    file.write_text('process.grace_s = 60\nlog.access = "off"\n[[listener]]\naddress = "127.0.0.1:0"\nrole = "socks"\n')
    with (
        Program(tmp_path, "run", str(file)) as program,
        socket.create_connection(("127.0.0.1", program.port)) as client,
    ):
        client.settimeout(20)
        client.sendall(b"\x05\x01\x00")
        assert client.recv(2) == b"\x05\x00"
        program.process.terminate()
        assert client.recv(1) == b""
        program.process.wait(20)  # long before the grace is over


def test_interpose_proxy_speaks_socks_too_when_told_to(tmp_path: Path) -> None:
    with in_background(lambda: RawOrigin(answering(OK))) as origin:
        url = f"http://127.0.0.1:{origin.port}/"
        with Program(tmp_path, "proxy", "--socks") as program:
            assert program.ready[0]["role"] == "auto"
            assert program.url == f"http://127.0.0.1:{program.port}"
            for option in ("--proxy", "--socks4a", "--socks5"):
                assert blocking_curl(option, f"127.0.0.1:{program.port}", url) == (0, b"ok")
            assert sorted(line["method"] for line in program.log(3)) == ["GET", "SOCKS4", "SOCKS5"]


def test_check_tells_what_is_decided_about_socks(tmp_path: Path, users: str) -> None:
    file = tmp_path / "interpose.toml"
    file.write_text(f'[[listener]]\naddress = "127.0.0.1:0"\nrole = "auto"\nauth = "{users}"\n')
    told = interpose("check", str(file), env={**os.environ, "COLUMNS": "200"})
    assert told.returncode == 0, told.stderr
    for words in ("every SOCKS request", "every HTTP request", "destination", "auth"):
        assert words in told.stdout
    Path(users).write_text("ann:plain\n")
    assert interpose("check", str(file)).returncode == 2


# --- role auto -----------------------------------------------------------------------------------------------------


async def test_auto_serves_http_with_all_that_a_proxy_does() -> None:
    async with RawOrigin(answering(OK)) as origin, serving("auto") as running:
        url = f"http://127.0.0.1:{origin.port}/"
        assert await curl("--proxy", running.address(), url, url) == (0, b"okok")
        assert await curl("--proxy", running.address(), "--proxytunnel", url) == (0, b"ok")
        status, page = await curl(f"http://{running.address()}/")
        assert status == 0
        assert b"proxy" in page
        async with RawClient(running.address()) as client:
            client.send(b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
            [answer] = await client.answers("GET")
            assert answer.status == 200
        async with RawClient(running.address()) as client:
            client.send(b"\x03\x01\x00")
            [answer] = await client.answers("GET")
            assert answer.status == 400
    assert [line["method"] for line in running.log if "method" in line] == ["GET", "GET", "CONNECT", "GET", "GET"]


async def test_auto_looks_again_inside_tls(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    pair = authority.issue("localhost", "127.0.0.1")
    tls = {"certificate": pair.certificate, "key": pair.key}
    async with RawOrigin(answering(OK)) as origin, serving("auto", tls=tls) as running:
        url, port = f"http://127.0.0.1:{origin.port}/", running.address().rpartition(":")[2]
        believes = ("--proxy-cacert", authority.file)
        for way in (("--proxy", running.address()), ("--socks5", running.address()), ("--socks4a", running.address())):
            assert await curl(*way, url) == (0, b"ok")
        assert await curl("--proxy", f"https://localhost:{port}", *believes, url) == (0, b"ok")
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", int(port), ssl=authority.client(), server_hostname="localhost"
        )
        writer.write(HELLO + request("127.0.0.1", origin.port) + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readexactly(12 + len(OK)))[12:] == OK
        # TLS once more inside is not TLS for this port.
        writer.close()
        await writer.wait_closed()
    assert len(origin.connections) == 4  # both requests of HTTP came over one


async def test_auto_without_a_certificate_answers_tls_in_words() -> None:
    async with serving("auto") as running, RawClient(running.address()) as client:
        client.send(b"\x16\x03\x01\x00\x05hello\r\n\r\n")
        assert b"HTTP/1.1 400" in await client.rest()


async def test_auto_behind_a_proxy_that_says_who_the_client_is() -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        serving("auto", proxy_protocol_from=["127.0.0.0/8"], allow_from=["198.51.100.0/24"]) as running,
    ):
        ask = f"GET http://127.0.0.1:{origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        for host, codes in (("198.51.100.7", (200, 0)), ("203.0.113.7", (403, -1))):
            line = f"PROXY TCP4 {host} 127.0.0.1 5000 1080\r\n".encode()
            async with RawClient(running.address()) as client:
                client.send(line + ask)
                [answer] = await client.answers("GET")
                assert answer.status == codes[0]
            async with RawClient(running.address()) as client:
                client.send(line + HELLO + request("127.0.0.1", origin.port))
                received = await came(client, 12)
                assert (received[3] if received else -1) == codes[1]
    assert [line["client"] for line in running.log] == ["198.51.100.7"] * 2 + ["203.0.113.7"] * 2


@pytest.mark.parametrize("role", ["socks", "auto"])
async def test_who_says_nothing_is_not_waited_for(role: str) -> None:
    listener = {"name": "main", "role": role, "address": "127.0.0.1:0"}
    config = settings(config_of({"listener": [listener]}), timeouts={"head_timeout_s": 0.2})
    async with product(config) as running, RawClient(running.address()) as client:
        assert await client.rest() == b""


async def test_one_association_lasts_as_long_as_its_connection() -> None:
    async with serving() as running:
        async with association(running.address()) as (client, where):
            assert where[0] == "127.0.0.1"
            client.end()
            assert (await client.rest())[:3] == b"\x05\x00\x05"
        [line] = await running.logged(1)
    assert (line["method"], line["target"], line["status"]) == ("SOCKS5-UDP", f"127.0.0.1:{where[1]}", 200)
