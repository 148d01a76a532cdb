"""UDP ASSOCIATE: whose datagrams are relayed, where to, for how long, and how many."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import socks
from tests.scenes.test_attacks_destination import has_ipv6
from tests.support.certificates import CertificateAuthority
from tests.support.name_server import NameServer, Reply
from tests.support.product import Product, product
from tests.support.raw_client import RawClient
from tests.support.raw_socks import ASSOCIATE, HELLO, Datagrams, association, came, datagram, place, request

from interpose.config.load import config_of
from interpose.engine import association as limits

LOCAL = "127.0.0.1"
LONGEST = 65_507 - len(datagram("localhost", 53, b""))
"""What fits into a datagram beside the header."""


@asynccontextmanager
async def serving(role: str = "socks", *, tables: dict[str, Any] | None = None, **keys: Any) -> AsyncIterator[Product]:
    listener = {"name": "main", "role": role, "address": f"{LOCAL}:0", **keys}
    async with product(config_of({"listener": [listener], **(tables or {})})) as running:
        yield running


async def answer_to(server: Datagrams, content: bytes, answer: bytes) -> None:
    """Have `server` receive this and answer it."""
    received, sender = await server.receive()
    assert received == content
    server.send(answer, sender)


@pytest.mark.parametrize("role", ["socks", "auto"])
async def test_a_datagram_goes_where_it_says_and_its_answer_says_where_it_came_from(role: str) -> None:
    async with serving(role) as running, Datagrams() as one, Datagrams() as other, Datagrams() as client:
        async with association(running.address()) as (_, where):
            for server, name in ((one, LOCAL), (other, "localhost"), (one, "localhost")):
                for content, answer in ((bytes(LONGEST), bytes(LONGEST)), (b"ask", b"answer"), (b"", b"")):
                    client.send(datagram(name, server.port, content), where)
                    await answer_to(server, content, answer)
                    assert await client.receive() == (b"\0\0\0" + place(LOCAL, server.port) + answer, where)
        [line] = await running.logged(1)
    assert (line["bytes"], line["bytes_in"]) == (3 * (LONGEST + 6), 3 * (LONGEST + 3))
    assert line["notes"] == {
        "bytes_in": str(3 * (LONGEST + 3)),
        "datagrams_dropped": "0",
        "datagrams_in": "9",
        "datagrams_out": "9",
        "destinations": f"{LOCAL}:{one.port}, localhost:{other.port}, localhost:{one.port}",
    }


async def test_a_library_sends_datagrams() -> None:
    def conversation(address: str, port: int) -> list[tuple[bytes, tuple[str, int]]]:
        host, _, own = address.rpartition(":")
        with socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.set_proxy(socks.SOCKS5, host, int(own), rdns=True)
            answers = []
            for number in range(5):
                sock.sendto(b"%d" % number, ("localhost", port))
                answers.append(sock.recvfrom(1000))
            return answers

    async with serving() as running, Datagrams() as server:
        talk = asyncio.create_task(asyncio.to_thread(conversation, running.address(), server.port))
        for number in range(5):
            await answer_to(server, b"%d" % number, b"answer %d" % number)
        assert await talk == [(b"answer %d" % number, (LOCAL, server.port)) for number in range(5)]


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_both_families_from_either() -> None:
    async with (
        serving(address="[::1]:0") as running,
        Datagrams() as four,
        Datagrams("::1") as six,
        Datagrams("::1") as client,
        association(running.address()) as (_, where),
    ):
        assert where[0] == "::1"
        for server in (four, six):
            client.send(datagram(server.host, server.port, b"ask"), where)
            await answer_to(server, b"ask", b"answer")
            assert (await client.receive())[0] == b"\0\0\0" + place(server.host, server.port) + b"answer"


async def test_only_the_client_may_send_and_only_from_one_port() -> None:
    async with serving() as running, Datagrams() as server, Datagrams() as client:
        async with association(running.address(), source=LOCAL) as (_, where):
            asked = datagram(LOCAL, server.port, b"stranger")
            async with Datagrams("127.0.0.2") as stranger:
                stranger.send(asked, where)
                client.send(b"no SOCKS", where)  # which fixes no port
                client.send(datagram(LOCAL, server.port, b"client"), where)
                await answer_to(server, b"client", b"answer")
                await client.receive()
                async with Datagrams() as other:
                    for sender in (stranger, other):
                        sender.send(asked, where)
                    client.send(datagram(LOCAL, server.port, b"again"), where)
                    await answer_to(server, b"again", b"answer")
                    await client.receive()
                    assert other.is_empty()
                assert stranger.is_empty()
        [line] = await running.logged(1)
    counts = {name: line["notes"][f"datagrams_{name}"] for name in ("in", "out", "dropped")}
    assert counts == {"in": "2", "out": "2", "dropped": "4"}


async def test_only_who_was_asked_may_answer() -> None:
    async with serving() as running, Datagrams() as server, Datagrams() as stranger, Datagrams() as client:
        async with association(running.address()) as (_, where):
            client.send(datagram(LOCAL, server.port, b"ask"), where)
            _, relayed = await server.receive()
            stranger.send(b"unasked", relayed)
            server.send(b"answer", relayed)
            assert (await client.receive())[0].endswith(b"answer")
        assert client.is_empty()


@pytest.mark.parametrize(
    "bad",
    [
        b"", b"\0", b"\0\0\0", b"\0\0\1" + place(LOCAL, 53) + b"fragment", b"\0\0\x81" + place(LOCAL, 53) + b"last",
        b"\1\0\0" + place(LOCAL, 53) + b"reserved", datagram(LOCAL, 0, b"no port"), b"\0\0\0\x02nothing",
        b"\0\0\0\x03\x00\0\x35empty", b"\0\0\0\x03\x03a b\0\x35blank", b"\0\0\0\x03\xffshort",
        datagram("255.255.255.255", 53, b"everybody"), datagram("224.0.0.251", 5353, b"many"),
        datagram("ff02::1", 53, b"many"), datagram("0.0.0.0", 53, b"here"), datagram("169.254.169.254", 80, b"cloud"),
        datagram("2130706433", 53, b"number"), datagram("127.0.0.1", 6379, b"port"), b"\xff" * 65_507,
    ],
)  # fmt: skip
async def test_a33_what_may_not_go_is_dropped_and_nothing_ends(bad: bytes) -> None:
    async with serving() as running, Datagrams() as server, Datagrams() as client:
        async with association(running.address()) as (_, where):
            client.send(bad, where)
            client.send(datagram(LOCAL, server.port, b"good"), where)
            await answer_to(server, b"good", b"answer")
            await client.receive()
        [line] = await running.logged(1)
    assert line["notes"]["datagrams_dropped"] == "1"
    assert line["notes"]["why"]
    assert line["status"] == 200


async def test_a_server_that_is_not_there_yet_is_heard_when_it_comes() -> None:
    """ICMP says that nobody is there; the datagram after that goes out all the same."""
    async with serving() as running, Datagrams() as client:
        async with Datagrams() as reserved:
            port = reserved.port
        async with association(running.address()) as (_, where):
            for _ in range(3):
                client.send(datagram(LOCAL, port, b"lost"), where)
            async with Datagrams() as mark:
                client.send(datagram(LOCAL, mark.port, b"mark"), where)
                await answer_to(mark, b"mark", b"seen")
                await client.receive()
            async with Datagrams(LOCAL, port) as server:
                client.send(datagram(LOCAL, port, b"now"), where)
                await answer_to(server, b"now", b"here")
                assert (await client.receive())[0].endswith(b"here")


async def test_the_end_of_the_connection_is_the_end_of_the_association() -> None:
    async with serving() as running, Datagrams() as server, Datagrams() as client:
        async with association(running.address()) as (connection, where):
            client.send(datagram(LOCAL, server.port, b"ask"), where)
            await answer_to(server, b"ask", b"answer")
            await client.receive()
            connection.send(b"what is said here has no meaning" * 10_000)
            await connection.drain()
        await running.logged(1)
        client.sock.connect(where)
        client.sock.send(datagram(LOCAL, server.port, b"late"))
        with pytest.raises(ConnectionRefusedError):  # nobody has that port any more
            await client.receive()


async def test_a33_destinations_are_bounded_and_the_oldest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_DESTINATIONS", 4)
    async with serving() as running, Datagrams() as client:
        servers = [Datagrams() for _ in range(6)]
        async with association(running.address()) as (_, where):
            relayed = []
            for server in servers:
                client.send(datagram(LOCAL, server.port, b"ask"), where)
                _, sender = await server.receive()
                relayed.append(sender)
            for server, sender in zip(servers, relayed, strict=True):
                server.send(b"answer", sender)
            heard = [await client.receive() for _ in range(4)]
            ports = {int.from_bytes(content[8:10], "big") for content, _ in heard}
            assert ports == {server.port for server in servers[2:]}
            # Whoever was given up is asked anew when there is something to say.
            client.send(datagram(LOCAL, servers[0].port, b"again"), where)
            await answer_to(servers[0], b"again", b"yes")
            assert (await client.receive())[0].endswith(b"yes")
        for server in servers:
            server.sock.close()


async def test_a33_what_is_not_used_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SWEEP_S", 0.02)
    monkeypatch.setattr(limits.Associations.__init__, "__kwdefaults__", {"idle_timeout_s": 0.1})
    async with (
        serving() as running,
        Datagrams() as server,
        Datagrams() as client,
        association(running.address()) as (_, where),
    ):
        client.send(datagram(LOCAL, server.port, b"ask"), where)
        _, relayed = await server.receive()
        await running.when(lambda: is_free(relayed))
        client.send(datagram(LOCAL, server.port, b"again"), where)
        await answer_to(server, b"again", b"answer")
        await client.receive()


def is_free(address: tuple[str, int]) -> bool:
    """Whether nobody has this port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(address)
        except OSError:
            return False
    return True


async def test_a33_no_more_waits_for_a_name_than_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[limits.Association] = []
    real = limits.Association
    monkeypatch.setattr(limits, "Association", lambda *given: made.append(real(*given)) or made[-1])
    async with (
        NameServer(lambda name, kind: Reply(silent=True)) as names,
        serving(tables={"dns": {"servers": [names.address], "timeout_s": 30.0}}) as running,
        Datagrams() as server,
        Datagrams() as client,
    ):
        async with association(running.address()) as (_, where):
            for number in range(limits.MAX_LOOKUPS + 5):
                client.send(datagram(f"name{number}.test", 53, b"ask"), where)
            for _ in range(4):
                client.send(datagram("name0.test", 53, bytes(60_000)), where)
            # An address needs no name, and is reached all the same.
            client.send(datagram(LOCAL, server.port, b"known"), where)
            assert (await server.receive())[0] == b"known"
            [one] = made
            assert 120_000 < one._waiting_bytes <= limits.MAX_WAITING_BYTES
            assert one._counts["datagrams_dropped"] == 5 + 2  # names, and pieces
        [line] = await running.logged(1)
    assert one._waiting_bytes == 0
    assert line["notes"]["datagrams_in"] == str(limits.MAX_LOOKUPS + 10)
    assert line["notes"]["datagrams_dropped"] == str(limits.MAX_LOOKUPS + 9)  # what was waiting in the end, too


async def test_a33_associations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ASSOCIATIONS", 2)
    async with serving() as running:
        address = running.address()
        async with association(address), association(address), RawClient(address) as client:
            client.send(HELLO + request("0.0.0.0", 0, ASSOCIATE))
            assert (await client.rest())[2:5] == b"\x05\x01\x00"
        await running.when(lambda: running.counters["connections"] == 0)
        async with association(address):
            pass
    assert sorted(line["status"] for line in running.log) == [200, 200, 200, 503]


async def test_an_association_inside_tls_has_datagrams_in_plain(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    pair = authority.issue("localhost")
    tls = {"certificate": pair.certificate, "key": pair.key}
    async with serving(tls=tls) as running, Datagrams() as server, Datagrams() as client:
        port = int(running.address().rpartition(":")[2])
        reader, writer = await asyncio.open_connection(LOCAL, port, ssl=authority.client(), server_hostname="localhost")
        writer.write(HELLO + request("0.0.0.0", 0, ASSOCIATE))
        async with asyncio.timeout(10):
            reply = await reader.readexactly(12)
        where = (LOCAL, int.from_bytes(reply[10:], "big"))
        client.send(datagram(LOCAL, server.port, b"ask"), where)
        await answer_to(server, b"ask", b"answer")
        await client.receive()
        writer.close()
        await writer.wait_closed()
        await running.logged(1)


async def test_a_client_that_announces_where_it_sends_from_is_not_believed() -> None:
    async with serving() as running, Datagrams() as server, Datagrams() as client, RawClient(running.address()) as tcp:
        tcp.send(HELLO + request("192.0.2.1", 9, ASSOCIATE))
        reply = await came(tcp, 12)
        client.send(datagram(LOCAL, server.port, b"ask"), (LOCAL, int.from_bytes(reply[10:], "big")))
        await answer_to(server, b"ask", b"answer")
        assert (await client.receive())[0].endswith(b"answer")
