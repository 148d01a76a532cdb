"""A proxy that asks for passwords, as clients see it."""

import asyncio
import base64
from pathlib import Path

import bcrypt

import interpose
from interpose.config.model import Config, Listener, Log

RIGHT = base64.b64encode(b"anna:secret").decode()
WRONG = base64.b64encode(b"anna:wrong").decode()


def config(tmp_path: Path) -> Config:
    users = tmp_path / "users"
    users.write_text("anna:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(8)).decode() + "\n")
    return Config(
        log=Log(access=str(tmp_path / "access.log")),
        listeners=(Listener(name="proxy", address="127.0.0.1:0", role="proxy", auth=str(users)),),
    )


async def ask(address: str, credentials: str | None, method: str = "GET", target: str = "http://no.invalid/") -> bytes:
    """The whole answer to one request."""
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    line = f"Proxy-Authorization: Basic {credentials}\r\n" if credentials else ""
    writer.write(f"{method} {target} HTTP/1.1\r\nHost: no.invalid\r\n{line}Connection: close\r\n\r\n".encode())
    answer = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a19_without_a_password_nothing_goes_through(tmp_path: Path) -> None:
    async with interpose.serve(config(tmp_path)) as running:
        address = running.addresses["proxy"]
        for credentials in (None, WRONG):
            for method, target in (("GET", "http://127.0.0.1:1/"), ("CONNECT", "127.0.0.1:1")):
                answer = await ask(address, credentials, method, target)
                assert answer.startswith(b"HTTP/1.1 407 ")
                assert b'\r\nProxy-Authenticate: Basic realm="Interpose", charset="UTF-8"\r\n' in answer
        answer = await ask(address, RIGHT, "CONNECT", "127.0.0.1:1")
        assert answer.startswith(b"HTTP/1.1 502 ")
    log = (tmp_path / "access.log").read_text().split("\n")
    assert [line.split(" ")[2] for line in log[:-1]] == ["-", "-", "-", "-", "anna"]
    assert not any(credentials in line for line in log for credentials in (RIGHT, WRONG, "secret"))


async def test_many_connections_with_one_password_are_let_in_together(tmp_path: Path) -> None:
    async with interpose.serve(config(tmp_path)) as running:
        address = running.addresses["proxy"]
        answers = await asyncio.gather(*(ask(address, RIGHT, "CONNECT", "127.0.0.1:1") for _ in range(20)))
        assert {answer[:13] for answer in answers} == {b"HTTP/1.1 502 "}


async def test_a_client_that_leaves_during_the_check_leaves_nothing_behind(tmp_path: Path) -> None:
    async with interpose.serve(config(tmp_path)) as running:
        address = running.addresses["proxy"]
        host, port = address.rsplit(":", 1)
        for _ in range(5):
            _, writer = await asyncio.open_connection(host, int(port))
            line = f"Proxy-Authorization: Basic {WRONG}"
            writer.write(f"GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: 127.0.0.1:1\r\n{line}\r\n\r\n".encode())
            await writer.drain()
            writer.transport.abort()
        answer = await ask(address, RIGHT, "CONNECT", "127.0.0.1:1")
        assert answer.startswith(b"HTTP/1.1 502 ")
