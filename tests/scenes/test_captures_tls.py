"""What was inside TLS, in captures: as plain text from the journal, and as it was on the wire, with the secrets of both
sides. tshark is the judge: the same requests, contents and messages, and nothing to complain about."""

from __future__ import annotations

import asyncio
import io
import os
import ssl
import stat
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stderr
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.scenes.test_console import Scene, curl
from tests.support.background import in_background
from tests.support.certificates import CertificateAuthority
from tests.support.intercepting import served_with
from tests.support.program import Program, interpose
from tests.support.raw_client import RawClient
from tests.support.raw_origin import Connection, RawOrigin
from tests.support.tapped import Tapped
from tests.support.tshark import complaints, fields, objects
from tests.support.websocket import (
    BINARY,
    CLOSE,
    TEXT,
    Frame,
    acceptance,
    client_frame,
    frames,
    handshake,
    server_frame,
)

from interpose.cli import run

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'
POSTED = b'{"amount": 100}'
LONG = bytes(range(256)) * 300
MESSAGES = (["1", "1", "2", "2", "8", "8"], [str(len(LONG))] * 2)
INSIDE = [("GET", "/first?page=1"), ("GET", "/second"), ("POST", "/order"), ("GET", "/socket")]


class World(NamedTuple):
    """A proxy that looks into TLS and writes its secrets, after all that the tests are about has passed. `front` is the
    wire to the proxy, `back` that to the server, which it names in all requests."""

    scene: Scene
    front: Tapped
    back: Tapped
    plain: str
    key_log: Path


async def answer(connection: Connection) -> None:
    """An origin of JSON, and of a WebSocket that says everything back."""
    while (request := await connection.request(None)).target != "/socket":
        await connection.send(ANSWER)
    [key] = request.values("sec-websocket-key")
    start = len(connection.received)
    await connection.send(acceptance(key))

    def said() -> list[Frame]:
        return frames(connection.received[start:])[0]

    await connection.wait_for(lambda: any(frame.opcode == CLOSE for frame in said()))
    for frame in said():
        await connection.send(server_frame(frame.opcode, frame.payload))


async def converse(proxy: str, address: str, trusted: ssl.SSLContext | None) -> None:
    """A WebSocket with the server, in a tunnel if somebody is `trusted`."""
    async with RawClient(proxy) as client:
        if trusted is not None:
            await client.tunnel(address, trusted)
        client.send(handshake("/socket" if trusted else f"http://{address}/socket", address))
        head = await client.until(b"\r\n\r\n")
        assert b" 101 " in head
        for frame in (client_frame(TEXT, b"hello"), client_frame(BINARY, LONG), client_frame(CLOSE, b"\x03\xe8")):
            client.send(frame)

        def has_heard() -> bool:
            return len(frames(client.received.partition(b"\r\n\r\n")[2])[0]) == 3

        await client.wait_for(has_heard)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("captures")
    state, key_log, ours = directory / "state", directory / "keys.log", directory / "ours.pem"
    origins = CertificateAuthority(directory, "Origins")
    assert interpose("ca", "init", "--state", str(state)).returncode == 0
    ours.write_text(interpose("ca", "export", "--state", str(state)).stdout)
    key_log.write_text("# of a browser\n")
    key_log.chmod(0o644)
    with ExitStack() as stack:
        identity = served_with(origins.issue("127.0.0.1"))
        origin = stack.enter_context(in_background(lambda: RawOrigin(answer, tls=identity)))
        plain = stack.enter_context(in_background(lambda: RawOrigin(answer)))
        back = stack.enter_context(in_background(lambda: Tapped(origin.address)))
        program = stack.enter_context(
            Program(directory, "proxy", "--console", "127.0.0.1:0", "--allow-upstream", "127.0.0.0/8",
                    "--intercept", "*", "--keylog", str(key_log), listeners=2,
                    env={**os.environ, "SSL_CERT_FILE": origins.file})
        )  # fmt: skip
        front = stack.enter_context(in_background(lambda: Tapped(program.ready[0]["address"])))
        site, through = f"https://{back.address}", ("--proxy", f"http://{front.address}", "--cacert", str(ours))
        assert curl(f"{site}/first?page=1", *through, f"{site}/second")[0] == 200
        assert curl(f"{site}/order", *through, "--json", POSTED.decode())[0] == 200
        believes = ssl.create_default_context(cafile=str(ours))
        asyncio.run(converse(front.address, back.address, believes))
        asyncio.run(converse(program.ready[0]["address"], plain.address, None))
        asyncio.run(converse(program.ready[0]["address"], origin.address, believes))  # on no wire that has a tap
        scene = Scene(program, origin, directory)
        scene.flows(10)
        yield World(scene, front, back, plain.address, key_log)


def put_in(*arguments: str, status: int = 0) -> str:
    """What `flows secrets` says. It asks no instance."""
    with redirect_stderr(io.StringIO()) as said:
        assert run(["flows", "secrets", *arguments]) == status, said.getvalue()
    return said.getvalue()


def targets(file: Path, what: str) -> list[tuple[str, ...]]:
    """Methods and paths of the requests that a display filter means, in order."""
    asked = fields(file, f"http.request && {what}", "http.request.method", "http.request.uri")
    return [(method, uri.partition("/socket")[1] or uri) for method, uri in asked]


def messages(file: Path, what: str) -> tuple[list[str], list[str]]:
    """Kinds of the messages of WebSockets, and the lengths of those that are long. A packet may have several."""
    found = fields(file, f"websocket && {what}", "websocket.opcode", "websocket.payload_length_ext_64")
    kinds, lengths = (",".join(column).split(",") for column in zip(*found, strict=True))
    return sorted(kinds), [length for length in lengths if length]


def test_what_was_inside_is_read_as_http_and_websocket_after_the_tunnel(world: World, tmp_path: Path) -> None:
    file = tmp_path / "plain.pcapng"
    world.scene.run("flows", "export", "--pcapng", str(file))
    assert complaints(file) == []
    port = world.back.address.rpartition(":")[2]
    tunnel = f'http.request.method == CONNECT && http.request.uri == "{world.back.address}"'
    connects = fields(file, tunnel, "frame.interface_name", "tcp.srcport")
    assert [row[0] for row in connects] == ["clients"] * 3
    inside = f"frame.interface_name == clients && tcp.port == {port}"
    assert sorted(targets(file, inside)) == sorted(INSIDE)
    assert {row[0] for row in fields(file, f"http.request && {inside}", "tcp.srcport")} == {row[1] for row in connects}
    upstream = "frame.interface_name == origins && tcp.port == "
    assert sorted(targets(file, upstream + port)) == sorted(INSIDE)
    found = objects(file, tmp_path / "objects")
    assert sorted(content for content in found.values() if content) == sorted([b'{"ok":true}'] * 6 + [POSTED] * 2)
    outside = f"frame.interface_name == clients && tcp.port == {world.scene.program.port}"
    for place in (inside, upstream + port, outside, upstream + world.plain.rpartition(":")[2]):
        assert messages(file, place) == MESSAGES


@pytest.mark.parametrize("side", ["front", "back"])
def test_with_the_secrets_a_capture_of_the_wire_is_read_as_well(world: World, tmp_path: Path, side: str) -> None:
    encrypted, opened = tmp_path / "encrypted.pcapng", tmp_path / "opened.pcapng"
    wire = world.front if side == "front" else world.back
    wire.write(encrypted)
    assert sorted(targets(encrypted, "tls")) == []
    said = put_in(str(encrypted), "--keylog", str(world.key_log), "-o", str(opened))
    count = len(wire.connections)
    assert f"{opened}: with the secrets of {count} of {count} TLS sessions." in said
    assert complaints(opened) == []
    assert sorted(targets(opened, "tls")) == sorted(INSIDE)
    found = objects(opened, tmp_path / "objects")
    assert sorted(content for content in found.values() if content) == sorted([b'{"ok":true}'] * 3 + [POSTED])
    assert messages(opened, "tls") == MESSAGES


def test_secrets_are_their_owners_alone_and_none_but_those_that_open_a_capture_leave(
    world: World, tmp_path: Path
) -> None:
    wire, opened = tmp_path / "wire.pcapng", tmp_path / "opened.pcapng"
    world.back.write(wire)
    opened.touch(0o644)
    put_in(str(wire), "--keylog", str(world.key_log), "-o", str(opened))
    for file in (world.key_log, opened):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert any(f"are written to {world.key_log}" in line for line in world.scene.program.lines)
    lines = world.key_log.read_bytes().split(b"\n")
    assert lines[0] == b"# of a browser"
    given = [line for line in lines[1:-1] if line in opened.read_bytes()]
    assert len(given) == 5 * len(world.back.connections) < len(lines) - 2


def test_what_cannot_be_is_refused_with_a_sentence(world: World, tmp_path: Path) -> None:
    wire, nothing = tmp_path / "wire.pcapng", tmp_path / "nothing"
    world.back.write(wire)
    nothing.write_bytes(b"GET / HTTP/1.1\r\n\r\n")
    other = tmp_path / "other.log"
    other.write_text(f"CLIENT_RANDOM {'0' * 64} {'1' * 96}\n")
    out = str(tmp_path / "out.pcapng")
    for capture, key_log, output, status, sentence in (
        (nothing, world.key_log, out, 2, "it is no capture: neither pcapng nor pcap."),
        (wire, nothing, out, 2, "there are no secrets in it"),
        (wire, other, out, 1, "none of the "),
        (wire, world.key_log, str(wire), 2, "is what is read; name another file."),
    ):
        command = (str(capture), "--keylog", str(key_log), "-o", output)
        assert sentence in put_in(*command, status=status)
    assert fields(wire, "tls.handshake.type == 1", "frame.number"), "and it is still there"
    with redirect_stderr(io.StringIO()) as said:
        assert run(["proxy", "--keylog", str(tmp_path / "tls.keys")]) == 2
    assert "add --intercept QUERY" in said.getvalue()


def test_what_a_journal_has_of_relayed_tls_takes_secrets_too(world: World, tmp_path: Path) -> None:
    """(That they open it is shown without sockets, `tests/unit/storage/exports/test_secrets.py`.)"""
    file = tmp_path / "exported.pcapng"
    said = world.scene.run("flows", "export", "--pcapng", str(file), "--secrets", str(world.key_log), "method:GET")
    assert f"{file}: with the secrets of 0 of 0 TLS sessions." in said
    assert ("GET", "/second") in targets(file, "tcp")
    assert "--secrets is for captures" in world.scene.run("flows", "export", "--secrets", str(file), status=2)
