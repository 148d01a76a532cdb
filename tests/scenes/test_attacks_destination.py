"""A19 to A23: a proxy that is made to go where its clients must not: private addresses, odd ports, itself.

Decoys listen where nobody may get; they must not see so much as a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from tests.support.name_server import NameServer, Reply
from tests.support.product import product, settings
from tests.support.program import interpose
from tests.support.raw_client import RawClient, ask
from tests.support.raw_origin import OK, RawOrigin, answering

from interpose import Config, ConfigError, gateway_config, proxy_config
from interpose.config.load import config_of
from interpose.config.steps import destination_of

LOCAL = ["127.0.0.1:0"]

# Every way to write an address of this machine, or one that no client of a proxy for others may reach.
SPELLINGS = [
    "127.0.0.1", "127.0.0.1.", "127.0.0.2", "127.255.255.254", "127.1", "127.0.1", "127.000.000.001", "0127.0.0.1",
    "0177.0.0.1", "0177.0.0.01", "0x7f.0.0.1", "0x7f.1", "0x7F000001", "0x7f000001", "2130706433", "02130706433",
    "017700000001", "4294967297", "127.0.0.1.nip.example", "0", "0.0.0.0", "0.0.0.1", "0x0", "localhost",
    "LOCALHOST", "LocalHost", "localhost.", "sub.localhost", "localhost.localdomain", "ip6-localhost", "[::1]", "[::]",
    "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::0001]", "[::ffff:127.0.0.1]",
    "[::FFFF:7f00:1]", "[::ffff:7f00:0001]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::7f00:1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:7f00:0001::1]",
    "[::ffff:0:127.0.0.1]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "169.254.169.254", "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]", "0xa9fea9fe", "2852039166", "metadata.google.internal", "100.100.100.200", "10.0.0.1",
    "172.16.0.1", "192.168.0.1", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255",
    "private.test", "mixed.test", "cname.test",
]  # fmt: skip


@asynccontextmanager
async def decoys(hosts: tuple[str, ...] = ("127.0.0.1", "::1", "127.0.0.2")) -> AsyncIterator[list[RawOrigin]]:
    """Origins on one and the same port of several addresses."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(RawOrigin(answering(OK), hosts[0]))
        others = [
            await stack.enter_async_context(RawOrigin(answering(OK), host, first.port))
            for host in hosts[1:]
            if ":" not in host or has_ipv6()
        ]
        yield [first, *others]


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


@pytest.fixture
def wide() -> Iterator[None]:
    """A listener is taken for one that others can reach, as its policy goes; it listens on loopback all the same."""
    with patch("interpose.config.steps.is_loopback_only", return_value=False):
        yield


async def status_of(address: str, method: str, target: str) -> int:
    """The status of one request for `target`, which may be anything."""
    written = target if method == "CONNECT" else f"http://{target}/"
    async with RawClient(address) as client:
        client.send(f"{method} {written} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        [answer] = await client.answers(method)
    return answer.status


# --- A19 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"])
@pytest.mark.parametrize("guard", ["", "allow_from", "auth"])
def test_a19_a_proxy_for_others_says_who_may_use_it_or_does_not_start(address: str, guard: str, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("anna:$2b$04$abcdefghijklmnopqrstuuQfX8D2TP1hE0BKBdV5yPqXDBfNKZpLG\n")
    guards: dict[str, dict[str, Any]] = {
        "": {},
        "allow_from": {"allow_from": ["192.0.2.0/24"]},
        "auth": {"auth": str(users)},
    }
    tables = {"listener": [{"role": "proxy", "address": address, **guards[guard]}]}
    if guard:
        assert config_of(tables).listeners[0].address == address
        return
    with pytest.raises(ConfigError, match="say who may with allow_from"):
        config_of(tables)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:0", "localhost:0", "[::1]:0", "unix:/tmp/x.sock", "127.0.0.9:0", "127.1.2.3:0"]
)
def test_a19_a_proxy_for_this_machine_needs_no_guard(address: str) -> None:
    assert config_of({"listener": [{"role": "proxy", "address": address}]}).listeners[0].address == address


def test_a19_the_program_refuses_in_words_and_with_status_2(tmp_path: Path) -> None:
    ended = interpose("proxy", "--listen", "0.0.0.0:0", "--state", str(tmp_path))
    assert ended.returncode == 2
    assert "--allow-from" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout


@pytest.mark.parametrize("role", ["proxy", "gateway"])
async def test_a19_clients_of_other_networks_are_refused(role: str) -> None:
    listener: dict[str, Any] = {"role": role, "name": "main", "address": LOCAL[0], "allow_from": ["127.0.0.2/32"]}
    async with RawOrigin(answering(OK)) as origin:
        tables: dict[str, Any] = {"listener": [listener]}
        if role == "gateway":
            listener["upstream"] = "up"
            tables["upstream"] = [{"name": "up", "servers": [origin.address]}]
        async with product(config_of(tables)) as running:
            request = f"GET http://{origin.address}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            stranger = await ask(running.address(), request, source="127.0.0.1")
            assert origin.connections == []
            friend = await ask(running.address(), request, source="127.0.0.2")
            tunnel = f"CONNECT {origin.address} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            refused = await ask(running.address(), tunnel, "CONNECT", source="127.0.0.1")
    assert (stranger.status, friend.status, refused.status) == (403, 200, 403)
    assert [line.get("notes", {}).get("filter") for line in running.log] == ["allow", None, "allow"]
    assert len(origin.connections) == 1


# --- A20 -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("wide")
async def test_a20_no_spelling_of_a_private_address_gets_through() -> None:
    def answer(name: str, kind: int) -> Reply:
        """A hostile name server: every name, numbers that only look like addresses included, is on this machine."""
        return Reply(("127.0.0.1", "::1", "10.0.0.1") if name != "mixed.test" else ("127.0.0.2", "::ffff:127.0.0.1"), 0)

    assert len(SPELLINGS) >= 60
    async with decoys() as listening, NameServer(answer) as names:
        config = settings(proxy_config(LOCAL), dns={"servers": [names.address]}, connections={"connect_timeout_s": 0.5})
        # On a wide listener tunnels lead to 443 only; here it is the addresses that are tried.
        config = config_of(
            {
                "dns": {"servers": [names.address]},
                "listener": [
                    {"name": "main", "role": "proxy", "address": LOCAL[0], "connect_ports": [listening[0].port]}
                ],
            }
        )
        statuses: dict[tuple[str, str], int] = {}
        async with product(config) as running:
            for host, method in itertools.product(SPELLINGS, ("GET", "CONNECT")):
                statuses[method, host] = await status_of(running.address(), method, f"{host}:{listening[0].port}")
        assert [origin.connections for origin in listening] == [[] for _ in listening]
    assert {key: status for key, status in statuses.items() if status not in (400, 403, 502)} == {}
    assert sum(status == 403 for status in statuses.values()) > 90
    assert all(line["detail"] for line in running.log if line["status"] == 403)


@pytest.mark.usefixtures("wide")
async def test_a20_a_name_that_moves_to_a_private_address_is_judged_by_where_it_is_now() -> None:
    """DNS rebinding: every other answer is the forbidden address, with no time to live."""
    turns = itertools.cycle(["127.0.0.9", "127.0.0.1"])
    async with (
        decoys(("127.0.0.1", "127.0.0.9")) as (forbidden, allowed),
        NameServer(lambda name, kind: Reply((next(turns),) if kind == 1 else (), 0)) as names,
    ):
        config = config_of(
            {
                "dns": {"servers": [names.address]},
                "connections": {"max_idle": 0},
                "listener": [
                    {"name": "main", "role": "proxy", "address": LOCAL[0], "allow_upstream": ["127.0.0.9/32"]}
                ],
            }
        )
        statuses = set()
        with patch("interpose.net.resolve.MIN_TTL_S", 0.0, create=True):
            async with product(config) as running:
                for _ in range(30):
                    statuses.add(await status_of(running.address(), "GET", f"rebind.test:{forbidden.port}"))
    assert forbidden.connections == []
    assert allowed.connections
    assert 200 in statuses
    assert statuses <= {200, 403}


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("allowed_answers", [True, False])
async def test_a20_of_several_addresses_only_the_allowed_ones_are_tried(allowed_answers: bool) -> None:
    async with (
        decoys(("127.0.0.1", "127.0.0.9")) as (forbidden, allowed),
        NameServer(
            lambda name, kind: Reply(("127.0.0.1", "127.0.0.9", "10.0.0.1") if kind == 1 else ("::1",))
        ) as names,
    ):
        if not allowed_answers:
            await allowed.__aexit__(None, None, None)
        config = config_of(
            {
                "dns": {"servers": [names.address]},
                "listener": [
                    {"name": "main", "role": "proxy", "address": LOCAL[0], "allow_upstream": ["127.0.0.9/32"]}
                ],
            }
        )
        async with product(config) as running:
            status = await status_of(running.address(), "GET", f"several.test:{forbidden.port}")
    assert status == (200 if allowed_answers else 502)
    assert forbidden.connections == []


async def test_a20_a_proxy_for_this_machine_reaches_loopback_but_never_metadata() -> None:
    async with RawOrigin(answering(OK)) as origin, product(proxy_config(LOCAL)) as running:
        assert await status_of(running.address(), "GET", origin.address) == 200
        for host in (
            "169.254.169.254",
            "[fd00:ec2::254]",
            "[::ffff:169.254.169.254]",
            "[fe80::1]",
            "0.0.0.0",
            "224.0.0.1",
        ):
            for method in ("GET", "CONNECT"):
                assert await status_of(running.address(), method, f"{host}:80") == 403, host


@pytest.mark.usefixtures("wide")
async def test_a20_a_gateway_reaches_the_private_servers_that_it_was_given() -> None:
    async with RawOrigin(answering(OK)) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        assert (await ask(running.address(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).status == 200


# --- A21 -----------------------------------------------------------------------------------------------------------

PORTS = [7, 19, 21, 22, 23, 25, 53, 80, 110, 143, 389, 443, 445, 465, 587, 3306, 5432, 6379, 8443, 11211]


@asynccontextmanager
async def port_decoys() -> AsyncIterator[tuple[str, dict[int, RawOrigin]]]:
    """An origin on each of PORTS that this user may bind, at an address that no other process of tests uses."""
    host = f"127.{os.getpid() >> 8 & 255}.{os.getpid() & 255}.77"
    async with AsyncExitStack() as stack:
        listening = {}
        for port in PORTS:
            with contextlib.suppress(PermissionError):
                listening[port] = await stack.enter_async_context(RawOrigin(answering(OK), host, port))
        yield host, listening


@pytest.mark.parametrize(
    ("connect_ports", "reachable"),
    [(None, set(PORTS) - {22, 25, 465, 587, 6379}), ([443], {443}), ([443, 8443], {443, 8443}), ([22], {22})],
)
async def test_a21_tunnels_lead_to_allowed_ports_only(connect_ports: list[int] | None, reachable: set[int]) -> None:
    tables: dict[str, Any] = {"name": "main", "role": "proxy", "address": LOCAL[0]}
    if connect_ports is not None:
        tables["connect_ports"] = connect_ports
    async with port_decoys() as (host, listening), product(config_of({"listener": [tables]})) as running:
        for port in PORTS:
            status = await status_of(running.address(), "CONNECT", f"{host}:{port}")
            assert status == (403 if port not in reachable else 200 if port in listening else 502), port
    assert {port for port, origin in listening.items() if origin.connections} == reachable & set(listening)
    assert len(listening) >= 6
    refused = [line for line in running.log if line["status"] == 403]
    assert {line["notes"]["filter"] for line in refused} == {"destination"}


@pytest.mark.parametrize(
    ("address", "ports"),
    [
        ("127.0.0.1:0", None),
        ("[::1]:0", None),
        ("unix:/tmp/x.sock", None),
        ("0.0.0.0:0", (443,)),
        ("192.0.2.1:0", (443,)),
    ],
)
def test_a21_a_listener_for_others_has_443_only(address: str, ports: tuple[int, ...] | None) -> None:
    config = config_of({"listener": [{"role": "proxy", "address": address, "allow_from": ["192.0.2.0/24"]}]})
    assert destination_of(config, config.listeners[0]).connect_ports == ports


# --- A22 and A23 ---------------------------------------------------------------------------------------------------

SELVES = ["127.0.0.1", "localhost", "LOCALHOST.", "[::ffff:127.0.0.1]", "[0:0:0:0:0:ffff:7f00:1]", "self.test"]


def with_two_listeners(names: NameServer, origin: str) -> Config:
    return config_of(
        {
            "dns": {"servers": [names.address]},
            "listener": [
                {"name": "main", "role": "proxy", "address": LOCAL[0]},
                {"name": "other", "role": "gateway", "address": LOCAL[0], "upstream": "up"},
            ],
            "upstream": [{"name": "up", "servers": [origin]}],
        }
    )


@pytest.mark.parametrize("listener", ["main", "other"])
async def test_a22_a_proxy_that_is_sent_to_itself_goes_no_further(listener: str) -> None:
    """A GET shows the proxy's page, everything else is 508; no connection is made."""
    async with (
        NameServer(lambda name, kind: Reply(("127.0.0.1",) if kind == 1 else ())) as names,
        RawOrigin(answering(OK)) as origin,
        product(with_two_listeners(names, origin.address)) as running,
    ):
        port = running.address(listener).rpartition(":")[2]
        before = running.counters["connections_total"]
        seen = {}
        for host in SELVES:
            for method in ("GET", "POST", "CONNECT"):
                seen[host, method] = await status_of(running.address("main"), method, f"{host}:{port}")
        assert running.counters["connections_total"] == before + len(seen)  # ours, and none of its own
    for (_, method), status in seen.items():
        assert status == (200 if method == "GET" else 508), seen
    assert origin.connections == []


async def test_a22_a_gateway_before_itself_answers_508_after_one_more_hop() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = gateway_config([f"127.0.0.1:{port}"], [f"127.0.0.1:{port}"])
    async with product(config) as running:
        answer = await ask(running.address(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        connections = running.counters["connections_total"]
    assert (answer.status, connections) == (508, 3)
    assert [line["status"] for line in running.log] == [508, 508, 508]


@pytest.mark.parametrize(
    "via",
    [
        "1.1 interpose, 1.1 interpose",
        "1.1 interpose, 1.0 a, 1.1 interpose (x)",
        "HTTP/1.1 interpose\r\nVia: 1.1 interpose",
        "1.1  interpose, 1.1\tinterpose",
    ],
)
async def test_a22_what_has_been_here_before_is_a_loop(via: str) -> None:
    async with RawOrigin(answering(OK)) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        answer = await ask(running.address(), f"GET / HTTP/1.1\r\nHost: x\r\nVia: {via}\r\n\r\n".encode())
    assert answer.status == 508
    assert origin.connections == []


async def test_a22_a_proxy_may_lead_to_a_gateway_of_the_same_name() -> None:
    async with RawOrigin(answering(OK)) as origin, product(gateway_config([origin.address], LOCAL)) as running:
        answer = await ask(running.address(), b"GET / HTTP/1.1\r\nHost: x\r\nVia: 1.1 interpose\r\n\r\n")
    assert answer.status == 200


async def test_a23_the_control_socket_is_no_destination(tmp_path: Path) -> None:
    """The control API listens on a Unix socket; no way of writing its path is a target that a proxy accepts."""
    path = tmp_path / "control.sock"
    came = []

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_unix_server(control, path)
    encoded = str(path).replace("/", "%2F")
    targets = [
        f"unix:{path}", f"unix://{path}", f"unix://{path}/status", f"http+unix://{encoded}/status", f"unix://{encoded}/",
        f"http://unix:{path}:/status", f"http://unix:{encoded}/status", f"http://{encoded}/status", f"file://{path}",
        f"http://[unix:{path}]/", f"http://./{path}", f"http://localhost{path}",
    ]  # fmt: skip
    assert len(targets) == 12
    async with (
        server,
        NameServer(lambda name, kind: Reply(status=3)) as names,
        product(settings(proxy_config(LOCAL), dns={"servers": [names.address]})) as running,
    ):
        for target, method in itertools.product(targets, ("GET", "CONNECT")):
            async with RawClient(running.address()) as client:
                client.send(f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                [answer] = await client.answers(method)
            # The last of them is an ordinary URL of this machine's port 80, where nothing of ours is.
            assert answer.status in ((400, 502, 403) if target != targets[-1] else (400, 502)), target
    assert came == []
    assert json.dumps(running.log)
