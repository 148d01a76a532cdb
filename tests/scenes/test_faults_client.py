"""Clients that leave, at every stage of an exchange: nothing of it stays, and the log says so (invariants 4 and 8)."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support.product import Product, product, settings
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, Connection, RawOrigin, answering, silent

from interpose import gateway_config, proxy_config

LOCAL = ["127.0.0.1:0"]
LEFT = ("connection_terminated", "downstream")
Script = Callable[[Connection], Awaitable[None]]


async def begins(connection: Connection) -> None:
    """Begin an answer that has no end in sight."""
    await connection.until(b"\r\n\r\n")
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nbegin")
    await connection.gone()


async def begins_chunked(connection: Connection) -> None:
    await connection.until(b"\r\n\r\n")
    await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n")
    await connection.gone()


async def floods(connection: Connection) -> None:
    """Send more than all buffers between here and the client hold."""
    await connection.until(b"\r\n\r\n")
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nbegin")
    while not connection.has_ended:
        await connection.send(b"x" * 65536)


class Stage(NamedTuple):
    """What the client sends, what the origin does, and what has come where when the client leaves."""

    sends: bytes
    script: Script
    origin_has: bytes = b""
    client_has: bytes = b""
    status: int = 0
    failure: tuple[str, str] = LEFT


STAGES = {
    "waiting for the answer": Stage(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", silent, origin_has=b"\r\n\r\n"),
    "with the next request sent already": Stage(
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n", silent, origin_has=b"\r\n\r\n"
    ),
    "in the content of its request": Stage(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"y" * 1000, silent, origin_has=b"y" * 1000
    ),
    "in chunked content of its request": Stage(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", silent, origin_has=b"hello"
    ),
    "in the content, with the answer begun": Stage(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nyyyy", begins, client_has=b"begin", status=200
    ),
    "when it may go on with its content": Stage(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
        silent,
        client_has=b"HTTP/1.1 100 Continue\r\n\r\n",
    ),
    "in the answer": Stage(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", begins, client_has=b"begin", status=200),
    "in a chunked answer": Stage(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", begins_chunked, client_has=b"begin", status=200),
    "after an interim answer": Stage(
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        lambda connection: interim(connection),
        client_has=b"HTTP/1.1 103 ",
    ),
    "waiting for a protocol to switch to": Stage(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        silent,
        origin_has=b"\r\n\r\n",
    ),
}


async def interim(connection: Connection) -> None:
    await connection.until(b"\r\n\r\n")
    await connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    await connection.gone()


@asynccontextmanager
async def gateway(script: Script, *filters: str) -> AsyncIterator[tuple[RawOrigin, Product]]:
    async with (
        RawOrigin(script) as origin,
        product(gateway_config([origin.address], LOCAL, scripts=filters)) as running,
    ):
        yield origin, running


def is_over(running: Product) -> bool:
    """Whether no exchange, connection or tunnel is left, on either side."""
    names = ("exchanges", "connections", "tunnels", "upstream_connections")
    return not any(running.counters[name] for name in names)


@pytest.fixture(params=["without scripts", "with a script"])
def filters(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Exchanges are stepped in two ways: as tasks where there are scripts, and without."""
    if request.param == "without scripts":
        return []
    script = tmp_path / "through.py"
    script.write_text(
        "import interpose\n\n@interpose.filter\n"
        "async def through(exchange, request, forward):\n"
        "    return await forward(exchange, request)\n"
    )
    return [str(script)]


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
async def test_a_client_that_leaves_takes_its_exchange_with_it(stage: Stage, filters: list[str]) -> None:
    async with gateway(stage.script, *filters) as (origin, running):
        async with RawClient(running.address()) as client:
            client.send(stage.sends)
            await origin.connected()
            await origin.connections[0].until(stage.origin_has)
            await client.until(stage.client_has)
            client.reset()
        await origin.connections[0].gone()
        await running.when(lambda: is_over(running))
        [line] = await running.logged(1)
        origin.script = answering(OK)
        assert (await ask(running.address(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).status == 200
    assert (line["status"], line["failure"], line["side"]) == (stage.status, *stage.failure)
    assert len(running.log) == 2


@pytest.mark.parametrize(
    "name",
    ["in the content of its request", "in chunked content of its request", "in the content, with the answer begun"],
)
async def test_a_client_that_ends_inside_its_request_ends_its_exchange(name: str) -> None:
    stage = STAGES[name]
    async with gateway(stage.script) as (origin, running):
        async with RawClient(running.address()) as client:
            client.send(stage.sends)
            await origin.connected()
            await origin.connections[0].until(stage.origin_has)
            await client.until(stage.client_has)
            client.end()
            await client.rest()
        await origin.connections[0].gone()
        await running.when(lambda: is_over(running))
        [line] = await running.logged(1)
    assert line["side"] == "downstream"


async def test_a_client_that_takes_nothing_and_leaves_frees_the_origin_too() -> None:
    async with gateway(floods) as (origin, running):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            host, _, port = running.address().rpartition(":")
            await loop.sock_connect(client, (host, int(port)))
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await origin.connected()
            await running.when(lambda: is_stuck(origin.connections[0]))
        await origin.connections[0].gone()
        await running.when(lambda: is_over(running))
        [line] = await running.logged(1)
    assert (line["failure"], line["side"]) == LEFT


def is_stuck(connection: Connection) -> bool:
    """Whether nobody takes what the origin sends any more."""
    return connection._writer.transport.get_write_buffer_size() > 0


@pytest.mark.parametrize("connect", [False, True], ids=["request", "CONNECT"])
async def test_a_client_that_leaves_while_the_origin_is_dialled_ends_the_dialling(
    connect: bool, filters: list[str]
) -> None:
    with full_queue() as address:
        async with product(proxy_config(LOCAL, scripts=filters)) as running:
            async with RawClient(running.address()) as client:
                line = f"CONNECT {address}" if connect else f"GET http://{address}/"
                client.send(f"{line} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
                await running.when(lambda: running.counters["exchanges"] == 1)
                client.reset()
            await running.when(lambda: is_over(running))
            [logged] = await running.logged(1)
    assert (logged["status"], logged["failure"], logged["side"]) == (0, *LEFT)


class full_queue:
    """A port on which a connection is neither accepted nor refused: its queue is full."""

    def __enter__(self) -> str:
        self._listening = socket.socket()
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(0)
        self._waiting = [socket.socket() for _ in range(4)]
        for sock in self._waiting:
            sock.setblocking(False)
            sock.connect_ex(self._listening.getsockname())
        return f"127.0.0.1:{self._listening.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        for sock in (*self._waiting, self._listening):
            sock.close()


async def test_clients_that_leave_before_a_request_is_whole_are_no_exchanges() -> None:
    async with gateway(silent) as (origin, running):
        for sends in (b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"):
            for leaves in (RawClient.end, RawClient.reset):
                async with RawClient(running.address()) as client:
                    client.send(sends)
                    await client.drain()
                    leaves(client)
        await running.when(lambda: is_over(running) and running.counters["connections_total"] == 6)
    assert running.log == []
    assert origin.connections == []


async def test_a_client_that_leaves_while_its_exchange_waits_for_a_decision_ends_the_waiting(tmp_path: Path) -> None:
    script = tmp_path / "hold.py"
    script.write_text(
        "import asyncio\nimport interpose\n\n"
        "@interpose.filter\n"
        "async def hold(exchange, request, forward):\n"
        "    async with exchange.waiting('a decision'):\n"
        "        await asyncio.sleep(60)\n"
        "    return await forward(exchange, request)\n"
    )
    config = gateway_config(["127.0.0.1:1"], LOCAL, scripts=[str(script)])
    async with product(config) as running:
        async with RawClient(running.address()) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
            await running.when(lambda: running.counters["exchanges"] == 1)
            client.reset()
        await running.when(lambda: is_over(running))
        [line] = await running.logged(1)
    assert (line["status"], line["failure"], line["side"]) == (0, *LEFT)
    assert line["notes"]["waiting"] == "a decision"


async def test_a_client_that_ends_after_its_request_still_gets_its_answer() -> None:
    release = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await release.wait()
        await connection.send(OK)
        await connection.gone()

    async with gateway(script) as (origin, running):
        async with RawClient(running.address()) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            client.end()
            await origin.connected()
            await origin.connections[0].until(b"\r\n\r\n")
            release.set()
            [answer] = await client.answers("GET")
            assert answer.status == 200
            assert await client.rest() == b""
        [line] = await running.logged(1)
    assert "failure" not in line


async def test_a_hundred_clients_that_leave_anywhere_leave_nothing(tmp_path: Path) -> None:
    async def script(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100000)
        await connection.gone()

    async def client(address: str, place: int) -> None:
        async with RawClient(address) as client:
            request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"y" * 1000
            client.send(request[: place * 20])
            await client.drain()
            if place > 60:
                await client.until(b"x" * (place - 60) * 100)
            client.reset()

    async with RawOrigin(script) as origin:
        config = settings(gateway_config([origin.address], LOCAL), timeouts={"head_timeout_s": 2.0})
        async with product(config) as running:
            await asyncio.gather(*(client(running.address(), place) for place in range(100)))
            await running.when(lambda: is_over(running))
            assert running.counters["connections_total"] == 100
            begun = running.counters["requests_total"]
    assert len(running.log) == begun


@pytest.mark.parametrize("who", ["client", "origin"])
async def test_a_tunnel_that_is_reset_is_written_down_with_who_did_it(who: str) -> None:
    async def script(connection: Connection) -> None:
        await connection.until(b"go")
        if who == "origin":
            connection.reset()
        else:
            await connection.send(b"went")
            await connection.gone()

    async with RawOrigin(script) as origin, product(proxy_config(LOCAL)) as running:
        async with RawClient(running.address()) as client:
            client.send(f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
            await client.answers("CONNECT")
            client.send(b"go")
            if who == "client":
                await client.until(b"went")
                client.reset()
            else:
                await client.rest()
        await running.when(lambda: is_over(running))
        [line] = await running.logged(1)
    assert line["status"] == 200
    assert (line["failure"], line["side"]) == (
        "connection_terminated",
        {"client": "downstream", "origin": "upstream"}[who],
    )


async def test_a_client_that_was_gone_before_it_was_looked_at_is_unknown_and_no_unix_socket() -> None:
    async with gateway(silent) as (_, running):
        host, _, port = running.address().rpartition(":")
        for _ in range(3):  # all at once for the loop, which sees connection, request and reset together
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await running.when(lambda: is_over(running) and running.counters["connections_total"] == 3)
    assert {line["client"] for line in running.log} <= {"unknown", "127.0.0.1"}  # some loops know in time
