"""The scripts of the manual that look at messages, or have people look at requests."""

import asyncio
import json
from pathlib import Path

from tests.support import websocket
from tests.support.example_scripts import SCRIPTS, example, field, reply
from tests.support.product import product
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import Connection, RawOrigin, answering
from tests.support.websocket import CLOSE, TEXT, Frame

from interpose.config.load import config_of
from interpose.config.office import Office
from interpose.config.serve import serve
from interpose.storage.desk.review import Review, Seen

DEADLINE_S = 10.0


async def frames(client: RawClient, count: int) -> list[Frame]:
    """The first frames that a client gets."""
    found: list[Frame] = []

    def are_there() -> bool:
        found[:] = websocket.frames(client.received.partition(b"\r\n\r\n")[2])[0]
        return len(found) >= count

    await client.wait_for(are_there)
    return found


async def test_websocket_edit() -> None:
    async def feed(connection: Connection) -> None:
        head = await connection.until(b"\r\n\r\n")
        key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0].decode()
        await connection.send(websocket.acceptance(key))
        for value in ({"price": 10}, {"news": "x"}):
            await connection.send(websocket.server_frame(TEXT, json.dumps(value).encode()))
        await connection.gone()

    async with (
        example("websocket_edit", feed, is_script=True) as world,
        RawClient(world.address) as client,
    ):
        client.send(websocket.handshake("/feed", "example.test"))
        got = await frames(client, 2)
        assert [json.loads(frame.payload) for frame in got] == [{"price": 11.0}, {"news": "x"}]
        for value in ({"type": "order"}, {"type": "hello"}):
            client.send(websocket.client_frame(TEXT, json.dumps(value).encode()))
        client.send(websocket.client_frame(CLOSE, b"\x03\xe8"))
        [origin] = world.origin.connections

        def are_there() -> bool:
            return len(websocket.frames(origin.received.partition(b"\r\n\r\n")[2])[0]) == 2

        await world.product.when(are_there)
        sent = websocket.frames(origin.received.partition(b"\r\n\r\n")[2])[0]
        assert [(frame.opcode, frame.payload) for frame in sent] == [
            (TEXT, b'{"type": "hello"}'),
            (CLOSE, b"\x03\xe8"),
        ]


async def test_count_messages(tmp_path: Path) -> None:
    async def echo(connection: Connection) -> None:
        await connection.until(b"3 c\n")
        await connection.send(connection.received)
        await connection.gone()

    async with (
        example("count_messages", echo, "relay", is_script=True) as world,
        RawClient(world.address) as client,
    ):
        client.send(b"a\nbb\n")
        client.send(b"c\nrest")
        assert await client.until(b"3 c\n") == b"1 a\n2 bb\n3 c\n"


async def test_count_messages_of_datagrams() -> None:
    listeners = [
        {"name": "echo", "address": "127.0.0.1:0", "role": "echo", "udp": True},
        {"name": "back", "address": "127.0.0.1:0", "role": "upper", "udp": True},
    ]
    async with product(config_of({"listener": listeners}, name="servers")) as servers:
        relay = {"name": "main", "address": "127.0.0.1:0", "role": "relay", "udp": True, "upstream": "back"}
        upstream = {"name": "back", "servers": [servers.address("back")]}
        script = {"file": str(SCRIPTS / "count_messages.py"), "listeners": ["main"]}
        tables = {"listener": [relay], "upstream": [upstream], "script": [script]}
        async with product(config_of(tables, name="relay")) as running:
            host, port = running.address("main").split(":")
            answers: asyncio.Queue[bytes] = asyncio.Queue()
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Into(answers), remote_addr=(host, int(port))
            )
            for text in (b"a", b"b"):
                transport.sendto(text)
                async with asyncio.timeout(DEADLINE_S):
                    answer = await answers.get()
                assert answer == {b"a": b"1 1 A", b"b": b"2 2 B"}[text]
            transport.close()


class _Into(asyncio.DatagramProtocol):
    def __init__(self, queue: asyncio.Queue[bytes]) -> None:
        self.queue = queue

    def datagram_received(self, data: bytes, address: object) -> None:
        self.queue.put_nowait(data)


async def test_a_script_without_functions_for_messages_leaves_a_relay_alone() -> None:
    async def answer(connection: Connection) -> None:
        await connection.until(b"ping")
        await connection.send(b"pong")
        await connection.gone()

    async with (
        example("add_field", answer, "relay", is_script=True) as world,
        RawClient(world.address) as client,
    ):
        client.send(b"ping")
        assert await client.until(b"pong") == b"pong"


async def test_f23_a_script_that_raises_ends_its_conversation_and_no_other(tmp_path: Path) -> None:
    script = tmp_path / "wrong.py"
    script.write_text(
        "import interpose\n\n@interpose.messages\nasync def wrong(exchange, message, forward):\n"
        "    assert message.data != b'bad'\n    await forward(message)\n"
    )

    async def echo(connection: Connection) -> None:
        await connection.until(b"good")
        await connection.send(connection.received)
        await connection.gone()

    async with RawOrigin(echo) as origin:
        relay = {"name": "main", "address": "127.0.0.1:0", "role": "relay", "upstream": "origin"}
        upstream = {"name": "origin", "servers": [f"tcp://{origin.address}"]}
        tables = {"listener": [relay], "upstream": [upstream], "script": [{"file": str(script), "listeners": ["main"]}]}
        async with product(config_of(tables, name="relay"), may_log_errors=True) as running:
            async with RawClient(running.address()) as good, RawClient(running.address()) as bad:
                bad.send(b"bad")
                await bad.rest()
                good.send(b"good")
                assert await good.until(b"good") == b"good"
            [line] = [line for line in await running.logged(2) if "why" in line["notes"]]
            assert line["notes"]["why"] == "wrong.py:5 in wrong: AssertionError: "
            [told] = json.loads(await running.running.ask_a_worker(b"scripts ", 5.0))
            assert [(one["line"], one["count"]) for one in told["troubles"]] == [(5, 1)]


async def test_ask_human(tmp_path: Path) -> None:
    process = {"name": "held", "state_dir": str(tmp_path), "grace_s": 0.0}
    async with RawOrigin(answering(reply("gone"))) as origin:
        tables = {
            "process": process,
            "log": {"access": "off"},
            "listener": [{"name": "main", "address": "127.0.0.1:0", "role": "gateway", "upstream": "origin"}],
            "upstream": [{"name": "origin", "servers": [f"http://{origin.address}"]}],
            "route": [{"name": "all", "path": "/", "upstream": "origin", "scripts": [str(SCRIPTS / "ask_human.py")]}],
        }
        config = config_of(tables)
        office = Office(config)
        async with serve(config, office=office) as running:
            request = b"DELETE /orders/7 HTTP/1.1\r\nHost: a\r\n\r\n"
            asking = asyncio.create_task(ask(running.addresses["main"], request, "DELETE"))
            assert office.desk is not None
            review = Review(office.desk)
            async with asyncio.timeout(DEADLINE_S):
                while not (holds := (await review.listed("all")).holds):  # noqa: ASYNC110 - as a page asks
                    await asyncio.sleep(0.01)
            [row] = holds
            assert row.rule == "deletes /orders/7"
            assert not origin.connections
            hold = await review.shown(row.id)
            await review.release(row.id, Seen(hold.version, bytes.fromhex(hold.digest)), "ann")
            assert (await asking).body == b"gone"
            assert field(origin.requests()[0], "X-Approved-By") == "ann"
            got = await ask(running.addresses["main"], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert got.body == b"gone"
