"""Dialling https: certificates judged, handshakes that fail told in words."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.certificates import CertificateAuthority, Pair
from tests.support.dialling import echoed, failed, origins, resolves_to
from tests.support.event_loops import LOOPS, Scene, run_scene

from interpose.core.exchange import Attempt
from interpose.core.target import Origin
from interpose.net.dial import Dialler, DialOptions


@pytest.fixture(params=LOOPS)
def on_loop(request: pytest.FixtureRequest) -> Callable[[Scene], None]:
    return lambda scene: run_scene(request.param, scene)


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
                origin = Origin("https", host, port)
                attempt = Attempt(origin, 0)
                stream = await dial(origin, attempt)
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
