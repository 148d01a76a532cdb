"""Descriptors, memory and slow peers: what runs out is shared sensibly and comes back (THREATS F7, F14, F22, A32)."""

import asyncio
import contextlib
import itertools
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.product import Product, product, settings
from tests.support.program import Program, interpose
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, Connection, RawOrigin, answering

from interpose import Config, gateway_config, proxy_config
from interpose.config.load import config_of
from interpose.engine.client import UpstreamClient
from interpose.engine.memory_ladder import MemoryLevel

LOCAL = ["127.0.0.1:0"]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
FEW = 256
MOST_BUFFERED = 256 << 10


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, FEW))


def fixed(**tables: dict[str, object]) -> Config:
    """A gateway that answers everything with `hello`."""
    listener = {"role": "gateway", "address": LOCAL[0]}
    return config_of({"listener": [listener], "route": [{"answer": {"text": "hello"}}], **tables}, name="t")


async def used(running: Product, client: RawClient) -> None:
    """Have a request on the connection answered, so that it is an idle one."""
    client.send(GET)
    [answer] = await client.answers("GET")
    assert answer.status == 200
    await running.when(lambda: running.counters["exchanges"] == 0)


# --- descriptors -----------------------------------------------------------------------------------------------------


async def test_f7_idle_connections_make_room_for_new_ones() -> None:
    async with product(fixed(limits={"max_connections": 4})) as running, contextlib.AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(RawClient(running.address())) for _ in range(3)]
        for client in idle:
            await used(running, client)
        for _ in range(3):
            assert (await ask(running.address(), GET, deadline_s=3.0)).status == 200
        assert [await client.rest() for client in idle] == [b"", b"", b""]


async def test_f7_connections_whose_first_request_is_still_to_come_are_not_closed_for_others() -> None:
    config = settings(fixed(limits={"max_connections": 4}), timeouts={"head_timeout_s": 5.0})
    async with product(config) as running, contextlib.AsyncExitStack() as stack:
        new = [await stack.enter_async_context(RawClient(running.address())) for _ in range(4)]
        await running.when(lambda: running.counters["connections"] == 4)
        async with RawClient(running.address()) as waiting:
            waiting.send(GET)
            await asyncio.sleep(0.3)  # some ticks
            assert running.counters["connections"] == 4
            for client in new:
                client.send(GET)
                [answer] = await client.answers("GET")
                assert answer.status == 200
            [answer] = await waiting.answers("GET")
            assert answer.status == 200


async def test_f7_connections_that_became_idle_while_others_waited_make_room_too() -> None:
    release = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await release.wait()
        await answering(OK)(connection)

    async with RawOrigin(script) as origin:
        config = settings(gateway_config([origin.address], LOCAL), limits={"max_connections": 2})
        async with product(config) as running, contextlib.AsyncExitStack() as stack:
            busy = [await stack.enter_async_context(RawClient(running.address())) for _ in range(2)]
            for client in busy:
                client.send(GET)
            await running.when(lambda: running.counters["exchanges"] == 2)
            async with RawClient(running.address()) as waiting:
                waiting.send(GET)
                release.set()
                for client in (*busy, waiting):
                    [answer] = await client.answers("GET")
                    assert answer.status == 200


def test_f7_a_thousand_clients_of_a_process_with_few_descriptors_are_all_served(tmp_path: Path) -> None:
    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(OK)
        writer.close()

    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(GET)
            assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200 ")
            assert await reader.read() == b""  # kept until others need the place
        finally:
            writer.close()

    async def scene() -> None:
        server = await asyncio.start_server(origin, "127.0.0.1", 0, backlog=1000)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        command = ("gateway", address)
        program = await asyncio.to_thread(Program(tmp_path, *command, preexec_fn=few_descriptors).__enter__)
        try:
            async with asyncio.timeout(40):
                clients = [asyncio.create_task(client(program.port)) for _ in range(1000)]
                for one in itertools.islice(asyncio.as_completed(clients), 1000 - (FEW - 64) // 2):
                    await one  # the last ones are in nobody's way
                status = await asyncio.to_thread(program.status)
                assert status["ready"]
                assert [worker["restarts"] for worker in status["workers"]] == [0]
                for task in clients:
                    task.cancel()
                await asyncio.gather(*clients, return_exceptions=True)
            assert len(program.lines) < 10
        finally:
            server.close()
            await asyncio.to_thread(program.__exit__, None, None, None)

    asyncio.run(scene())


async def test_f7_unused_connections_to_origins_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interpose.config.runtime.connections_possible", lambda listeners=1: 20)
    async with (
        RawOrigin(answering(OK)) as origin,
        product(proxy_config(LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        for number in range(60):
            client.send(f"GET http://h{number}.localhost:{origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            [answer] = await client.answers("GET")
            assert answer.status == 200
            assert running.counters["upstream_connections"] <= 21
        assert running.counters["upstream_connections"] > 10


def test_f7_more_connections_than_descriptors_allow_are_refused_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "interpose.toml"
    listener = '[[listener]]\naddress = "127.0.0.1:0"\nrole = "proxy"\n'
    file.write_text(f'[log]\naccess = "off"\n[limits]\nmax_connections = {FEW}\n{listener}')
    done = interpose("run", str(file), "--state", str(tmp_path / "s"), preexec_fn=few_descriptors)
    assert done.returncode == 1
    assert f"limits.max_connections: {FEW} connections need more descriptors" in done.stderr
    assert "Traceback" not in done.stderr


def test_f7_the_soft_limit_of_descriptors_is_no_limit(tmp_path: Path) -> None:
    def soft_limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, 4000))

    with Program(tmp_path, "gateway", "127.0.0.1:1", preexec_fn=soft_limit) as program:
        pids = [worker["pid"] for worker in program.status()["workers"]]
        limits = [Path(f"/proc/{pid}/limits").read_text() for pid in pids]
    for text in limits:
        [line] = [line for line in text.splitlines() if line.startswith("Max open files")]
        assert line.split()[3:5] == ["4000", "4000"]


# --- memory ----------------------------------------------------------------------------------------------------------


async def test_f22_the_ladder_of_memory_is_climbed_and_left_again() -> None:
    release = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await release.wait()
        await answering(OK)(connection)

    async with (
        RawOrigin(script) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as busy,
        RawClient(running.address()) as new,
    ):
        runtime = running.running._runtime
        busy.send(GET)
        await running.when(lambda: running.counters["exchanges"] == 1)

        runtime.relieve(MemoryLevel.SHED)
        new.send(GET)
        await running.when(lambda: running.counters["exchanges"] == 2)
        release.set()
        for client in (busy, new):
            [answer] = await client.answers("GET")
            assert (answer.status, answer.closes) == (200, False)
            assert await client.rest() == b""  # idle now, and so closed at the next tick
        await running.when(lambda: running.counters["upstream_connections"] == 0)

        runtime.relieve(MemoryLevel.REFUSE)
        for _ in range(3):
            answer = await ask(running.address(), GET)
            assert (answer.status, answer.values("retry-after") != []) == (503, True)
        [line] = [line for line in await running.logged(5) if line["status"] == 503][:1]
        assert line["target"] == "http://x/"
        assert line["notes"]["filter"] == "overload"

        runtime.relieve(MemoryLevel.STOP)
        async with RawClient(running.address()) as waiting:
            waiting.send(GET)
            await asyncio.sleep(0.2)
            assert waiting.received == b""
            await running.running.reload(runtime._config)  # changes nothing of that
            await asyncio.sleep(0.1)
            assert waiting.received == b""
            runtime.relieve(MemoryLevel.OK)
            [answer] = await waiting.answers("GET")
            assert answer.status == 200


# --- slow peers ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def slow_reader(address: str) -> AsyncIterator[socket.socket]:
    """A client that asks and then takes nothing."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        host, _, port = address.rpartition(":")
        await loop.sock_connect(client, (host, int(port)))
        await loop.sock_sendall(client, GET)
        yield client


async def test_f14_a_client_that_takes_nothing_makes_the_origin_wait() -> None:
    total = 64 << 20
    sent = 0

    async def script(connection: Connection) -> None:
        nonlocal sent
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total:
            await connection.send(b"x" * 65536)
            sent += 65536

    async with (
        RawOrigin(script) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        slow_reader(running.address()),
    ):
        await running.when(lambda: sent > 65536)
        await stands_still(lambda: sent)
        buffered = max(stream.unsent_bytes for stream in streams_of(running))
        assert buffered <= MOST_BUFFERED
        assert sent < 16 << 20  # what the kernel holds of two connections, far from all


async def test_f14_an_origin_that_takes_nothing_makes_the_client_wait() -> None:
    enough = asyncio.Event()

    async def script(connection: Connection) -> None:
        connection._reading.cancel()
        await enough.wait()

    async with (
        RawOrigin(script) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        writer = client._writer
        sent = 0

        async def upload() -> None:
            nonlocal sent
            while sent < 64 << 20:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536

        uploading = asyncio.create_task(upload())
        await running.when(lambda: sent > 65536)
        await stands_still(lambda: sent)
        enough.set()
        [client_of_ours] = running.running._runtime._parts.every(UpstreamClient)
        buffered = max(connection.stream.unsent_bytes for connection in client_of_ours._open)
        assert buffered <= MOST_BUFFERED
        assert sent < 16 << 20
        uploading.cancel()
        await asyncio.gather(uploading, return_exceptions=True)
        client.reset()


def streams_of(running: Product) -> list[object]:
    [one] = running.running._runtime._running.values()
    return list(one._listening.streams)


async def stands_still(value: object) -> None:
    """Wait until what `value()` says has not changed for a while."""
    assert callable(value)
    async with asyncio.timeout(10):
        before = None
        while before != (before := value()):  # noqa: ASYNC110 - nothing says that nothing happens
            await asyncio.sleep(0.3)
