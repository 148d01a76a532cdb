"""A19 to A23 for SOCKS, over TCP and UDP: it goes nowhere where the proxy for HTTP does not go.

Spellings, ports and decoys are those of `test_attacks_destination`; the bytes of SOCKS are written by hand.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from tests.scenes.test_attacks_destination import LOCAL, PORTS, SELVES, SPELLINGS, decoys, port_decoys
from tests.support.name_server import NXDOMAIN, NameServer, Reply
from tests.support.product import product, settings
from tests.support.program import interpose
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, RawOrigin, answering
from tests.support.raw_socks import (
    HELLO,
    Datagrams,
    association,
    came,
    code_of,
    datagram,
    login,
    request,
    request_4,
)

from interpose import ConfigError
from interpose.config.load import config_of
from interpose.config.steps import destination_of

USERS = "ann:$2b$04$14J0ko8z6XFtMuC3vUxFzO8rFIHeYSHQgogaBraW4cZ7DOiCwV12q\n"  # pass word
ROLES = pytest.mark.parametrize("role", ["socks", "auto"])
NOT_ALLOWED, UNREACHABLE, REJECTED_4 = 2, 4, 91


@pytest.fixture
def wide() -> Iterator[None]:
    """A listener is taken for one that others can reach, as its policy goes; it listens on loopback all the same."""
    with patch("interpose.config.steps.is_loopback_only", return_value=False):
        yield


def configured(role: str = "socks", *, tables: dict[str, Any] | None = None, **keys: Any) -> Any:
    return config_of({"listener": [{"name": "main", "role": role, "address": LOCAL[0], **keys}], **(tables or {})})


# --- A19 -----------------------------------------------------------------------------------------------------------


@ROLES
@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:1080"])
@pytest.mark.parametrize("guard", ["", "allow_from", "auth"])
def test_a19_a_socks_server_for_others_says_who_may_use_it(address: str, guard: str, role: str, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(USERS)
    guards: dict[str, dict[str, Any]] = {
        "": {},
        "allow_from": {"allow_from": ["192.0.2.0/24"]},
        "auth": {"auth": str(users)},
    }
    tables = {"listener": [{"role": role, "address": address, **guards[guard]}]}
    if guard:
        assert config_of(tables).listeners[0].address == address
        return
    with pytest.raises(ConfigError, match="say who may with allow_from"):
        config_of(tables)


def test_a19_interpose_socks_refuses_in_words_and_with_status_2(tmp_path: Path) -> None:
    ended = interpose("socks", "--listen", "0.0.0.0:0", "--state", str(tmp_path))
    assert ended.returncode == 2
    assert "--allow-from" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout


@ROLES
async def test_a19_socks_clients_of_other_networks_are_refused(role: str) -> None:
    async with (
        RawOrigin(answering(OK)) as origin,
        product(configured(role, allow_from=["127.0.0.2/32"])) as running,
    ):
        for asked in (request("127.0.0.1", origin.port), request_4("127.0.0.1", origin.port)):
            assert await code_of(running.address(), asked, source="127.0.0.1") == -1
            assert len(origin.connections) == (asked[0] == 4)
            assert await code_of(running.address(), asked, source="127.0.0.2") in (0, 90)
    assert sorted(line["notes"].get("filter", "") for line in running.log) == ["", "", "allow", "allow"]


@ROLES
async def test_a19_a_user_is_known_before_anything_is_asked(role: str, tmp_path: Path) -> None:
    """Neither a wrong password, nor none, nor a request that does not wait for the verdict reaches anything."""
    users = tmp_path / "users"
    users.write_text(USERS)
    async with RawOrigin(answering(OK)) as origin, product(configured(role, auth=str(users))) as running:
        asked = request("127.0.0.1", origin.port)
        for said, answered in (
            (b"\x05\x01\x00" + asked, b"\x05\xff"),
            (b"\x05\x01\x02" + login(b"ann", b"wrong") + asked, b"\x05\x02\x01\x01"),
            (b"\x05\x01\x02" + login(b"ann:pass", b"word") + asked, b"\x05\x02\x01\x01"),
            (b"\x05\x01\x02" + login(b"", b"") + asked, b"\x05\x02\x01\x01"),
            (b"\x05\x02\x00\x02" + asked, b"\x05\x02\x01\x01"),
            (request_4("127.0.0.1", origin.port, b"ann"), b"\x00\x5b" + bytes(6)),
        ):
            async with RawClient(running.address()) as client:
                client.send(said)
                assert await client.rest() == answered
        assert origin.connections == []
        async with RawClient(running.address()) as client:
            client.send(b"\x05\x01\x02" + login(b"ann", b"pass word") + asked)
            assert (await came(client, 14))[:7] == b"\x05\x02\x01\x00\x05\x00\x00"
    assert all(line["status"] in (400, 407) for line in running.log[:-1])


@ROLES
async def test_a37_passwords_cannot_be_guessed_in_numbers(role: str, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(USERS)

    async def tried(password: bytes) -> bytes:
        async with RawClient(running.address()) as client:
            client.send(b"\x05\x01\x02" + login(b"ann", password))
            return (await came(client, 4))[2:4]

    async with product(configured(role, auth=str(users))) as running:
        assert [await tried(b"guess %d" % number) for number in range(8)] == [b"\x01\x01"] * 8
        assert await tried(b"pass word") == b"\x01\x01"  # too late: the minute has to pass
    assert [line["status"] for line in running.log] == [407] * 5 + [429] * 4


# --- A20 -----------------------------------------------------------------------------------------------------------


def asked_in_every_way(host: str, port: int) -> list[bytes]:
    """The requests that can name `host`: as an address, as a name, in version 4a."""
    asked = [request(host, port), request(host, port, as_name=True)]
    return asked if ":" in host else [*asked, request_4(host, port)]


@pytest.mark.usefixtures("wide")
@ROLES
async def test_a20_no_spelling_of_a_private_address_gets_through_socks(role: str) -> None:
    def answer(name: str, kind: int) -> Reply:
        """A hostile name server: every name, numbers that only look like addresses included, is on this machine."""
        return Reply(("127.0.0.1", "::1", "10.0.0.1") if name != "mixed.test" else ("127.0.0.2", "::ffff:127.0.0.1"), 0)

    assert len(SPELLINGS) >= 60
    codes: dict[bytes, int] = {}
    async with decoys() as listening, NameServer(answer) as names:
        port = listening[0].port
        tables = {"dns": {"servers": [names.address]}, "connections": {"connect_timeout_s": 0.5}}
        async with product(configured(role, tables=tables, connect_ports=[port])) as running:
            for host in SPELLINGS:
                for asked in asked_in_every_way(host, port):
                    codes[asked] = await code_of(running.address(), asked)
        assert [origin.connections for origin in listening] == [[] for _ in listening]
    # Not allowed, no such name, no name at all; rejected, in version 4.
    assert {asked: code for asked, code in codes.items() if code not in (NOT_ALLOWED, UNREACHABLE, 1, REJECTED_4)} == {}
    assert sum(code == NOT_ALLOWED for code in codes.values()) > 90
    assert all(line["detail"] for line in running.log)


@pytest.mark.usefixtures("wide")
async def test_a20_no_spelling_of_a_private_address_gets_a_datagram() -> None:
    def answer(name: str, kind: int) -> Reply:
        return Reply(("127.0.0.1", "::1", "10.0.0.1"), 0)

    async with Datagrams() as decoy, NameServer(answer) as names, Datagrams() as client:
        tables = {"dns": {"servers": [names.address]}}
        config = configured(tables=tables, connect_ports=[decoy.port], allow_upstream=["127.0.0.9/32"])
        async with Datagrams("127.0.0.9", decoy.port) as allowed, product(config) as running:
            async with association(running.address()) as (_, where):
                for host, as_name in itertools.product(SPELLINGS, (False, True)):
                    client.send(datagram(host, decoy.port, b"in", as_name=as_name), where)
                    # One after the other: what is sent to the allowed address comes when the one before was judged.
                    client.send(datagram("127.0.0.9", decoy.port, b"mark"), where)
                    assert (await allowed.receive())[0] == b"mark"
            [line] = await running.logged(1)
        assert decoy.is_empty()
    assert line["notes"]["filter"] == "dial"
    assert int(line["notes"]["datagrams_in"]) - int(line["notes"]["datagrams_dropped"]) == len(SPELLINGS) * 2


@pytest.mark.usefixtures("wide")
async def test_a20_of_several_addresses_socks_takes_an_allowed_one() -> None:
    """As names have them that are made to lead inside: for connections, and for datagrams."""
    addresses = ("127.0.0.1", "127.0.0.9", "10.0.0.1")
    async with (
        decoys(("127.0.0.1", "127.0.0.9")) as (forbidden, allowed),
        Datagrams("127.0.0.1", forbidden.port) as forbidden_datagrams,
        Datagrams("127.0.0.9", forbidden.port) as allowed_datagrams,
        NameServer(lambda name, kind: Reply(addresses if kind == 1 else ("::1",), 0)) as names,
    ):
        port = forbidden.port
        tables = {"dns": {"servers": [names.address]}}
        config = configured(tables=tables, allow_upstream=["127.0.0.9/32"], connect_ports=[port])
        async with product(config) as running:
            assert await code_of(running.address(), request("several.test", port)) == 0
            assert await code_of(running.address(), request_4("several.test", port)) == 90
            async with association(running.address()) as (_, where), Datagrams() as client:
                client.send(datagram("several.test", port, b"in"), where)
                assert (await allowed_datagrams.receive())[0] == b"in"
        assert forbidden_datagrams.is_empty()
    assert (len(forbidden.connections), len(allowed.connections)) == (0, 2)


async def test_a20_socks_for_this_machine_reaches_loopback_but_never_metadata() -> None:
    async with RawOrigin(answering(OK)) as origin, product(configured()) as running:
        assert await code_of(running.address(), request("127.0.0.1", origin.port)) == 0
        for host in ("169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1"):
            for asked in asked_in_every_way(host, 80):
                assert await code_of(running.address(), asked) in (NOT_ALLOWED, REJECTED_4), host


# --- A21 -----------------------------------------------------------------------------------------------------------


@ROLES
@pytest.mark.parametrize(
    ("connect_ports", "reachable"),
    [(None, set(PORTS) - {22, 25, 465, 587, 6379}), ([443, 8443], {443, 8443}), ([22], {22})],
)
async def test_a21_socks_leads_to_allowed_ports_only(
    role: str, connect_ports: list[int] | None, reachable: set[int]
) -> None:
    keys = {} if connect_ports is None else {"connect_ports": connect_ports}
    async with port_decoys() as (host, listening), product(configured(role, **keys)) as running:
        for port in PORTS:
            code = await code_of(running.address(), request(host, port))
            assert code == (NOT_ALLOWED if port not in reachable else 0 if port in listening else 5), port
            code = await code_of(running.address(), request_4(host, port))
            assert code == (90 if port in reachable and port in listening else REJECTED_4), port
    assert {port for port, origin in listening.items() if origin.connections} == reachable & set(listening)
    refused = [line for line in running.log if line["status"] == 403]
    assert {line["notes"]["filter"] for line in refused} == {"destination"}


async def test_a21_datagrams_lead_to_allowed_ports_only() -> None:
    async with Datagrams() as allowed, Datagrams() as other, Datagrams() as client:
        async with product(configured(connect_ports=[allowed.port])) as running:
            async with association(running.address()) as (_, where):
                client.send(datagram("127.0.0.1", other.port, b"no"), where)
                client.send(datagram("127.0.0.1", allowed.port, b"yes"), where)
                assert (await allowed.receive())[0] == b"yes"
            [line] = await running.logged(1)
        assert other.is_empty()
    assert (line["notes"]["filter"], line["notes"]["datagrams_dropped"]) == ("destination", "1")


@ROLES
def test_a21_a_socks_server_for_others_has_443_only(role: str) -> None:
    config = config_of({"listener": [{"role": role, "address": "0.0.0.0:0", "allow_from": ["192.0.2.0/24"]}]})
    assert destination_of(config, config.listeners[0]).connect_ports == (443,)


# --- A22 and A23 ---------------------------------------------------------------------------------------------------


@ROLES
@pytest.mark.parametrize("listener", ["main", "other"])
async def test_a22_a_socks_server_that_is_sent_to_itself_goes_no_further(role: str, listener: str) -> None:
    async with (
        NameServer(lambda name, kind: Reply(("127.0.0.1",) if kind == 1 else ())) as names,
        RawOrigin(answering(OK)) as origin,
        product(
            config_of(
                {
                    "dns": {"servers": [names.address]},
                    "listener": [
                        {"name": "main", "role": role, "address": LOCAL[0]},
                        {"name": "other", "role": "gateway", "address": LOCAL[0], "upstream": "up"},
                    ],
                    "upstream": [{"name": "up", "servers": [origin.address]}],
                }
            )
        ) as running,
    ):
        port = int(running.address(listener).rpartition(":")[2])
        before = running.counters["connections_total"]
        asked = [one for host in SELVES for one in asked_in_every_way(host, port)]
        for one in asked:
            assert await code_of(running.address("main"), one) in (NOT_ALLOWED, REJECTED_4), one
        assert running.counters["connections_total"] == before + len(asked)  # ours, and none of its own
        # Not by a datagram either.
        async with association(running.address("main")) as (_, where), Datagrams() as client, Datagrams() as end:
            for host in ("127.0.0.1", "localhost"):
                client.send(datagram(host, port, b"round"), where)
            client.send(datagram("127.0.0.1", end.port, b"end"), where)
            assert (await end.receive())[0] == b"end"
    assert {line["failure"] for line in running.log if "failure" in line} == {"proxy_loop_detected"}
    assert running.log[-1]["notes"]["rule"] == "proxy_loop_detected"
    assert origin.connections == []


async def test_a23_the_control_socket_is_no_destination_of_socks(tmp_path: Path) -> None:
    """The control API listens on a Unix socket; no host that SOCKS can say is its path."""
    path = tmp_path / "control.sock"
    came_in = []
    server = await asyncio.start_unix_server(lambda reader, writer: came_in.append(writer.close()), path)
    hosts = [
        f"unix:{path}", f"unix://{path}", str(path), f"{path}:", f"./{path}", f"unix:{path}:80", "/", "..",
        f"unix%3a{str(path).replace('/', '%2f')}", f"\0{path}", f"localhost{path}", f"127.0.0.1{path}",
    ]  # fmt: skip
    assert len(hosts) == 12
    async with (
        server,
        NameServer(lambda name, kind: Reply(status=NXDOMAIN)) as names,
        product(configured(tables={"dns": {"servers": [names.address]}})) as running,
    ):
        for host in hosts:
            assert await code_of(running.address(), request(host, 80, as_name=True)) in (1, UNREACHABLE), host
            assert await code_of(running.address(), request_4(host, 80)) == REJECTED_4, host
    assert came_in == []


# --- A26 -----------------------------------------------------------------------------------------------------------


@ROLES
@pytest.mark.parametrize("begins", [b"", b"\x05\xff", HELLO + b"\x05\x01\x00\x03\xff", b"\x04\x01\x01\x01\x01"])
async def test_a26_an_opening_that_drips_is_cut_off(role: str, begins: bytes) -> None:
    """The time is for the whole opening: a byte now and then does not prolong it."""
    config = settings(configured(role), timeouts={"head_timeout_s": 0.3})
    async with product(config) as running, RawClient(running.address(), deadline_s=3.0) as client:
        client.send(begins or b"\x05")
        while not client.has_ended:
            client.send(b"\x01" * bool(begins))
            await asyncio.wait([client._reading], timeout=0.02)
    [line] = running.log
    assert line["status"] == 408


@ROLES
async def test_any_bytes_get_an_end_and_harm_nobody(role: str) -> None:
    pieces = [bytes((byte,)) + rest for byte in range(0, 256, 5) for rest in (b"", b"\0" * 600, b"\xff" * 600)]
    async with RawOrigin(answering(OK)) as origin, product(configured(role)) as running:
        for piece in [*pieces, HELLO + b"\xff" * 600, HELLO + b"\0" * 600]:
            async with RawClient(running.address()) as client:
                client.send(piece)
                client.end()
                await client.rest()
        assert await code_of(running.address(), request("127.0.0.1", origin.port)) == 0
    assert len(origin.connections) == 1
