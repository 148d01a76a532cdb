"""Through other people's proxies: of every kind, in chains, with passwords, by rule, and when they are gone."""

import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from tests.support.datagrams import free_port
from tests.support.product import Product, product
from tests.support.program import wait_until
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose.config.load import config_of

LOGIN = "ann:secret"


def tables(name: str, role: str = "proxy", listener: dict[str, Any] | None = None, **rest: Any) -> Any:
    return config_of(
        {
            "process": {"pseudonym": name, "grace_s": 1},
            "connections": {"max_idle": 0},  # what one of them keeps open is not what another one has left open
            "listener": [{"address": "127.0.0.1:0", "role": role, **(listener or {})}],
            **rest,
        },
        name=name,
    )


@asynccontextmanager
async def through(*servers: str, rules: list[dict[str, Any]] | None = None, **proxy: Any) -> AsyncIterator[Product]:
    """A proxy whose requests go through the first of these."""
    config = tables(
        "ours",
        "auto",
        {"through": "theirs"},
        upstream_proxy=[{"name": "theirs", "servers": list(servers), **proxy}],
        access=rules or [],
    )
    async with product(config) as running:
        yield running


def get(origin: RawOrigin) -> bytes:
    return f"GET http://{origin.address}/ HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode()


def connect(origin: RawOrigin) -> bytes:
    return f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode()


async def both_ways(running: Product, origin: RawOrigin) -> None:
    """A plain request is answered, and so is one in a tunnel."""
    async with RawClient(running.address()) as client:
        client.send(get(origin))
        assert [answer.status for answer in await client.answers("GET")] == [200]
    async with RawClient(running.address()) as client:
        client.send(connect(origin))
        await client.until(b"\r\n\r\n")
        assert client.received.startswith(b"HTTP/1.1 200 ")
        client.send(b"GET /inside HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.until(b"200 OK")


@pytest.mark.parametrize("kind", ["http", "socks5", "socks4", "socks4a"])
async def test_requests_and_tunnels_go_through(kind: str) -> None:
    role = "proxy" if kind == "http" else "socks"
    async with RawOrigin(answering(OK)) as origin, product(tables("theirs", role)) as parent:
        async with through(f"{kind}://{parent.address()}") as running:
            await both_ways(running, origin)
            lines = await running.logged(2)
        assert len(await parent.logged(2)) == 2
    assert all(f"theirs ({kind}://" in line["through"] for line in lines if "through" in line)
    plain = origin.requests()[0]
    assert (plain.values("via") == ["1.1 theirs, 1.1 ours"] or len(plain.values("via")) == 2) is (kind == "http")


async def test_a_password_goes_to_the_proxy_and_to_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("ann:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode() + "\n")
    (tmp_path / "login").write_text(LOGIN + "\n")
    async with (
        RawOrigin(answering(OK)) as origin,
        product(tables("theirs", listener={"auth": str(tmp_path / "users")})) as parent,
    ):
        async with through(f"http://{parent.address()}", login_file=str(tmp_path / "login")) as running:
            await both_ways(running, origin)
        async with (
            through(f"http://ann:wrong@{parent.address()}") as running,
            RawClient(running.address()) as client,
        ):
            client.send(get(origin))
            [answer] = await client.answers("GET")
            assert (answer.status, answer.values("proxy-authenticate")) == (502, [])
            client.send(connect(origin))
            await client.until(b"502 Bad Gateway")
    assert b"authorization" not in origin.received.lower()


async def test_a_chain_leads_from_one_proxy_to_the_next() -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(tables("second")) as second,
        product(tables("first", "socks")) as first,
    ):
        config = tables(
            "ours",
            listener={"through": "second"},
            upstream_proxy=[
                {"name": "second", "servers": [f"http://{second.address()}"], "through": "first"},
                {"name": "first", "servers": [f"socks5://{first.address()}"]},
            ],
        )
        async with product(config) as running:
            await both_ways(running, origin)
        assert {line["target"] for line in await first.logged(2)} == {second.address()}
        assert len(await second.logged(2)) == 2


async def test_rules_say_what_goes_through_and_what_does_not() -> None:
    rules = [{"when": "path:/direct", "action": "allow", "through": "direct"}]
    async with RawOrigin(answering(OK)) as origin, product(tables("theirs")) as parent:
        async with (
            through(f"http://{parent.address()}", rules=rules) as running,
            RawClient(running.address()) as client,
        ):
            client.send(get(origin).replace(b"/ HTTP", b"/direct HTTP"))
            await client.answers("GET")
            client.send(get(origin))
            await client.answers("GET")
        assert [line["target"] for line in await parent.logged(1)] == [f"http://{origin.address}/"]
    direct, proxied = origin.requests()
    assert "theirs" not in str(direct.values("via"))
    assert "theirs" in str(proxied.values("via"))


async def test_f3_another_proxy_is_taken_where_one_is_gone_and_an_origin_that_is_gone_is_no_fault_of_a_proxy() -> None:
    dead = free_port()
    async with RawOrigin(answering(OK)) as origin, product(tables("theirs")) as parent:
        async with through(f"http://127.0.0.1:{dead}", f"http://{parent.address()}") as running:
            for _ in range(3):
                await both_ways(running, origin)
            async with RawClient(running.address()) as client:
                client.send(f"CONNECT 127.0.0.1:{dead} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                await client.until(b"HTTP/1.1 502")
            await both_ways(running, origin)
        async with through(f"http://127.0.0.1:{dead}") as running, RawClient(running.address()) as client:
            client.send(get(origin))
            assert [answer.status for answer in await client.answers("GET")] == [502]


async def test_a20_an_address_that_may_not_be_reached_is_not_asked_of_a_proxy_either() -> None:
    async with (
        product(tables("theirs")) as parent,
        through(f"http://{parent.address()}") as running,
        RawClient(running.address()) as client,
    ):
        client.send(b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n")
        assert [answer.status for answer in await client.answers("GET")] == [403]
        await parent.logged(0)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "LOCALHOST.", "a.localhost", "[::ffff:127.0.0.1]"),
        *("127.1", "2130706433", "0x7f000001", "0.0.0.0", "[::]", socket.gethostname()),
    ],
)
async def test_a23_what_is_ours_alone_is_not_reached_by_way_of_a_proxy_on_the_same_machine(host: str) -> None:
    """The other proxy would go there."""
    async with RawOrigin(answering(OK)) as ours, product(tables("theirs")) as parent:
        port = ours.address.rpartition(":")[2]
        config = tables(
            "ours",
            listener={"through": "theirs"},
            upstream_proxy=[{"name": "theirs", "servers": [f"http://{parent.address()}"]}],
            metrics={"address": ours.address},
        )
        async with product(config) as running:
            for asked in (f"GET http://{host}:{port}/ HTTP/1.1", f"CONNECT {host}:{port} HTTP/1.1"):
                async with RawClient(running.address()) as client:
                    client.send(f"{asked}\r\nHost: {host}:{port}\r\n\r\n".encode())
                    await client.until(b"\r\n\r\n")
                    status = int(client.received[9:12])
                    assert status in (400, 403, 502), asked  # which of the three, other tests say
        assert not ours.connections


async def test_f16_what_goes_through_proxies_changes_with_a_reload_and_not_with_one_that_fails() -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(tables("one")) as one,
        product(tables("two")) as two,
    ):

        def config(parent: Product, **rest: Any) -> Any:
            pool = {"name": "theirs", "servers": [f"http://{parent.address()}"], **rest}
            return tables("ours", listener={"through": "theirs"}, upstream_proxy=[pool])

        async with product(config(one)) as running, RawClient(running.address()) as client:

            async def asks() -> int:
                client.send(get(origin))
                [answer] = await client.answers("GET")
                return answer.status

            assert await asks() == 200
            with pytest.raises(ValueError, match="there is no file"):
                await running.running.reload(config(two, login_file="/nowhere/login", check_interval_s=0.1))
            assert await asks() == 200
            assert len(await one.logged(2)) == 2
            await running.running.reload(config(two))
            assert await asks() == 200
            assert len(await two.logged(1)) == 1


async def test_a_socks_client_goes_through_too() -> None:
    async with RawOrigin(answering(OK)) as origin, product(tables("theirs")) as parent:
        async with (
            through(f"http://{parent.address()}") as running,
            RawClient(running.address()) as client,
        ):
            host, _, port = origin.address.rpartition(":")
            client.send(b"\x05\x01\x00")
            await client.until(b"\x05\x00")
            client.send(b"\x05\x01\x00\x01" + socket.inet_aton(host) + int(port).to_bytes(2, "big"))
            await client.until(b"\x05\x00\x00\x01")
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await client.until(b"200 OK")
        assert len(await parent.logged(1)) == 1


@contextmanager
def daemon(port: int, *command: str) -> Iterator[None]:
    """A proxy from the distribution, which listens on `port`."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, f"{command[0]} listens")
        yield
    finally:
        process.terminate()
        process.wait(10)


async def test_tinyproxy_and_microsocks_are_proxies_like_any_other_and_may_be_chained(tmp_path: Path) -> None:
    web, socks = free_port(), free_port()
    settings = tmp_path / "tinyproxy.conf"
    settings.write_text(f"Port {web}\nListen 127.0.0.1\nAllow 127.0.0.1\nBasicAuth ann secret\n")
    tinyproxy, microsocks = (shutil.which(name) for name in ("tinyproxy", "microsocks"))
    assert tinyproxy
    assert microsocks
    with (
        daemon(web, tinyproxy, "-d", "-c", str(settings)),
        daemon(socks, microsocks, "-i", "127.0.0.1", "-p", str(socks), "-u", "ann", "-P", "secret"),
    ):
        async with RawOrigin(answering(OK)) as origin:
            by_web, by_socks = f"http://{LOGIN}@127.0.0.1:{web}", f"socks5://{LOGIN}@127.0.0.1:{socks}"
            for url in (by_web, by_socks):
                async with through(url) as running:
                    await both_ways(running, origin)
            chain = tables(
                "ours",
                listener={"through": "web"},
                upstream_proxy=[
                    {"name": "socks", "servers": [by_socks]},
                    {"name": "web", "servers": [by_web], "through": "socks"},
                ],
            )
            async with product(chain) as running:
                await both_ways(running, origin)
