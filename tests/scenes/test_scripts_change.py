"""Scripts change while exchanges run: nothing that has begun is disturbed, and what was opened is closed once."""

import asyncio
from pathlib import Path

from msgspec.structs import replace
from tests.support import websocket
from tests.support.example_scripts import example, reply, telling
from tests.support.product import product
from tests.support.raw_client import RawClient
from tests.support.raw_origin import Connection, RawOrigin
from tests.support.websocket import TEXT

from interpose.config.build import plan
from interpose.config.load import config_of

SCRIPT = """
import asyncio
from pathlib import Path

import interpose

life = Path(__file__).with_name("life.txt")


def note(text):
    with life.open("a") as file:
        file.write("{name}:" + text + " ")


@interpose.started
async def begin():
    note("started")


@interpose.stopped
async def end():
    note("stopped")


@interpose.filter
async def tell(exchange, request, forward):
    response = await forward(exchange, request)
    note("answered")
    response.fields.set("X-Version", "{name}")
    return response


@interpose.messages
async def edit(exchange, message, forward):
    await forward(message.with_data("{name} " + message.text))
"""


def write(path: Path, name: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(SCRIPT.replace("{name}", name))
    new.replace(path)


async def test_a_changed_file_takes_over_from_the_next_request_and_message_on(tmp_path: Path) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def origin(connection: Connection) -> None:
        head = await connection.until(b"\r\n\r\n")
        if b"Sec-WebSocket-Key: " in head:
            key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0].decode()
            await connection.send(websocket.acceptance(key))
            await connection.gone()
            return
        if b"GET /slow" in head:
            asked.set()
            await go.wait()
        await connection.send(reply("done"))
        await connection.gone()

    script, life = tmp_path / "it.py", tmp_path / "life.txt"
    write(script, "old")
    async with example(script, origin, is_script=True) as world:

        def messages() -> list[bytes]:
            received = b"".join(one.received for one in world.origin.connections if b"GET /feed" in one.received)
            return [frame.payload for frame in websocket.frames(received.partition(b"\r\n\r\n")[2])[0]]

        async with RawClient(world.address) as feed:
            feed.send(websocket.handshake("/feed", "example.test"))
            await feed.until(b"\r\n\r\n")
            feed.send(websocket.client_frame(TEXT, b"1"))
            await world.product.when(lambda: messages() == [b"old 1"])
            slow = asyncio.create_task(world.get("/slow"))
            await asked.wait()
            write(script, "new")
            await world.product.when(lambda: "new:started" in life.read_text())
            feed.send(websocket.client_frame(TEXT, b"2"))
            await world.product.when(lambda: messages() == [b"old 1", b"new 2"])
            assert (await world.get("/quick")).values("x-version") == ["new"]
            assert "old:stopped" not in life.read_text()
            go.set()
            answer = await slow
            assert (answer.body, answer.values("x-version")) == (b"done", ["old"])
        await world.product.when(lambda: "old:stopped" in life.read_text())
    notes = life.read_text().split()
    assert [note for note in notes if "answered" not in note] == [
        "old:started",
        "new:started",
        "old:stopped",
        "new:stopped",
    ]
    assert notes.index("old:stopped") > notes.index("old:answered", 2)


async def test_a_script_that_the_configuration_names_no_more_is_stopped_and_a_new_one_started(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "it.py", name)
    async with RawOrigin(telling(reply("done"))) as origin:
        listener = {"name": "main", "address": "127.0.0.1:0", "role": "gateway", "upstream": "origin"}
        upstream = {"name": "origin", "servers": [f"http://{origin.address}"]}
        scripts = [{"file": str(tmp_path / name / "it.py")} for name in ("a", "b")]
        config = config_of({"listener": [listener], "upstream": [upstream], "script": scripts[:1]}, name="it")
        other = config_of({"listener": [listener], "upstream": [upstream], "script": scripts[1:]}, name="it")
        async with product(config) as running:
            before = (tmp_path / "a" / "life.txt").read_text()
            await running.running.reload(replace(other, log=config.log, process=config.process))
            assert (before, (tmp_path / "b" / "life.txt").read_text()) == ("a:started ", "b:started ")
            await running.when(lambda: (tmp_path / "a" / "life.txt").read_text() == "a:started a:stopped ")
    assert (tmp_path / "b" / "life.txt").read_text() == "b:started b:stopped "


def test_the_plan_of_a_configuration_names_functions_for_messages(tmp_path: Path) -> None:
    write(tmp_path / "it.py", "a")
    listeners = [
        {"name": "web", "address": "127.0.0.1:0", "role": "gateway", "upstream": "origin"},
        {"name": "lines", "address": "127.0.0.1:0", "role": "relay", "upstream": "origin"},
    ]
    upstream = {"name": "origin", "servers": ["http://127.0.0.1:1"]}
    route = {"name": "shop", "path": "/shop", "upstream": "origin"}
    file = str(tmp_path / "it.py")
    scripts = [{"file": file, "routes": ["shop"]}, {"file": file}, {"file": file, "listeners": ["lines"]}]
    config = config_of({"listener": listeners, "upstream": [upstream], "route": [route], "script": scripts}, name="it")
    found = {(one.listener, one.route): [step for step in one.steps if step[1] == "script"] for one in plan(config)}
    both = ("EDIT", "script", f"{file}: tell, edit (messages)")
    assert found == {
        ("web", "shop (/shop/*)"): [both, both],
        ("web", "everything else"): [both],
        ("lines", "every connection"): [("MESSAGES", "script", f"{file}: edit")],
    }
