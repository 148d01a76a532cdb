"""Dialling: names are looked up once, addresses judged, connections raced, errors told in words."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.support.certificates import CertificateAuthority, Pair
from tests.support.event_loops import LOOPS, Scene, few_descriptors, run_scene, settle
from tests.support.name_server import NXDOMAIN as NXDOMAIN_STATUS
from tests.support.name_server import SERVFAIL as SERVFAIL_STATUS
from tests.support.name_server import A, NameServer, Reply

from interpose.core.exchange import Attempt
from interpose.core.failure import Failure
from interpose.core.target import Origin
from interpose.net.address import IPAddress, parse_address
from interpose.net.dial import Dialler, DialOptions
from interpose.net.policy import AddressPolicy
from interpose.net.resolve import ResolveOptions, Resolver, SystemLookup
from interpose.net.stream import SocketStream


@pytest.fixture(params=LOOPS)
def on_loop(request: pytest.FixtureRequest) -> Callable[[Scene], None]:
    return lambda scene: run_scene(request.param, scene)


def resolves_to(*addresses: str) -> Callable[[str], "asyncio.Future[tuple[IPAddress, ...]]"]:
    """A resolver that gives every name these addresses."""

    def resolve(host: str) -> "asyncio.Future[tuple[IPAddress, ...]]":
        future = asyncio.get_running_loop().create_future()
        future.set_result(tuple(ip_address(address) for address in addresses))
        return future

    return resolve


class Origins:
    """Servers on loopback that echo, and how many connections each got."""

    def __init__(self) -> None:
        self.connections: dict[str, int] = {}
        self._servers: list[asyncio.Server] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def listen(self, host: str, port: int = 0, context: ssl.SSLContext | None = None) -> int:
        self.connections[host] = 0

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections[host] += 1
            self._writers.append(writer)
            with contextlib.suppress(OSError):
                while data := await reader.read(1000):
                    writer.write(data)

        server = await asyncio.start_server(echo, host, port, ssl=context)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def close(self) -> None:
        for server in self._servers:
            server.close()
        for writer in self._writers:
            writer.close()


@contextlib.asynccontextmanager
async def origins() -> AsyncIterator[Origins]:
    some = Origins()
    try:
        yield some
    finally:
        some.close()
        await asyncio.sleep(0)


@contextlib.contextmanager
def black_hole(host: str, port: int = 0) -> Iterator[int]:
    """A port on which connections are neither accepted nor refused: its queue is full."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(3):
            filler = stack.enter_context(socket.socket(family))
            filler.setblocking(False)
            filler.connect_ex((host, port))
        yield port


async def echoed(stream: SocketStream, data: bytes = b"hello") -> bytes:
    stream.write(data)
    back = b""
    while len(back) < len(data):
        back += await stream.read()
    stream.close()
    return back


async def failed(dial: Dialler, origin: Origin) -> Failure:
    with pytest.raises(Failure) as caught:
        await dial(origin)
    return caught.value


# --- connecting ----------------------------------------------------------------------------------------------------


def test_an_attempt_is_told_what_happened(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            started = time.monotonic()
            attempt = Attempt(f"http://origin.test:{port}", started)
            stream = await Dialler(resolves_to("127.0.0.1"))(Origin("http", "origin.test", port), attempt)
            assert started <= attempt.connected <= time.monotonic()
            assert str(attempt.peer) == f"127.0.0.1:{port}"
            assert attempt.local is not None
            assert attempt.local.host == "127.0.0.1"
            assert attempt.local.port not in (0, port)
            assert attempt.tls is None
            assert await echoed(stream) == b"hello"

    on_loop(scene)


def test_a_unix_socket_is_an_origin(on_loop: Callable[[Scene], None], tmp_path: Path) -> None:
    path = str(tmp_path / "origin")

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()

    async def scene() -> None:
        server = await asyncio.start_unix_server(echo, path)
        dial = Dialler(resolves_to())
        stream = await dial(Origin("unix", path, 0))
        assert await echoed(stream) == b"hello"
        assert str(stream.info.peer) == f"unix:{path}"
        server.close()
        await settle(lambda: False, 20)
        failure = await failed(dial, Origin("unix", path + "2", 0))
        assert failure.kind == "destination_unavailable"
        assert failure.detail == f"unix:{path}2 does not exist."

    on_loop(scene)


def test_sockets_have_keepalive_and_a_user_timeout(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            stream = await Dialler(resolves_to("127.0.0.1"))(Origin("http", "x", port))
            assert stream._transport is not None
            sock = stream._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            tcp = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT]
            assert [sock.getsockopt(socket.IPPROTO_TCP, option) for option in tcp] == [60, 10, 3, 30_000]
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            stream.close()

    on_loop(scene)


def test_a_refused_connection_says_so(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
            port = bound.getsockname()[1]
            failure = await failed(Dialler(resolves_to("127.0.0.1")), Origin("http", "origin.test", port))
            assert (failure.kind, failure.side, failure.status) == ("connection_refused", "upstream", 502)
            assert failure.detail == f"http://origin.test:{port} refused the connection; is it running?"

    on_loop(scene)


def test_a_connection_that_nobody_accepts_times_out(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        with black_hole("127.0.0.1") as port:
            dial = Dialler(resolves_to("127.0.0.1"), DialOptions(connect_timeout_s=0.2))
            started = time.monotonic()
            failure = await failed(dial, Origin("http", "origin.test", port))
            assert 0.15 < time.monotonic() - started < 2
            assert (failure.kind, failure.status) == ("connection_timeout", 504)
            assert failure.detail == f"http://origin.test:{port} did not accept a connection in time."

    on_loop(scene)


def test_f7_without_descriptors_a_dial_fails_in_words_and_later_ones_succeed(
    on_loop: Callable[[Scene], None],
) -> None:
    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            for addresses in (("127.0.0.1",), ("127.0.0.1", "::1")):
                dial = Dialler(resolves_to(*addresses))
                await settle(lambda: False, 50)  # what is being closed is closed
                with few_descriptors(0):
                    failure = await failed(dial, Origin("http", "x", port))
                assert (failure.kind, failure.side, failure.status) == ("connection_limit_reached", "internal", 503)
                assert failure.detail == f"http://x:{port} was not connected to: no descriptors are left."
                assert await echoed(await dial(Origin("http", "x", port))) == b"hello"

    on_loop(scene)


def test_a22_a_socket_that_connected_to_itself_is_no_connection() -> None:
    """An ephemeral port may be chosen as the source of a connection to that very port."""

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as both_ends:
            both_ends.setblocking(False)
            both_ends.bind(("127.0.0.1", 0))
            port = both_ends.getsockname()[1]

            async def connect(factory: Callable[[], SocketStream], host: str, to: int) -> object:
                await loop.sock_connect(both_ends, (host, to))
                return await connected(factory, sock=both_ends.dup())

            connected, loop.create_connection = loop.create_connection, connect  # type: ignore[method-assign,assignment]
            try:
                failure = await failed(Dialler(resolves_to("127.0.0.1")), Origin("http", "x", port))
            finally:
                loop.create_connection = connected  # type: ignore[method-assign]
            assert failure.kind == "connection_refused"

    run_scene("asyncio", scene)


def test_who_gives_up_dialling_leaves_nothing_behind(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        with black_hole("127.0.0.1") as port:
            for addresses in (("127.0.0.1",), ("127.0.0.1", "127.0.0.2")):
                task = asyncio.create_task(
                    Dialler(resolves_to(*addresses), DialOptions(stagger_s=0.01))(Origin("http", "x", port))
                )
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises((asyncio.CancelledError, Failure)):
                    await task

    on_loop(scene)


# --- happy eyeballs ------------------------------------------------------------------------------------------------


def test_a_silent_address_delays_by_a_quarter_of_a_second_only(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            with black_hole("::1", port):
                started = time.monotonic()
                stream = await Dialler(resolves_to("::1", "127.0.0.1"))(Origin("http", "both.test", port))
                assert 0.2 < time.monotonic() - started < 1.5
                assert await echoed(stream) == b"hello"
                assert str(stream.info.peer) == f"127.0.0.1:{port}"

    on_loop(scene)


def test_a_refused_address_delays_by_nothing(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            dial = Dialler(resolves_to("::1", "127.0.0.1"), DialOptions(stagger_s=10))
            started = time.monotonic()
            assert await echoed(await dial(Origin("http", "both.test", port))) == b"hello"
            assert time.monotonic() - started < 2

    on_loop(scene)


def test_families_take_turns_and_only_one_connection_is_kept(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            await some.listen("::1", port)
            addresses = ["127.0.0.3", "127.0.0.2", "127.0.0.4", "::1", "127.0.0.1"]
            # 127.0.0.3 and then ::1: the second family comes second, not last.
            stream = await Dialler(resolves_to(*addresses), DialOptions(stagger_s=5))(Origin("http", "x", port))
            assert stream.info.peer.host == "::1"
            stream.close()
            await settle(lambda: some.connections == {"127.0.0.1": 0, "::1": 1})
            assert some.connections == {"127.0.0.1": 0, "::1": 1}

    on_loop(scene)


def test_when_all_addresses_fail_the_first_reason_is_told(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            dial = Dialler(resolves_to("127.0.0.1", "127.0.0.2", "::1"))
            failure = await failed(dial, Origin("http", "x", bound.getsockname()[1]))
            assert failure.kind == "connection_refused"

    on_loop(scene)


# --- TLS -----------------------------------------------------------------------------------------------------------


def server_side(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(*pair)
    context.set_alpn_protocols(["http/1.1"])
    return context


def test_an_https_origin_is_verified_and_described(on_loop: Callable[[Scene], None], tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)

    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1", context=server_side(authority.issue("origin.test", "127.0.0.1")))
            dial = Dialler(resolves_to("127.0.0.1"), DialOptions(ca_file=authority.file))
            for host in ("origin.test", "127.0.0.1"):
                attempt = Attempt("", 0)
                stream = await dial(Origin("https", host, port), attempt)
                assert attempt.tls is not None
                assert (attempt.tls.version, attempt.tls.protocol) == ("TLSv1.3", "http/1.1")
                assert attempt.tls.server_name == host
                assert str(attempt.peer) == f"127.0.0.1:{port}"
                assert await echoed(stream, b"x" * 200_000) == b"x" * 200_000

    on_loop(scene)


BAD_CERTIFICATES: dict[str, tuple[Callable[[CertificateAuthority], Pair], str]] = {
    "expired": (lambda ca: ca.expired("origin.test"), "certificate has expired"),
    "wrong name": (lambda ca: ca.issue("other.test"), "certificate is not valid for 'origin.test'"),
    "self-signed": (lambda ca: ca.issue("origin.test", self_signed=True), "self-signed certificate"),
    "weak key": (lambda ca: ca.issue("origin.test", weak=True), "EE certificate key too weak"),
}


@pytest.mark.parametrize("case", BAD_CERTIFICATES)
def test_a24_a_bad_certificate_is_refused(on_loop: Callable[[Scene], None], tmp_path: Path, case: str) -> None:
    authority = CertificateAuthority(tmp_path)
    make, words = BAD_CERTIFICATES[case]

    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1", context=server_side(make(authority)))
            dial = Dialler(resolves_to("127.0.0.1"), DialOptions(ca_file=authority.file))
            failure = await failed(dial, Origin("https", "origin.test", port))
            assert (failure.kind, failure.side, failure.status) == ("tls_certificate_error", "upstream", 502)
            assert words.lower() in failure.detail.lower()
            assert "The certificate of origin.test cannot be trusted: " in failure.detail
            careless = Dialler(resolves_to("127.0.0.1"), DialOptions(verify=False))
            if case != "weak key":
                assert await echoed(await careless(Origin("https", "origin.test", port))) == b"hello"

    on_loop(scene)


def test_a24_an_unknown_authority_is_refused(on_loop: Callable[[Scene], None], tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    stranger = CertificateAuthority(tmp_path, "Stranger")

    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1", context=server_side(authority.issue("origin.test")))
            for options in (DialOptions(), DialOptions(ca_file=stranger.file)):
                failure = await failed(Dialler(resolves_to("127.0.0.1"), options), Origin("https", "origin.test", port))
                assert failure.kind == "tls_certificate_error"
                assert "unable to get local issuer certificate" in failure.detail

    on_loop(scene)


@contextlib.contextmanager
def blocking_server(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """A server in a thread, for what event loops do not do: `serve` gets the one connection that is accepted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                with contextlib.suppress(OSError):
                    serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def _alert(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # fatal: handshake_failure
    connection.recv(65536)


def _answer_in_plain(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    connection.recv(65536)


def _old_version(connection: socket.socket) -> None:
    connection.recv(65536)
    hello = b"\x03\x01" + bytes(32) + b"\0" + b"\xc0\x14" + b"\0"  # a ServerHello of TLS 1.0
    message = b"\x02" + len(hello).to_bytes(3, "big") + hello
    connection.sendall(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message)
    connection.recv(65536)


@pytest.mark.parametrize(
    ("serve", "kind", "words"),
    [
        (_alert, "tls_alert_received", "ended the TLS handshake: sslv3 alert handshake failure."),
        (_answer_in_plain, "tls_protocol_error", "TLS with origin.test failed: "),
        (_old_version, "tls_protocol_error", "unsupported protocol"),
        (lambda connection: connection.recv(65536), "connection_terminated", "closed the connection during the TLS"),
        (lambda connection: None, "connection_terminated", "closed the connection during the TLS handshake."),
    ],
    ids=["alert", "plain", "TLS 1.0", "closes", "closes at once"],
)
def test_a_handshake_that_fails_says_why(
    on_loop: Callable[[Scene], None], serve: Callable[[socket.socket], object], kind: str, words: str
) -> None:
    async def scene() -> None:
        with blocking_server(serve) as port:
            failure = await failed(Dialler(resolves_to("127.0.0.1")), Origin("https", "origin.test", port))
            assert (failure.kind, failure.side) == (kind, "upstream")
            assert words in failure.detail

    on_loop(scene)


def test_a_handshake_that_stalls_times_out(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with origins() as some:
            received: list[bytes] = []

            async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while data := await reader.read(1000):
                    received.append(data)
                writer.close()

            server = await asyncio.start_server(stall, "127.0.0.1", 0)
            some._servers.append(server)
            port = server.sockets[0].getsockname()[1]
            dial = Dialler(resolves_to("127.0.0.1"), DialOptions(connect_timeout_s=0.2))
            failure = await failed(dial, Origin("https", "origin.test", port))
            assert (failure.kind, failure.status) == ("connection_timeout", 504)
            assert "TLS handshake" in failure.detail
            assert received

    on_loop(scene)


def test_a_file_without_authorities_is_a_configuration_error(tmp_path: Path) -> None:
    async def scene() -> None:
        for name, words in (("empty.pem", "cannot be used"), ("missing.pem", "no such file or directory")):
            if name == "empty.pem":
                (tmp_path / name).write_text("nothing")
            with pytest.raises(ValueError, match=words):
                Dialler(resolves_to("127.0.0.1"), DialOptions(ca_file=str(tmp_path / name))).prepare()

        attempt = Dialler(resolves_to("127.0.0.1"), DialOptions(ca_file=str(tmp_path / "missing.pem")))
        async with origins() as some:
            failure = await failed(attempt, Origin("https", "x", await some.listen("127.0.0.1")))
            assert (failure.kind, failure.side) == ("proxy_configuration_error", "internal")

    run_scene("asyncio", scene)


# --- policy --------------------------------------------------------------------------------------------------------


def test_a20_an_origin_behind_a_name_that_changes_is_never_reached(on_loop: Callable[[Scene], None]) -> None:
    """DNS rebinding: TTL 0, and each question is answered with the other address. 127.0.0.2 stands for the world."""
    addresses = ["127.0.0.2", "127.0.0.1"]

    def answer(name: str, kind: int) -> Reply:
        if kind != A:
            return Reply()
        addresses.reverse()
        return Reply((addresses[0],), ttl=0)

    async def scene() -> None:
        now = 0.0
        async with NameServer(answer) as server, origins() as some:
            port = await some.listen("127.0.0.1")
            await some.listen("127.0.0.2", port)
            policy = AddressPolicy(loopback_only=False, allow=["127.0.0.2/32"])
            lookup = SystemLookup(ResolveOptions(servers=(server.address,)))
            dial = Dialler(Resolver(lookup=lookup, clock=lambda: now), policy=policy)
            reached = refused = 0
            for _ in range(40):
                now += 2  # past the shortest time that answers are kept
                try:
                    stream = await dial(Origin("http", "rebind.test", port))
                except Failure as failure:
                    refused += failure.kind == "destination_ip_prohibited"
                else:
                    reached += await echoed(stream) == b"hello"
            assert (reached, refused) == (20, 20)
            assert server.asked("rebind.test") == 40
            assert some.connections == {"127.0.0.1": 0, "127.0.0.2": 20}
            await lookup.close()

    on_loop(scene)


def test_a20_of_several_addresses_only_the_allowed_are_tried(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            await some.listen("127.0.0.2", port)
            policy = AddressPolicy(loopback_only=False, allow=["127.0.0.2/32"])
            for addresses in (("127.0.0.1", "127.0.0.2"), ("::ffff:127.0.0.1", "::1", "::ffff:127.0.0.2")):
                dial = Dialler(resolves_to(*addresses), policy=policy)
                stream = await dial(Origin("http", "both.test", port))
                assert stream.info.peer.host == "127.0.0.2"
                stream.close()
            dial = Dialler(resolves_to("127.0.0.1", "169.254.169.254"), policy=policy)
            failure = await failed(dial, Origin("http", "evil.test", port))
            assert (failure.kind, failure.side, failure.status) == ("destination_ip_prohibited", "internal", 403)
            assert failure.detail == (
                f"http://evil.test:{port} is refused: "
                "127.0.0.1 is not a public address (loopback); allow_upstream would allow it."
            )
            assert some.connections["127.0.0.1"] == 0

    on_loop(scene)


def test_a20_a_configured_origin_is_never_refused(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            dial = Dialler(resolves_to("127.0.0.1"), policy=AddressPolicy(loopback_only=False))
            assert await echoed(await dial(Origin("http", "x", port), configured=True)) == b"hello"

    on_loop(scene)


SPELLINGS = """
    127.0.0.1 127.1 127.0.1 127.0.0.01 0177.0.0.1 0177.1 0x7f.0.0.1 0x7f.1 0x7f000001 0X7F000001 2130706433 017700000001
    127.0.0.1. localhost LOCALHOST localhost. a.localhost ::1 0:0:0:0:0:0:0:1 0000::0001 ::ffff:127.0.0.1 ::ffff:7f00:1
    0:0:0:0:0:ffff:7f00:0001 ::127.0.0.1 ::7f00:1 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::7f00:1
    64:ff9b:1::7f00:1 2002:7f00:1:: 2002:7f00:0001::1 2001:0:7f00:1::fefe:fefe 2001:0:102:304:0:0:80ff:fffe
    fe80::5efe:127.0.0.1 2606:4700::5efe:127.0.0.1 127.255.255.254 127.0.0.53 0.0.0.0 0 0x0 00 0.0
    :: ::ffff:0.0.0.0 ::1%lo
    169.254.169.254 2852039166 0xa9fea9fe 0251.0376.0251.0376 ::ffff:169.254.169.254 fd00:ec2::254 [::1] 127.0.0.1:80
    10.0.0.1 012.0.0.1 172.16.0.1 192.168.0.1 192.168.257 100.64.0.1 100.100.100.200 fe80::1 fc00::1 224.0.0.1
    255.255.255.255 198.18.0.1
"""


def test_a20_sixty_spellings_reach_nothing_inside(on_loop: Callable[[Scene], None]) -> None:
    hosts = SPELLINGS.split()
    assert len(hosts) >= 60

    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            await some.listen("::1", port)
            resolver = Resolver(ResolveOptions(servers=("127.0.0.1:1",), timeout_s=0.1, tries=1))
            dial = Dialler(resolver, DialOptions(connect_timeout_s=1), policy=AddressPolicy(loopback_only=False))
            kinds = {host: (await failed(dial, Origin("http", host, port))).kind for host in hosts}
            not_names = {"::1%lo", "[::1]", "127.0.0.1:80"}
            assert {host for host, kind in kinds.items() if kind != "destination_ip_prohibited"} == not_names
            assert {kinds[host] for host in not_names} == {"dns_error"}
            assert some.connections == {"127.0.0.1": 0, "::1": 0}
            await resolver.close()

    on_loop(scene)


def test_a22_a23_own_addresses_are_refused_behind_a_name(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            own = [parse_address(f"0.0.0.0:{port}")]
            for policy, kind, status in (
                (AddressPolicy(loopback_only=True, own=own), "proxy_loop_detected", 508),
                (AddressPolicy(loopback_only=True, forbidden=own, own=own), "destination_ip_prohibited", 403),
            ):
                for address in ("127.0.0.1", "127.0.0.2", "::ffff:127.0.0.1", "::1"):
                    failure = await failed(Dialler(resolves_to(address), policy=policy), Origin("http", "x", port))
                    assert (failure.kind, failure.status) == (kind, status)
            assert some.connections == {"127.0.0.1": 0}

    on_loop(scene)


# --- names ---------------------------------------------------------------------------------------------------------

REPLIES: dict[str, Reply] = {
    "good.test": Reply(("127.0.0.1",)),
    "silent.test": Reply(silent=True),
    "servfail.test": Reply(status=SERVFAIL_STATUS),
    "nxdomain.test": Reply(status=NXDOMAIN_STATUS),
    "empty.test": Reply(),
    "spoofed.test": Reply(("127.0.0.1",), wrong_id=True),
    "truncated.test": Reply(("127.0.0.1",), truncated=True),
    "thousand.test": Reply(tuple(f"127.0.{n // 250}.{n % 250 + 1}" for n in range(1000)), truncated=True),
}


def replies(name: str, kind: int) -> Reply:
    reply = REPLIES.get(name, Reply(("127.0.0.1",)))
    return reply if kind == A or not reply.addresses else Reply()


@pytest.mark.parametrize(
    ("host", "kind", "words"),
    [
        ("silent.test", "dns_timeout", "No name server answered for 'silent.test' within 0.6 s."),
        ("spoofed.test", "dns_timeout", "No name server answered for 'spoofed.test' within 0.6 s."),
        ("servfail.test", "dns_error", "The name 'servfail.test' could not be looked up: "),
        ("nxdomain.test", "dns_error", "The name 'nxdomain.test' has no address."),
        ("empty.test", "dns_error", "The name 'empty.test' has no address."),
    ],
)
def test_f11_a_name_that_cannot_be_looked_up_says_why(
    on_loop: Callable[[Scene], None], host: str, kind: str, words: str
) -> None:
    async def scene() -> None:
        async with NameServer(replies) as server:
            resolver = Resolver(ResolveOptions(servers=(server.address,), timeout_s=0.3, tries=2))
            started = time.monotonic()
            failure = await failed(Dialler(resolver), Origin("http", host, 80))
            assert time.monotonic() - started < 2
            assert failure.kind == kind
            assert failure.detail.startswith(words)
            await resolver.close()

    on_loop(scene)


def test_f11_answers_that_need_tcp_and_answers_without_end_are_used(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with NameServer(replies) as server, origins() as some:
            port = await some.listen("127.0.0.1")
            resolver = Resolver(ResolveOptions(servers=(server.address,)))
            dial = Dialler(resolver)
            for host in ("good.test", "truncated.test", "thousand.test"):
                assert await echoed(await dial(Origin("http", host, port))) == b"hello"
            assert server.tcp_questions > 0
            assert len(await resolver("thousand.test")) == 32
            await resolver.close()

    on_loop(scene)


def test_f11_one_hanging_name_delays_no_other(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with NameServer(replies) as server, origins() as some:
            port = await some.listen("127.0.0.1")
            resolver = Resolver(ResolveOptions(servers=(server.address,), timeout_s=1.0, tries=2))
            dial = Dialler(resolver)
            hanging = [asyncio.create_task(failed(dial, Origin("http", "silent.test", port))) for _ in range(20)]
            await settle(lambda: server.asked("silent.test") > 0)
            times = []
            for number in range(50):
                started = time.monotonic()
                assert await echoed(await dial(Origin("http", f"n{number}.test", port))) == b"hello"
                times.append(time.monotonic() - started)
            assert sorted(times)[-2] < 0.25
            assert not any(task.done() for task in hanging)
            assert {failure.kind for failure in await asyncio.gather(*hanging)} == {"dns_timeout"}
            await resolver.close()

    on_loop(scene)


def test_the_hosts_file_counts(on_loop: Callable[[Scene], None]) -> None:
    """`ip6-localhost` stands in Debian's file; it would otherwise be asked for and not be found."""
    names = [line.partition("#")[0].split() for line in Path("/etc/hosts").read_text().splitlines()]
    entries = {host: words[0] for words in names for host in words[1:] if "localhost" not in host.split(".")}
    if not entries:
        pytest.skip("the hosts file of this machine names nobody but localhost")

    async def scene() -> None:
        async with NameServer(lambda name, kind: Reply(status=NXDOMAIN_STATUS)) as server:
            resolver = Resolver(ResolveOptions(servers=(server.address,)))
            host, address = next(iter(entries.items()))
            assert address in [str(found) for found in await resolver(host)]
            assert server.questions == []
            await resolver.close()

    on_loop(scene)
