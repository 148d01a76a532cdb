"""Dialling: names are looked up once, addresses judged, connections raced, errors told in words."""

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.dialling import black_hole, echoed, failed, origins, resolves_to
from tests.support.event_loops import LOOPS, Scene, few_descriptors, run_scene, settle

from interpose.core.exchange import Attempt
from interpose.core.failure import Failure
from interpose.core.target import Origin
from interpose.net.dial import Dialler, DialOptions
from interpose.net.stream import SocketStream


@pytest.fixture(params=LOOPS)
def on_loop(request: pytest.FixtureRequest) -> Callable[[Scene], None]:
    return lambda scene: run_scene(request.param, scene)


# --- connecting ----------------------------------------------------------------------------------------------------


def test_an_attempt_is_told_what_happened(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with origins() as some:
            port = await some.listen("127.0.0.1")
            started = time.monotonic()
            origin = Origin("http", "origin.test", port)
            attempt = Attempt(origin, started)
            stream = await Dialler(resolves_to("127.0.0.1"))(origin, attempt)
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
