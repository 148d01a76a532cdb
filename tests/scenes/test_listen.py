"""Listening: sockets that are had or refused in one sentence, and accepting within limits."""

import asyncio
import contextlib
import os
import resource
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.support.event_loops import LOOPS, Scene, descriptors, few_descriptors, run_scene, settle

from interpose.core.stream import Stream
from interpose.net.keepalive import KEEPALIVE
from interpose.net.listen import (
    Listening,
    ListenOptions,
    address_of,
    bind,
    bind_group,
    connections_possible,
)


@pytest.fixture(params=LOOPS)
def on_loop(request: pytest.FixtureRequest) -> Callable[[Scene], None]:
    return lambda scene: run_scene(request.param, scene)


async def echo(stream: Stream) -> None:
    while data := await stream.read():
        stream.write(data)
        await stream.drain()


@contextlib.asynccontextmanager
async def listening(address: str = "127.0.0.1:0", **options: int) -> AsyncIterator[Listening]:
    some = Listening([bind(address)], lambda stream: stream.run(echo(stream)), ListenOptions(**options))
    await some.start()
    try:
        yield some
    finally:
        some.close()
        some.cut()
        await settle(lambda: not some.streams)


class Client:
    """A connection that tells whether it is served."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, some: Listening) -> "Client":
        host, port = some.sockets[0].getsockname()[:2]
        return cls(*await asyncio.open_connection(host, port))

    async def is_served(self, wait_s: float = 5.0) -> bool:
        try:
            self._writer.write(b"?")
            async with asyncio.timeout(wait_s):
                return await self._reader.read(1) == b"?"
        except (TimeoutError, ConnectionError, RuntimeError):  # uvloop says RuntimeError when it is closed already
            return False

    async def leave(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


# --- sockets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reuse_port", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", ""])
def test_a_port_in_use_is_noticed(host: str, reuse_port: bool) -> None:
    with bind(f"{host}:0", reuse_port=True) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError) as caught:
            bind(f"{host}:{port}", reuse_port=reuse_port)
        name = host.strip("[]") or "127.0.0.1"
        this = Path("/proc/self/comm").read_text().rstrip("\n")
        assert str(caught.value) == (
            f"Port {port} on {name} is in use already by {this} (pid {os.getpid()}); stop it or choose another port."
        )


def test_f5_a_port_is_had_again_at_once_after_its_connections_were_cut() -> None:
    with bind("127.0.0.1:0") as first:
        port = first.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        first.setblocking(True)
        server, _ = first.accept()
        server.close()  # we close first: our side stays in TIME_WAIT
        client.close()
    for reuse_port in (False, True):
        bind(f"127.0.0.1:{port}", reuse_port=reuse_port).close()


def test_an_address_of_another_machine_and_a_bad_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^192\.0\.2\.1 is not an address of this machine; listen on one that is"):
        bind("192.0.2.1:0")
    with pytest.raises(ValueError, match=r"^no-such-host\.invalid:0 cannot be listened on: name or service not known"):
        bind("no-such-host.invalid:0")


def test_a_privileged_port_says_what_to_do() -> None:
    if os.geteuid() == 0 or int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 1:
        pytest.skip("this user may have every port")
    with pytest.raises(ValueError, match=r"^Port 1 is reserved for privileged programs; choose one from 1024 up"):
        bind("127.0.0.1:1")


def test_a_group_shares_one_port_and_the_kernel_spreads_connections() -> None:
    group = bind_group("127.0.0.1:0", 4)
    try:
        assert len({address_of(sock) for sock in group}) == 1
        port = group[0].getsockname()[1]
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
        counts = []
        for sock in group:
            count = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock.accept()[0].close()
                    count += 1
            counts.append(count)
        for client in clients:
            client.close()
        assert sum(counts) == 200
        assert min(counts) > 20
    finally:
        for sock in group:
            sock.close()


def test_a_group_may_grow_and_a_socket_of_one_is_not_shared() -> None:
    group = bind_group("127.0.0.1:0", 2)
    address = address_of(group[0])
    group.append(bind(address, reuse_port=True, probe=False))
    assert {address_of(sock) for sock in group} == {address}
    alone = bind_group("127.0.0.1:0", 1)
    with pytest.raises(ValueError, match="in use already"):
        bind(address_of(alone[0]), reuse_port=True, probe=False)
    for sock in group + alone:
        sock.close()


def test_a_unix_socket_is_private_and_a_stale_file_harmless(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with bind(f"unix:{path}") as sock:
        assert address_of(sock) == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(ValueError) as caught:
            bind(f"unix:{path}")
        this = Path("/proc/self/comm").read_text().rstrip("\n")
        assert str(caught.value) == (
            f"unix:{path} is in use already by {this} (pid {os.getpid()}); stop it or choose another path."
        )
    assert path.exists()  # as after a kill
    bind(f"unix:{path}").close()
    [shared] = bind_group(f"unix:{path}", 4)
    shared.close()


def test_a_unix_socket_takes_no_other_file_away(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ValueError, match=r"the file exists and is not a socket; choose another path\.$"):
        bind(f"unix:{path}")
    assert path.read_text() == "data"
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(ValueError, match="not a socket"):
        bind(f"unix:{tmp_path}/link")
    with pytest.raises(ValueError, match=r"there is no directory /.*/missing; make it first\.$"):
        bind(f"unix:{tmp_path}/missing/x.sock")


# --- accepting -----------------------------------------------------------------------------------------------------


def test_accepted_connections_inherit_keepalive(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with listening() as some:
            client = await Client.connect(some)
            assert await client.is_served()
            [stream] = some.streams
            assert stream._transport is not None
            sock = stream._transport.get_extra_info("socket")
            assert [sock.getsockopt(level, name) for level, name, _ in KEEPALIVE] == [value for *_, value in KEEPALIVE]
            await client.leave()
            await settle(lambda: not some.streams)
            assert (some.streams, some.accepted) == (set(), 1)

    on_loop(scene)


def test_a_unix_listener_serves(on_loop: Callable[[Scene], None], tmp_path: Path) -> None:
    async def scene() -> None:
        async with listening(f"unix:{tmp_path}/x", max_connections_per_client=1) as some:
            assert some.addresses == [f"unix:{tmp_path}/x"]
            clients = [Client(*await asyncio.open_unix_connection(f"{tmp_path}/x")) for _ in range(3)]
            assert [await client.is_served() for client in clients] == [True] * 3
            for client in clients:
                await client.leave()

    on_loop(scene)


def test_a32_connections_above_the_limit_wait_and_are_served_later(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with listening(max_connections=3) as some:
            clients = [await Client.connect(some) for _ in range(3)]
            assert [await client.is_served() for client in clients] == [True] * 3
            late = [await Client.connect(some) for _ in range(3)]
            waiting = [asyncio.create_task(client.is_served()) for client in late]
            await asyncio.sleep(0.05)
            assert len(some.streams) <= 4  # one may have been on its way when the door closed
            assert not all(task.done() for task in waiting)
            for client in clients:
                await client.leave()
            assert await asyncio.gather(*waiting) == [True] * 3
            assert some.refused == 0
            for client in late:
                await client.leave()

    on_loop(scene)


def test_a32_one_client_takes_no_more_than_its_share(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with listening(max_connections_per_client=2) as some:
            port = some.sockets[0].getsockname()[1]
            clients = [await Client.connect(some) for _ in range(4)]
            assert sorted([await client.is_served() for client in clients]) == [False, False, True, True]
            other = Client(*await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)))
            assert await other.is_served()
            assert (some.accepted, some.refused) == (3, 2)
            for client in clients:
                await client.leave()
            await settle(lambda: len(some.streams) == 1)
            again = await Client.connect(some)
            assert await again.is_served()
            for client in (other, again):
                await client.leave()

    on_loop(scene)


def test_pausing_leaves_connections_in_the_queue_and_closing_refuses_them(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        async with listening() as some:
            before = await Client.connect(some)
            assert await before.is_served()
            some.pause()
            some.pause()
            waiting = await Client.connect(some)
            assert not await waiting.is_served(0.05)
            assert await before.is_served()
            some.resume()
            some.resume()
            assert await waiting.is_served()
            some.pause()
            some.resume()
            some.pause()  # while it is starting again
            another = await Client.connect(some)
            assert not await another.is_served(0.05)
            some.close()
            some.resume()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*waiting._writer.get_extra_info("peername"))
            assert await waiting.is_served()
            for client in (before, waiting, another):
                await client.leave()

    on_loop(scene)


def test_f4_a_listener_takes_over_the_socket_of_another(on_loop: Callable[[Scene], None]) -> None:
    async def scene() -> None:
        group = bind_group("127.0.0.1:0", 2)
        some = Listening(group[:1], lambda stream: stream.run(echo(stream)))
        await some.start()
        some.add(group[1:])
        clients = [await Client.connect(some) for _ in range(40)]
        assert all(await asyncio.gather(*(client.is_served() for client in clients)))
        for client in clients:
            await client.leave()
        some.close()
        await settle(lambda: not some.streams)

    on_loop(scene)


def test_f7_without_descriptors_the_listener_lives_on() -> None:
    """libuv accepts and closes with a descriptor kept for that; afterwards all is as before."""

    async def scene() -> None:
        async with listening() as some:
            address = some.sockets[0].getsockname()
            first = await Client.connect(some)
            assert await first.is_served()
            # The clients' descriptors are made before the limit falls: only the listener runs out.
            sockets = [socket.socket() for _ in range(30)]
            for sock in sockets:
                sock.setblocking(False)
            with few_descriptors(8):
                for sock in sockets:
                    sock.connect_ex(address)
                await settle(lambda: False, 300)
                assert await first.is_served()
                assert len(some.streams) < 15
            for sock in sockets:
                sock.close()
            await settle(lambda: len(some.streams) == 1)
            again = await Client.connect(some)
            assert await again.is_served()
            for client in (first, again):
                await client.leave()

    run_scene("uvloop", scene)


def test_f7_the_default_limit_leaves_a_reserve() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connections_possible() * 2 + 64 <= soft
    assert connections_possible(3) * 6 + 64 <= soft
    with few_descriptors(1):
        assert connections_possible(1000) >= 1


def test_closing_leaves_no_descriptor() -> None:
    before = descriptors()
    some = Listening(bind_group("127.0.0.1:0", 3), lambda stream: stream.close())
    some.close()
    assert descriptors() == before
