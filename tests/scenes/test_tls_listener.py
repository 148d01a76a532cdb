"""TLS on a listener: a client connects, the ClientHello is looked at, the handshake goes on, on both event loops."""

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import CertificateAuthority
from tests.support.event_loops import LOOPS, Scene, run_scene, settle

from interpose.core.failure import Failure
from interpose.core.stream import Stream
from interpose.net.certificate import Identities, Identity
from interpose.net.listen import Listening, bind
from interpose.net.terminate import TlsTermination
from interpose.protocol.client_hello import read_client_hello


@pytest.fixture(params=LOOPS)
def on_loop(request: pytest.FixtureRequest) -> Callable[[Scene], None]:
    return lambda scene: run_scene(request.param, scene)


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


class Listener:
    """A TLS listener that answers each stream with what `info` says and then echoes."""

    def __init__(self, identities: Identities, **options: Any) -> None:
        self.failures: list[Failure] = []
        self.failed = asyncio.Event()
        self.streams: list[Stream] = []
        termination = TlsTermination(
            identities.choose, self._serve, read_client_hello, on_failure=self._note, **options
        )
        self.listening = Listening([bind("127.0.0.1:0")], termination)

    def _note(self, stream: Stream, failure: Failure) -> None:
        self.failures.append(failure)
        self.failed.set()

    def _serve(self, stream: Stream) -> None:
        self.streams.append(stream)
        stream.run(self._echo(stream))

    async def _echo(self, stream: Stream) -> None:
        while data := await stream.read():
            stream.write(data)
            await stream.drain()

    @property
    def port(self) -> int:
        return int(self.listening.sockets[0].getsockname()[1])


@contextlib.asynccontextmanager
async def tls_listener(identities: Identities, **options: Any) -> AsyncIterator[Listener]:
    listener = Listener(identities, **options)
    await listener.listening.start()
    try:
        yield listener
    finally:
        listener.listening.close()
        listener.listening.cut()
        await settle(lambda: not listener.listening.streams)
        assert listener.listening.streams == set()


async def echoed(port: int, context: ssl.SSLContext, name: str, data: bytes = b"hello") -> tuple[bytes, Any]:
    """What comes back for `data`, and the client's TLS object."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    writer.write(data)
    back = await reader.readexactly(len(data))
    tls = writer.get_extra_info("ssl_object")
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()
    return back, tls


def test_a_client_is_served_in_tls(on_loop: Callable[[Scene], None], authority: CertificateAuthority) -> None:
    async def scene() -> None:
        identities = Identities([Identity(*authority.issue("one.test"))])
        async with tls_listener(identities) as listener:
            back, tls = await echoed(listener.port, authority.client("http/1.1"), "one.test", os.urandom(300_000))
            assert len(back) == 300_000
            assert tls.version() == "TLSv1.3"
            assert tls.selected_alpn_protocol() == "http/1.1"
            assert listener.streams[0].info.tls is not None
            assert listener.streams[0].info.tls.server_name == "one.test"
            assert listener.streams[0].info.peer.host == "127.0.0.1"
            assert listener.failures == []

    on_loop(scene)


def test_tls_1_2_is_served_and_older_is_not(on_loop: Callable[[Scene], None], authority: CertificateAuthority) -> None:
    async def scene() -> None:
        async with tls_listener(Identities([Identity(*authority.issue("one.test"))])) as listener:
            context = authority.client()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            _, tls = await echoed(listener.port, context, "one.test")
            assert tls.version() == "TLSv1.2"
            assert tls.cipher()[0].startswith("ECDHE-")
            old = authority.client()
            old.set_ciphers("DEFAULT:@SECLEVEL=0")
            with pytest.warns(DeprecationWarning, match="deprecated"):
                old.minimum_version = ssl.TLSVersion.TLSv1
            with pytest.warns(DeprecationWarning, match="deprecated"):
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, OSError)):
                await echoed(listener.port, old, "one.test")
            await listener.failed.wait()
            assert [failure.kind for failure in listener.failures] == ["tls_protocol_error"]
            assert listener.failures[0].side == "downstream"

    on_loop(scene)


def test_the_certificate_is_chosen_by_the_name_asked_for(
    on_loop: Callable[[Scene], None], authority: CertificateAuthority
) -> None:
    async def scene() -> None:
        pairs = [authority.issue("one.test"), authority.issue("two.test"), authority.issue("*.three.test")]
        async with tls_listener(Identities([Identity(*pair) for pair in pairs])) as listener:
            for name in ("one.test", "two.test", "deep.three.test"):
                back, _ = await echoed(listener.port, authority.client(), name)
                assert back == b"hello"
            with pytest.raises(ssl.SSLCertVerificationError, match=r"certificate is not valid for 'four\.test'"):
                await echoed(listener.port, authority.client(), "four.test")

    on_loop(scene)


def test_a_hello_in_single_bytes_and_one_with_data_behind_it_are_served(
    on_loop: Callable[[Scene], None], authority: CertificateAuthority
) -> None:
    """The handshake is driven by hand, so that every byte that leaves is chosen here."""

    async def scene() -> None:
        async with tls_listener(Identities([Identity(*authority.issue("one.test"))])) as listener:
            for dribble in (True, False):
                incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                tls = authority.client().wrap_bio(incoming, outgoing, server_hostname="one.test")
                reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with pytest.raises(ssl.SSLWantReadError):
                    tls.do_handshake()
                hello = outgoing.read()
                for place in range(len(hello)) if dribble else ():
                    writer.write(hello[place : place + 1])
                    await asyncio.sleep(0)
                if not dribble:
                    writer.write(hello)
                while True:
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        writer.write(outgoing.read())
                        incoming.write(await reader.read(65536))
                tls.write(b"first")
                writer.write(outgoing.read())  # Finished and data leave in one write
                while True:
                    try:
                        assert tls.read() == b"first"
                        break
                    except ssl.SSLWantReadError:
                        incoming.write(await reader.read(65536))
                writer.close()
                await writer.wait_closed()

    on_loop(scene)


def test_a26_a_handshake_that_stalls_ends_at_its_deadline(
    on_loop: Callable[[Scene], None], authority: CertificateAuthority
) -> None:
    async def scene() -> None:
        identities = Identities([Identity(*authority.issue("one.test"))])
        async with tls_listener(identities, handshake_timeout_s=0.2) as listener:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = authority.client().wrap_bio(incoming, outgoing, server_hostname="one.test")
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            hello = outgoing.read()
            for opening in (b"", hello[:1], hello[:-1], hello):
                listener.failed.clear()
                reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                writer.write(opening)
                await listener.failed.wait()
                assert listener.failures[-1].kind == "connection_timeout"
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
            assert len(listener.failures) == 4
            assert listener.streams == []
            assert listener.listening.streams == set()

    on_loop(scene)


def test_clients_that_speak_something_else_are_told_and_left(
    on_loop: Callable[[Scene], None], authority: CertificateAuthority
) -> None:
    async def scene() -> None:
        identities = Identities([Identity(*authority.issue("one.test"))])
        async with tls_listener(identities, not_tls=b"HTTP/1.1 400 Bad Request\r\n\r\n") as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 400")
            await listener.failed.wait()
            assert listener.failures[0].kind == "tls_protocol_error"
            assert listener.failures[0].detail == "The client does not speak TLS on a port that does."
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            for leave_after in (b"", b"\x16\x03"):
                listener.failed.clear()
                reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                writer.write(leave_after)
                writer.close()
                await listener.failed.wait()
                assert listener.failures[-1].kind == "connection_terminated"
            assert listener.streams == []

    on_loop(scene)


def test_a_client_that_distrusts_the_certificate_is_noted(
    on_loop: Callable[[Scene], None], authority: CertificateAuthority
) -> None:
    async def scene() -> None:
        async with tls_listener(Identities([Identity(*authority.issue("one.test"))])) as listener:
            stranger = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
            stranger.maximum_version = ssl.TLSVersion.TLSv1_2  # in 1.3 the alert comes after the handshake

            def shake_hands() -> None:  # blocking, because the event loops' own clients send no alert
                with socket.create_connection(("127.0.0.1", listener.port), timeout=5) as sock:
                    stranger.wrap_socket(sock, server_hostname="one.test")

            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.to_thread(shake_hands)
            await listener.failed.wait()
            assert listener.failures[0].kind == "tls_alert_received"
            assert listener.failures[0].side == "downstream"

    on_loop(scene)


def test_f19_a_changed_certificate_is_served_and_a_broken_one_is_not(
    on_loop: Callable[[Scene], None], authority: CertificateAuthority, tmp_path: Path
) -> None:
    served = authority.issue("one.test")
    identities = Identities([Identity(*served)])

    async def serial(port: int) -> str:
        _, tls = await echoed(port, authority.client(), "one.test")
        return str(tls.getpeercert()["serialNumber"])

    async def scene() -> None:
        async with tls_listener(identities) as listener:
            before = await serial(listener.port)
            assert identities.refresh() == []
            assert await serial(listener.port) == before

            renewed = authority.issue("one.test")
            shutil.move(renewed.certificate, served.certificate)
            [warning] = identities.refresh()
            assert warning == (
                f"The key {served.key} does not belong to the certificate {served.certificate}. "
                "The one read before stays in use."
            )
            assert identities.refresh() == []  # said once
            assert await serial(listener.port) == before

            shutil.move(renewed.key, served.key)
            assert identities.refresh() == []
            after = await serial(listener.port)
            assert after != before

            os.unlink(served.certificate)
            [warning] = identities.refresh()
            assert warning.endswith("cannot be read: no such file or directory. The one read before stays in use.")
            assert await serial(listener.port) == after

            again = authority.issue("one.test", ends=timedelta(days=3))
            shutil.move(again.key, served.key)
            shutil.move(again.certificate, served.certificate)
            assert identities.refresh() == []
            assert await serial(listener.port) not in (before, after)

    on_loop(scene)


def test_a25_a_ticket_of_one_certificate_resumes_no_session_of_another(
    on_loop: Callable[[Scene], None], authority: CertificateAuthority
) -> None:
    async def session(port: int, context: ssl.SSLContext, name: str, old: Any = None) -> tuple[Any, bool]:
        """A session to resume later, and whether `old` was resumed."""

        def talk() -> tuple[Any, bool]:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=5) as sock,
                context.wrap_socket(sock, server_hostname=name, session=old) as tls,
            ):
                tls.sendall(b"hello")
                assert tls.recv(5) == b"hello"
                return tls.session, bool(tls.session_reused)

        return await asyncio.to_thread(talk)

    async def scene() -> None:
        pairs = [authority.issue("one.test"), authority.issue("two.test")]
        async with tls_listener(Identities([Identity(*pair) for pair in pairs])) as listener:
            context = authority.client()
            ticket, _ = await session(listener.port, context, "one.test")
            _, resumed = await session(listener.port, context, "one.test", ticket)
            assert resumed
            _, resumed = await session(listener.port, context, "two.test", ticket)
            assert not resumed

    on_loop(scene)
