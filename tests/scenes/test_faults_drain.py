"""The end of what runs: nothing that was begun is cut before its time, and everything is written down (THREATS F18)."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.certificates import CertificateAuthority
from tests.support.product import Product, product
from tests.support.program import INTERPOSE, Program
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, Connection, RawOrigin, answering, silent
from tests.support.websocket import handshake

from interpose import Config, gateway_config, proxy_config
from interpose.config.load import config_of

LOCAL = ["127.0.0.1:0"]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def draining(running: Product, grace_s: float) -> AsyncIterator[asyncio.Task[None]]:
    """A drain, begun when entered and over when left."""
    task = asyncio.create_task(running.running._runtime.drain(grace_s))
    await asyncio.sleep(0)
    yield task
    async with asyncio.timeout(10):
        await task


def fixed(text: str) -> Config:
    """A gateway that answers everything with `text`."""
    listener = {"role": "gateway", "address": LOCAL[0]}
    return config_of({"listener": [listener], "route": [{"answer": {"text": text}}]}, name="t")


async def test_f18_a_request_on_an_idle_connection_is_still_answered_and_told_that_it_is_the_last() -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as used,
        RawClient(running.address()) as new,
    ):
        used.send(GET)
        await used.answers("GET")
        await running.when(lambda: running.counters["connections"] == 2)
        async with draining(running, 10.0) as drain:
            await asyncio.sleep(0.1)  # what a client may take to ask again
            for client in (used, new):
                client.send(GET)
                [answer] = await client.answers("GET")
                assert (answer.status, answer.body, answer.closes) == (200, b"ok", True)
                assert await client.rest() == b""
            async with asyncio.timeout(0.5):  # with the last of them
                await drain


async def test_f18_who_is_in_the_queue_when_the_end_begins_is_still_served() -> None:
    loop = asyncio.get_running_loop()
    async with product(fixed("hello")) as running:
        host, _, port = running.address().rpartition(":")
        clients = [socket.create_connection((host, int(port))) for _ in range(20)]  # for the loop, all in one moment
        for client in clients:
            client.sendall(GET)
        async with draining(running, 3.0):
            async with asyncio.timeout(5):
                for client in clients:
                    client.setblocking(False)
                    with client:
                        assert (await loop.sock_recv(client, 4096)).startswith(b"HTTP/1.1 200 ")


async def test_f18_idle_connections_hold_the_end_up_for_a_moment_only() -> None:
    loop = asyncio.get_running_loop()
    async with product(fixed("hello")) as running, RawClient(running.address()) as client:
        client.send(GET)
        await client.answers("GET")
        began = loop.time()
        async with draining(running, 3.0):
            assert await client.rest() == b""
        assert loop.time() - began < 0.6


async def test_f18_clients_that_do_not_shake_hands_hold_the_end_up_for_a_moment_only(tmp_path: Path) -> None:
    certificate, key = CertificateAuthority(tmp_path).issue("localhost")
    loop = asyncio.get_running_loop()
    config = gateway_config(["127.0.0.1:1"], LOCAL, tls_certificate=certificate, tls_key=key)
    async with product(config) as running, RawClient(running.address()):
        await asyncio.sleep(0.1)  # until it is accepted, which nothing counts yet
        began = loop.time()
        async with draining(running, 3.0):
            pass
        assert loop.time() - began < 0.6


async def test_f18_without_any_connection_the_end_comes_at_once() -> None:
    loop = asyncio.get_running_loop()
    async with product(fixed("hello")) as running:
        began = loop.time()
        async with draining(running, 30.0):
            pass
        assert loop.time() - began < 0.1


async def test_f18_an_answer_that_the_client_has_not_taken_yet_is_not_cut() -> None:
    text = "0123456789abcdef" * (1 << 18)  # 4 MiB: more than all buffers on the way
    loop = asyncio.get_running_loop()
    async with product(fixed(text)) as running:
        host, _, port = running.address().rpartition(":")
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await loop.sock_connect(client, (host, int(port)))
            await loop.sock_sendall(client, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            await running.when(lambda: running.counters["requests_total"] == 1 and not running.counters["exchanges"])
            async with draining(running, 10.0) as drain:
                await asyncio.wait({drain}, timeout=0.3)
                assert not drain.done()
                received = bytearray()
                while data := await loop.sock_recv(client, 1 << 20):
                    received += data
            assert received.endswith(b"\r\n\r\n" + text.encode())


async def test_f18_an_upload_that_has_begun_is_finished() -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n" + b"y" * 10)
        await origin.connected()
        async with draining(running, 10.0):
            await origin.connections[0].until(b"y" * 10)
            client.send(b"z" * 10)
            [answer] = await client.answers("POST")
            assert (answer.status, answer.closes) == (200, True)
    assert [request.body for request in origin.requests()] == [b"y" * 10 + b"z" * 10]


async def test_f18_an_exchange_that_outlasts_the_grace_is_cut_and_still_written_down() -> None:
    async with (
        RawOrigin(silent) as origin,
        product(gateway_config([origin.address], LOCAL)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(GET)
        await origin.connected()
        await origin.connections[0].until(b"\r\n\r\n")
        async with draining(running, 0.2):
            pass
        await running.running._runtime.stop()
        await client.rest()
        assert client.was_reset
    assert [(line["status"], line["target"]) for line in running.log] == [(0, "http://x/")]


@pytest.mark.parametrize("kind", ["CONNECT", "websocket"])
async def test_f16_a_tunnel_lives_on_through_a_drain_and_is_written_down_when_it_is_cut(kind: str) -> None:
    async def script(connection: Connection) -> None:
        if kind == "websocket":
            await connection.until(b"\r\n\r\n")
            await connection.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
        await connection.until(b"hello")
        await connection.send(b"hello yourself")
        await connection.gone()

    async with RawOrigin(script) as origin:
        config = proxy_config(LOCAL) if kind == "CONNECT" else gateway_config([origin.address], LOCAL)
        async with product(config) as running, RawClient(running.address()) as client:
            if kind == "CONNECT":
                client.send(f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
            else:
                client.send(handshake("/", "x"))
            await client.until(b"\r\n\r\n")
            async with draining(running, 0.5) as drain:
                client.send(b"hello")
                await client.until(b"hello yourself")
                assert not drain.done()
            await running.running._runtime.stop()
            await client.rest()
    [line] = running.log
    assert line["status"] == (200 if kind == "CONNECT" else 101)
    assert line["bytes"] >= len(b"hello yourself")


@pytest.mark.parametrize("connections", [0, 1])
def test_f18_ctrl_c_ends_a_command_promptly_when_nothing_runs(tmp_path: Path, connections: int) -> None:
    with Program(tmp_path, "gateway", "127.0.0.1:1") as program:
        clients = [socket.create_connection(("127.0.0.1", program.port)) for _ in range(connections)]
        for client in clients:
            client.sendall(GET)
            assert client.recv(1024).startswith(b"HTTP/1.1 502 ")
        began = time.monotonic()
        program.process.send_signal(signal.SIGINT)
        assert program.process.wait(10) == 0
        took_s = time.monotonic() - began
        for client in clients:
            client.close()
    assert took_s < 1.0


def test_f18_a_signal_to_all_processes_at_once_ends_them_without_another_being_started(tmp_path: Path) -> None:
    command = (
        INTERPOSE,
        "proxy",
        "--listen",
        "127.0.0.1:0",
        "--log",
        "off",
        "--workers",
        "2",
        "--state",
        str(tmp_path),
        "--no-console",
    )
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        assert running.stderr is not None
        assert "listening on" in running.stderr.readline()
        os.killpg(running.pid, signal.SIGTERM)
        assert running.stderr.read() == ""
    assert running.returncode == 0
