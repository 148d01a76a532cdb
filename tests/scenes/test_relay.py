"""The relay on loopback: what comes goes on, both ways, with its ends and resets, to a server that can be reached."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace
from tests.support.certificates import CertificateAuthority, Pair
from tests.support.name_server import NameServer, Reply
from tests.support.product import Product, product, settings
from tests.support.raw_client import RawClient
from tests.support.raw_origin import Connection, RawOrigin, Script, silent

from interpose.config.load import config_of
from interpose.config.model import Config
from interpose.config.roles import relay_config

LOCAL = ["127.0.0.1:0"]


def relay(*servers: str, **options: Any) -> Config:
    return relay_config(servers, LOCAL, **options)


async def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Scene(NamedTuple):
    """A client, the relay, and the server behind it."""

    client: RawClient
    running: Product
    origin: RawOrigin


@asynccontextmanager
async def relayed(script: Script, **options: Any) -> AsyncIterator[Scene]:
    async with (
        RawOrigin(script) as origin,
        product(relay(origin.address, **options)) as running,
        RawClient(running.address()) as client,
    ):
        yield Scene(client, running, origin)


@asynccontextmanager
async def client_of(config: Config) -> AsyncIterator[tuple[RawClient, Product]]:
    async with product(config) as running, RawClient(running.address()) as client:
        yield client, running


async def answering_the_end(connection: Connection) -> None:
    """Says how much came and its hash, once the client has ended its side."""
    await connection.gone()
    digest = hashlib.sha256(connection.received).hexdigest()
    await connection.send(f"{len(connection.received)} {digest}".encode())


async def echoing(connection: Connection) -> None:
    """Sends back what comes, as it comes."""
    sent = 0
    while not connection.has_ended:
        data = connection.received[sent:]
        sent += len(data)
        await connection.send(data)
        await connection.wait_for(partial(_has_more, connection, sent))


def _has_more(connection: Connection, than: int) -> bool:
    return len(connection.received) > than


async def naming(connection: Connection) -> None:
    """Answers a line with where the line came from, and ends."""
    await connection.until(b"\n")
    await connection.send(b"you said %d bytes\n" % len(connection.received))


async def test_bytes_pass_both_ways_as_they_are_and_are_counted() -> None:
    sent = random.Random(7).randbytes(300_000)
    async with relayed(echoing) as (client, running, origin):
        client.send(sent)
        await client.wait_for(lambda: len(client.received) == len(sent))
        assert client.received == sent
    [line] = running.log
    assert (line["method"], line["target"], line["status"]) == ("TCP", origin.address, 200)
    assert (line["bytes"], line["bytes_in"]) == (len(sent), len(sent))
    assert (line["listener"], line["upstream"]) == ("relay", origin.address)


async def test_f13_who_ends_its_side_still_gets_the_answer() -> None:
    sent = random.Random(8).randbytes(200_000)
    async with relayed(answering_the_end) as (client, running, _):
        client.send(sent)
        client.end()
        answer = await client.rest()
    assert answer == f"{len(sent)} {hashlib.sha256(sent).hexdigest()}".encode()
    assert running.log[0]["status"] == 200


async def test_f13_a_server_that_ends_its_side_still_gets_the_rest() -> None:
    async def greeting(connection: Connection) -> None:
        await connection.send(b"hello")
        connection.end()
        await connection.gone()

    async with relayed(greeting) as (client, _, origin):
        assert await client.rest() == b"hello"
        client.send(b"and " * 50_000)
        client.send(b"goodbye")
        client.end()
        await origin.connections[0].gone()
    assert origin.received == b"and " * 50_000 + b"goodbye"


async def test_a_server_that_speaks_first_is_heard() -> None:
    async def greeting(connection: Connection) -> None:
        await connection.send(b"220 ready\r\n")
        await connection.gone()

    async with relayed(greeting) as (client, _, _):
        await client.until(b"220 ready\r\n")


async def test_a_reset_passes_as_a_reset() -> None:
    async def resetting(connection: Connection) -> None:
        await connection.until(b"now")
        connection.reset()

    async with relayed(resetting) as (client, running, _):
        client.send(b"now")
        await client.rest()
        assert client.was_reset
    assert running.log[0]["failure"] == "connection_terminated"
    assert running.log[0]["side"] == "upstream"

    async with relayed(silent) as (client, running, origin):
        client.send(b"x")
        await origin.connected()
        await origin.connections[0].until(b"x")
        client.reset()
        await origin.connections[0].gone()
    assert origin.connections[0].was_reset
    assert (running.log[0]["failure"], running.log[0]["side"]) == ("connection_terminated", "downstream")
    assert running.log[0]["status"] == 0  # it left; 502 would blame the server


async def test_servers_take_turns_and_a_dead_one_costs_nobody_an_answer() -> None:
    dead = f"127.0.0.1:{await free_port()}"
    async with (
        RawOrigin(naming) as one,
        RawOrigin(naming) as other,
        product(relay(one.address, dead, other.address)) as running,
    ):
        for _ in range(12):
            async with RawClient(running.address()) as client:
                client.send(b"hello\n")
                assert await client.rest() == b"you said 6 bytes\n"
        lines = await running.logged(12)
    assert len(one.connections) + len(other.connections) == 12
    assert sum(line["attempts"] == 2 for line in lines) == 3  # then it was ejected
    assert {line["target"] for line in lines} == {one.address, other.address}


async def test_when_no_server_can_be_reached_the_client_is_cut_off_with_one_line() -> None:
    dead = f"127.0.0.1:{await free_port()}"
    async with client_of(relay(dead, dead.replace("127.0.0.1", "127.0.0.2"))) as (client, running):
        client.send(b"hello")
        assert await client.rest() == b""
    [line] = running.log
    assert (line["status"], line["failure"], line["attempts"]) == (502, "connection_refused", 2)
    assert line["detail"].endswith("refused the connection; is it running?")


async def test_a_conversation_in_which_nothing_moves_ends() -> None:
    async with RawOrigin(silent) as origin:
        config = settings(relay(origin.address), timeouts={"tunnel_timeout_s": 0.3})
        async with client_of(config) as (client, running):
            client.send(b"hello")
            await client.rest()
        [line] = running.log
    assert line["notes"]["why"] == "nothing moved in the tunnel for 0.3 s"


async def test_who_may_not_connect_is_cut_off_with_a_note() -> None:
    async with relayed(silent, allow_from=["127.0.0.2"]) as (refused_client, running, origin):
        await refused_client.rest()
        async with RawClient(running.address(), source="127.0.0.2") as client:
            client.send(b"x")
            await origin.connected()
            await origin.connections[0].until(b"x")
        [refused, served] = await running.logged(2)
    assert (refused["status"], refused["notes"]["filter"], refused["notes"]["rule"]) == (403, "allow", "allow_from")
    assert served["status"] == 200


async def test_unix_sockets_on_both_sides(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    server = await asyncio.start_unix_server(serve, inner)
    async with server, client_of(relay_config([f"unix:{inner}"], [f"unix:{outer}"])) as (client, running):
        client.send(b"hello")
        client.end()
        assert await client.rest() == b"HELLO"
    [line] = running.log
    assert (line["target"], line["client"], line["bytes"]) == (f"unix:{inner}", "unix:", 5)


# --- TLS -------------------------------------------------------------------------------------------------------------


async def tls_server(pair: Pair, *protocols: str) -> asyncio.Server:
    """Says in capitals what it is sent up to a line feed, and which protocol was agreed on."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    if protocols:
        context.set_alpn_protocols(list(protocols))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        writer.write(line.upper() + str(chosen).encode())
        await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)


def with_authority(config: Config, file: str) -> Config:
    return replace(config, upstreams=tuple(replace(upstream, ca_file=file) for upstream in config.upstreams))


async def test_tls_is_added_for_a_server_that_demands_it(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    server = await tls_server(authority.issue("127.0.0.1"), "http/1.1")
    port = server.sockets[0].getsockname()[1]
    config = with_authority(relay(f"tls://127.0.0.1:{port}"), authority.file)
    async with server, client_of(config) as (client, running):
        client.send(b"hello\n")
        client.end()  # which TLS could not pass on without ending the answer too
        assert await client.rest() == b"HELLO\nNone"
    assert running.log[0]["target"] == f"tls://127.0.0.1:{port}"


async def test_a24_a_server_with_a_bad_certificate_is_not_spoken_to(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    server = await tls_server(authority.issue("other.example"))
    port = server.sockets[0].getsockname()[1]
    async with server:
        async with client_of(with_authority(relay(f"tls://127.0.0.1:{port}"), authority.file)) as (client, running):
            client.send(b"hello\n")
            assert await client.rest() == b""
        assert (running.log[0]["status"], running.log[0]["failure"]) == (502, "tls_certificate_error")
        async with client_of(relay(f"tls://127.0.0.1:{port}", verify=False)) as (client, _):
            client.send(b"hello\n")
            assert await client.rest() == b"HELLO\nNone"


async def test_tls_is_taken_off_before_a_server_that_speaks_none(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    pair = authority.issue("127.0.0.1")
    async with RawOrigin(naming) as origin:
        config = relay(origin.address, tls_certificate=pair.certificate, tls_key=pair.key)
        async with product(config) as running:
            host, _, port = running.address().rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port), ssl=authority.client())
            writer.write(b"hello\n")
            assert await reader.read() == b"you said 6 bytes\n"
            writer.close()
            await writer.wait_closed()
    assert running.log[0]["status"] == 200


# --- loops -----------------------------------------------------------------------------------------------------------


async def test_a22_a_name_that_turns_out_to_be_the_relay_itself_is_refused() -> None:
    port = await free_port()
    async with NameServer(lambda name, kind: Reply(("127.0.0.1",) if kind == 1 else ())) as names:
        config = settings(
            relay_config([f"server.example:{port}"], [f"127.0.0.1:{port}"]), dns={"servers": [names.address]}
        )
        async with client_of(config) as (client, running):
            client.send(b"hello")
            await client.rest()
    [line] = running.log
    assert (line["status"], line["failure"]) == (508, "proxy_loop_detected")


async def test_relays_may_stand_in_a_row() -> None:
    async with (
        RawOrigin(naming) as origin,
        product(relay(origin.address)) as inner,
        product(relay(inner.address())) as outer,
        RawClient(outer.address()) as client,
    ):
        client.send(b"hello\n")
        assert await client.rest() == b"you said 6 bytes\n"


# --- the PROXY protocol ----------------------------------------------------------------------------------------------


async def address_of_client(connection: Connection) -> None:
    """Answers with the first line that came, which a relay has put there."""
    await connection.until(b"\r\n")
    await connection.send(connection.received.partition(b"\r\n")[0])


async def test_a_relay_passes_on_who_its_proxy_says_the_client_is() -> None:
    options = {"proxy_protocol_from": ["127.0.0.1"], "send_proxy_protocol": "v1"}
    async with relayed(address_of_client, **options) as (client, running, _):
        client.send(b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\nhello")
        assert await client.rest() == b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 443"
    [line] = running.log
    assert line["client"] == "2001:db8::7"


async def test_a11_a_line_from_a_stranger_is_what_it_sent_and_nothing_more() -> None:
    header = b"PROXY TCP4 198.51.100.7 203.0.113.9 40000 443\r\n"
    async with relayed(address_of_client, proxy_protocol_from=["127.0.0.2"]) as (client, running, _):
        client.send(header)
        assert await client.rest() == header[:-2]
    assert running.log[0]["client"] == "127.0.0.1"


@pytest.mark.parametrize("role", ["relay", "gateway"])
async def test_a11_who_is_to_send_a_line_and_does_not_is_cut_off_with_a_note(role: str) -> None:
    async with RawOrigin(silent) as origin:
        config = config_of(
            {
                "listener": [
                    {"address": LOCAL[0], "role": role, "upstream": "u", "proxy_protocol_from": ["127.0.0.0/8"]}
                ],
                "upstream": [{"name": "u", "servers": [origin.address]}],
            }
        )
        async with client_of(config) as (client, running):
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await client.rest() == b""
        [line] = running.log
    assert (line["status"], line["client"], line["notes"]["rule"]) == (400, "127.0.0.1", "proxy_protocol_from")
    assert not origin.connections


async def test_a11_allow_from_judges_the_client_that_the_header_names() -> None:
    async with RawOrigin(naming) as origin:
        config = relay(origin.address, proxy_protocol_from=["127.0.0.1"], allow_from=["198.51.100.0/24"])
        async with product(config) as running:
            for host, answer in (("198.51.100.7", b"you said 6 bytes\n"), ("203.0.113.7", b"")):
                async with RawClient(running.address()) as client:
                    client.send(f"PROXY TCP4 {host} 127.0.0.1 40000 443\r\nhello\n".encode())
                    assert await client.rest() == answer
            lines = await running.logged(2)
    assert [(line["client"], line["status"]) for line in lines] == [("198.51.100.7", 200), ("203.0.113.7", 403)]


async def test_connections_are_counted_for_who_made_them() -> None:
    """Two clients behind one proxy: the limit of connections is the proxy's, or a header could get around it."""
    async with RawOrigin(silent) as origin:
        config = settings(
            relay(origin.address, proxy_protocol_from=["127.0.0.1"]), limits={"max_connections_per_client": 1}
        )
        async with product(config) as running:
            for number in (1, 2):  # one after the other: the first is counted off again
                async with RawClient(running.address()) as client, RawClient(running.address()) as second:
                    client.send(b"PROXY TCP4 198.51.100.%d 127.0.0.1 40000 443\r\nx" % number)
                    await second.rest()
                    await origin.connected(number)
                    await origin.connections[-1].until(b"x")
                await running.when(lambda: running.counters["connections"] == 0)
    assert [line["client"] for line in running.log] == ["198.51.100.1", "198.51.100.2"]


async def test_a_gateway_forwards_the_client_that_the_header_names_also_before_tls(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    pair = authority.issue("127.0.0.1")
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(answer)

    async with RawOrigin(script) as origin:
        config = config_of(
            {
                "listener": [
                    {
                        "address": LOCAL[0],
                        "role": "gateway",
                        "upstream": "u",
                        "proxy_protocol_from": ["127.0.0.1"],
                        "tls": {"certificate": pair.certificate, "key": pair.key},
                    }
                ],
                "upstream": [{"name": "u", "servers": [origin.address]}],
            }
        )
        async with product(config) as running:
            host, _, port = running.address().rpartition(":")
            loop = asyncio.get_running_loop()
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"PROXY TCP4 198.51.100.7 203.0.113.9 40000 443\r\n")
            await writer.drain()
            transport = await loop.start_tls(
                writer.transport, writer.transport.get_protocol(), authority.client(), server_hostname="127.0.0.1"
            )
            assert transport is not None
            transport.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).endswith(b"ok")
            transport.close()
    [request] = origin.requests()
    assert request.values("x-forwarded-for") == ["198.51.100.7"]
    assert running.log[0]["client"] == "198.51.100.7"
