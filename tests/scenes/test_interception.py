"""Looking into tunnels: what a client trusts, what an origin sees, what the log says."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bcrypt
import msgspec
import pytest
from msgspec.structs import replace
from tests.scenes.test_held import Office
from tests.support import websocket
from tests.support.intercepting import Intercepting, served_with
from tests.support.product import Product, product
from tests.support.raw_client import RawClient
from tests.support.raw_origin import OK, Connection, RawOrigin, answering
from tests.support.raw_socks import HELLO, request

import interpose
from interpose.config.explaining import Question, explanation_offline
from interpose.core.hold import Content, Verdict


@pytest.fixture
def world(tmp_path: Path) -> Intercepting:
    return Intercepting(tmp_path)


def get(origin: RawOrigin, path: str = "/") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode()


async def tunnel_note(running: Product, lines: int = 1) -> str:
    """What the log says about how the last tunnel was joined."""
    found = [line for line in await running.logged(lines) if line["method"] == "CONNECT"]
    return str(found[-1]["notes"]["interception"])


async def asked(running: Product, question: bytes) -> dict[str, Any]:
    """What a worker answers about interception."""
    answer: dict[str, Any] = msgspec.json.decode(await running.running.ask_a_worker(b"interception " + question, 5))
    return answer


async def test_requests_in_a_tunnel_pass_through_the_filters_and_share_one_verified_connection(
    world: Intercepting,
) -> None:
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin,
        product(world.config()) as running,
    ):
        async with RawClient(running.address()) as client:
            await client.tunnel(origin.address, world.client("h2", "http/1.1"))
            assert client.tls is not None
            assert client.tls.selected_alpn_protocol() == "http/1.1"
            for number in range(3):
                client.send(get(origin, f"/{number}"))
                [answer] = await client.answers("GET")
                assert (answer.status, answer.body) == (200, b"ok")
        await running.logged(4)
        counted = running.counters
    assert [request.target for request in origin.requests()] == ["/0", "/1", "/2"]
    assert len(origin.connections) == 1
    inner, tunnel = running.log[:3], running.log[3]
    assert [line["target"] for line in inner] == [f"https://{origin.address}/{number}" for number in range(3)]
    assert (tunnel["method"], tunnel["notes"]["interception"]) == ("CONNECT", "intercepted")
    assert len({line["id"] for line in running.log}) == 4
    assert (counted["intercepted_tunnels_total"], counted["minted_certificates_total"]) == (1, 1)
    assert 28 * 86400 < counted["certificate_lifetime_s"] < 30 * 86400  # that of the authority


async def test_a_reload_begins_and_ends_it_and_open_tunnels_go_on_as_they_were(world: Intercepting) -> None:
    quiet = {"log": {"access": "off"}}
    with_it = world.config(tables=quiet)
    without = replace(with_it, interception=None)
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin,
        product(without, log="") as running,
        RawClient(running.address()) as first,
        RawClient(running.address()) as second,
        RawClient(running.address()) as third,
    ):
        await first.tunnel(origin.address, world.origins.client())
        await running.running.reload(with_it)
        await second.tunnel(origin.address, world.client())
        await running.running.reload(without)
        await third.tunnel(origin.address, world.origins.client())
        for client in (first, second, third):
            client.send(get(origin))
            assert (await client.answers("GET"))[0].status == 200


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
async def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(world: Intercepting, share: float) -> None:
    """(What `product` checks.) The origin's side is closed too, whatever part of its ClientHello came."""
    hello = client_hello(world.client(), "127.0.0.1")
    for leaves_with in (RawClient.end, RawClient.reset):
        async with RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin:
            async with product(world.config()) as running:
                async with RawClient(running.address()) as client:
                    client.send(f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
                    await client.answers("CONNECT")
                    client.send(hello[: int(len(hello) * share)])
                    await client.drain()
                    leaves_with(client)
                    await client.rest()
                await running.when(lambda: running.counters["exchanges"] == 0)
            async with asyncio.timeout(5):
                for connection in origin.connections:
                    await connection.gone()


async def test_a_client_that_takes_too_long_to_begin_is_cut_off(world: Intercepting) -> None:
    hello = client_hello(world.client(), "127.0.0.1")
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin,
        product(world.config(tables={"timeouts": {"handshake_timeout_s": 0.2}})) as running,
    ):
        async with RawClient(running.address()) as client:
            client.send(f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
            await client.answers("CONNECT")
            client.send(hello[:40])
            assert await client.rest() == b""
        assert await tunnel_note(running) == "the client did not begin its handshake within 0.2 s"


def client_hello(context: ssl.SSLContext, name: str) -> bytes:
    """The first message of a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


async def test_a_connection_with_faults_is_looked_into_as_well(world: Intercepting) -> None:
    slow = {"fault": [{"kind": "latency", "latency_s": 0.01}]}
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin,
        product(world.config(listener=slow)) as running,
        RawClient(running.address()) as client,
    ):
        await client.tunnel(origin.address, world.client())
        client.send(get(origin))
        assert (await client.answers("GET"))[0].status == 200


SCRIPT = """
import interpose

@interpose.filter
async def tell(exchange, request, forward):
    response = await forward(exchange, request)
    if exchange.parent is not None:
        response.fields.set("X-Seen", f"{exchange.parent.id} {exchange.authority} {request.target}")
    return response
"""


async def test_rules_scripts_and_the_cache_see_what_is_inside_as_any_request(
    world: Intercepting, tmp_path: Path
) -> None:
    (tmp_path / "tell.py").write_text(SCRIPT)
    kept = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok"
    tables = {
        "script": [{"file": str(tmp_path / "tell.py")}],
        "access": [{"when": "path:/secret", "action": "deny"}],
        "cache": [{"name": "kept"}],
    }
    async with (
        RawOrigin(answering(kept), tls=world.origin("127.0.0.1")) as origin,
        product(world.config(tables=tables, listener={"cache": "kept"})) as running,
    ):
        async with RawClient(running.address()) as client:
            await client.tunnel(origin.address, world.client())
            answers = []
            for path in ("/a", "/a", "/secret"):
                client.send(get(origin, path))
                answers += await client.answers("GET")
        assert [answer.status for answer in answers] == [200, 200, 403]
        log = await running.logged(4)
        tunnel = next(line["id"] for line in log if line["method"] == "CONNECT")
        assert answers[0].values("x-seen") == [f"{tunnel} {origin.address} https://{origin.address}/a"]
        assert "hit" in answers[1].values("cache-status")[0]
    assert [request.target for request in origin.requests()] == ["/a"]


async def test_a24_a_protocol_that_the_client_does_not_offer_is_not_chosen_for_it(world: Intercepting) -> None:
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin,
        product(world.config()) as running,
        RawClient(running.address()) as client,
    ):
        await client.tunnel(origin.address, world.client())
        assert client.tls is not None
        assert client.tls.selected_alpn_protocol() is None
        assert client.tls.version() == "TLSv1.3"


async def test_a_client_that_speaks_another_protocol_in_tls_passes_or_is_refused_like_one_without_tls(
    world: Intercepting,
) -> None:
    only_h2 = world.origins.client("h2")
    tls = world.origin("127.0.0.1")
    tls.set_alpn_protocols(["h2"])
    async with RawOrigin(answering(OK), tls=tls) as origin:
        async with product(world.config()) as running:
            async with RawClient(running.address()) as client:
                await client.tunnel(origin.address, only_h2)
                assert client.tls is not None
                assert client.tls.selected_alpn_protocol() == "h2"
            assert await tunnel_note(running) == "passed: its client speaks h2, and no HTTP/1"
        async with product(world.config(not_tls="refuse")) as running, RawClient(running.address()) as client:
            with pytest.raises(ssl.SSLError, match="ACCESS_DENIED"):
                await client.tunnel(origin.address, only_h2)


async def test_a21_what_is_no_tls_passes_or_is_refused_as_the_configuration_says(world: Intercepting) -> None:
    async def greets(connection: Connection) -> None:
        await connection.send(b"220 ready\r\n")
        await connection.until(b"QUIT")
        await connection.send(b"221 bye\r\n")

    async def waits(connection: Connection) -> None:
        await connection.until(b"hello")
        await connection.send(b"hello yourself")

    for script, first, expected in ((greets, b"QUIT", b"221 bye\r\n"), (waits, b"hello", b"hello yourself")):
        async with RawOrigin(script) as origin, product(world.config()) as running:
            async with RawClient(running.address()) as client:
                client.send(f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
                await client.answers("CONNECT")
                if script is greets:
                    await client.until(b"220 ready")
                client.send(first)
                await client.until(expected)
            assert await tunnel_note(running) == "passed: it does not begin with TLS"
        async with RawOrigin(script) as origin, product(world.config(not_tls="refuse")) as running:
            async with RawClient(running.address()) as client:
                client.send(f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
                await client.answers("CONNECT")
                client.send(first)
                assert await client.rest() == b""
            [line] = await running.logged(1)
            assert (line["notes"]["filter"], line["notes"]["rule"]) == ("interception", "not_tls")
            assert origin.received == b""


async def test_a_rule_lets_pass_and_the_client_speaks_with_the_origin_itself(world: Intercepting) -> None:
    rules = [{"when": "host:127.0.0.1", "action": "pass"}]
    trusting_origins = world.origins.client()
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin,
        product(world.config(rule=rules)) as running,
    ):
        async with RawClient(running.address()) as client:
            await client.tunnel(origin.address, trusting_origins)
            client.send(get(origin))
            assert (await client.answers("GET"))[0].body == b"ok"
        assert await tunnel_note(running) == "passed: the rule 'host:127.0.0.1' passes it"
        assert running.counters["passed_tunnels_total"] == 1


async def test_a_rule_refuses_and_the_client_is_told_by_an_alert(world: Intercepting) -> None:
    rules = [{"when": "kind:tunnel", "action": "refuse"}]
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin,
        product(world.config(rule=rules)) as running,
    ):
        async with RawClient(running.address()) as client:
            with pytest.raises(ssl.SSLError, match="ACCESS_DENIED"):
                await client.tunnel(origin.address, world.client())
        [line] = await running.logged(1)
    assert (line["notes"]["filter"], line["notes"]["rule"]) == ("interception", "kind:tunnel")
    assert origin.received == b""


async def test_the_stricter_answer_counts_where_the_handshake_names_another_host(world: Intercepting) -> None:
    rules = [{"when": "host:127.0.0.1", "action": "pass"}, {"when": "host:secret.example", "action": "refuse"}]
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin,
        product(world.config(rule=rules)) as running,
        RawClient(running.address()) as client,
    ):
        with pytest.raises(ssl.SSLError, match="ACCESS_DENIED"):
            await client.tunnel(origin.address, world.client(), "secret.example")


async def test_explain_says_what_would_become_of_a_tunnel_and_by_which_rule(world: Intercepting) -> None:
    rules = [{"when": "user:alice", "action": "pass"}, {"when": "port:8443", "action": "refuse"}]
    config = world.config(rule=rules)
    said = []
    for url, user in (("127.0.0.1:8443", None), ("https://127.0.0.1/", "alice"), ("https://127.0.0.1/", None)):
        answer = await explanation_offline(Question(url=url, user=user), config)
        said += [(other["why"], other["refuses"]) for other in answer["others"] if other["by"] == "interception"]
    assert said == [
        ("Its tunnel would be refused: the rule 'port:8443' refuses it.", True),
        ("Its tunnel would be let through unread: the rule 'user:alice' passes it.", False),
        ("Its tunnel would be looked into: no rule says otherwise.", False),
    ]
    assert (await explanation_offline(Question(url="http://127.0.0.1/"), config))["others"] == []


async def test_a_host_that_the_authority_may_not_sign_for_passes(tmp_path: Path) -> None:
    world = Intercepting(tmp_path, permit=["example.com"])
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin,
        product(world.config()) as running,
    ):
        async with RawClient(running.address()) as client:
            await client.tunnel(origin.address, world.origins.client())
        assert await tunnel_note(running) == "passed: our authority may not sign for 127.0.0.1"


async def test_a_client_that_does_not_believe_us_is_let_through_next_time_and_that_can_be_forgotten(
    world: Intercepting,
) -> None:
    pinned = world.origins.client()
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin,
        product(world.config()) as running,
    ):
        with pytest.raises(ssl.SSLCertVerificationError):
            await handshake(running.address(), origin.address, pinned)
        assert await tunnel_note(running) == "the client did not complete the handshake"
        assert running.read_log()[0]["failure"] == "tls_alert_received"
        assert "unknown ca" in running.read_log()[0]["detail"]
        async with RawClient(running.address()) as client:
            await client.tunnel(origin.address, pinned)
            client.send(get(origin))
            assert (await client.answers("GET"))[0].body == b"ok"
        assert "this client has refused our certificate for 127.0.0.1" in await tunnel_note(running, 2)
        assert running.counters["learned_tunnels_total"] == 1
        assert any("does not believe our certificate" in record.getMessage() for record in running.records)
        [row] = (await asked(running, b"list"))["learned"]
        assert (row["client"], row["host"]) == ("127.0.0.1", "127.0.0.1")
        assert await asked(running, b"forget 127.0.0.1") == {"forgotten": 1}
        with pytest.raises(ssl.SSLCertVerificationError):
            await handshake(running.address(), origin.address, pinned)


async def test_nothing_is_learned_where_the_owner_does_not_want_that(world: Intercepting) -> None:
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin,
        product(world.config(learn_s=0)) as running,
    ):
        for _ in range(2):
            async with RawClient(running.address()) as client:
                with pytest.raises(ssl.SSLCertVerificationError):
                    await client.tunnel(origin.address, world.origins.client())


async def test_an_origin_that_asks_for_a_certificate_is_shown_the_one_meant_for_it(
    world: Intercepting, tmp_path: Path
) -> None:
    asking = world.origin("127.0.0.1")
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(world.origins.file)
    mine = world.origins.issue("somebody", client=True)
    shown = [{"hosts": ["127.0.0.1"], "certificate": mine.certificate, "key": mine.key}]
    async with (
        RawOrigin(answering(OK), tls=asking) as origin,
        product(world.config(client_certificate=shown)) as running,
        RawClient(running.address()) as client,
    ):
        await client.tunnel(origin.address, world.client())
        client.send(get(origin))
        assert (await client.answers("GET"))[0].status == 200


async def test_a_server_that_wants_the_clients_own_certificate_is_let_through_from_then_on(
    world: Intercepting,
) -> None:
    asking = world.origin("127.0.0.1")
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(world.origins.file)
    own = world.origins.client()
    own.load_cert_chain(*world.origins.issue("somebody", client=True))
    with asking_origin(asking) as address:
        request = f"GET / HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
        async with product(world.config()) as running:
            async with RawClient(running.address()) as client:
                await client.tunnel(address, world.client())
                client.send(request)
                [answer] = await client.answers("GET")
                assert (answer.status, b"certificate required" in answer.body) == (502, True), answer.body
            async with RawClient(running.address()) as client:
                await client.tunnel(address, own)
                client.send(request)
                assert (await client.answers("GET"))[0].status == 200
            assert running.counters["learned_tunnels_total"] == 1


@contextmanager
def asking_origin(tls: ssl.SSLContext) -> Iterator[str]:
    """An origin that says by an alert what it does not accept, as most servers do; the loops' own do not."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    accepted, _ = listening.accept()
                except OSError:
                    return
                with accepted, suppress(OSError), tls.wrap_socket(accepted, server_side=True) as connection:
                    while connection.recv(4096):
                        connection.sendall(OK)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        assert not thread.is_alive()


async def test_a_password_is_asked_for_the_tunnel_and_not_inside_it(world: Intercepting, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_bytes(b"alice:" + bcrypt.hashpw(b"password", bcrypt.gensalt(4)) + b"\n")
    config = world.config(auth=str(users))
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin,
        product(config) as running,
    ):
        async with RawClient(running.address()) as client:
            login = "Proxy-Authorization: Basic YWxpY2U6cGFzc3dvcmQ="
            await client.tunnel(origin.address, world.client(), field=login)
            client.send(get(origin))
            assert (await client.answers("GET"))[0].status == 200
        log = await running.logged(2)
    assert [line["user"] for line in log] == ["alice", "alice"]


async def test_a_tunnel_that_was_asked_for_in_socks_is_looked_into_as_well(world: Intercepting) -> None:
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin,
        product(world.config(socks=True)) as running,
    ):
        async with RawClient(running.address()) as client:
            client.send(HELLO + request("127.0.0.1", origin.port))
            await client.wait_for(lambda: len(client.received) == 12)
            await client.start_tls(world.client(), "127.0.0.1")
            client.send(get(origin, "/inside"))
            assert (await client.answers("GET"))[0].status == 200
        log = await running.logged(2)
    assert [line["target"] for line in log] == [f"https://{origin.address}/inside", origin.address]


async def test_a5_a_websocket_inside_passes_and_bytes_before_its_acceptance_are_no_request(
    world: Intercepting,
) -> None:
    async def echoes(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        await connection.send(websocket.acceptance(websocket.KEY))
        await connection.until(b"smuggled")
        await connection.send(b"echo")

    async with (
        RawOrigin(echoes, tls=world.origin("127.0.0.1")) as origin,
        product(world.config()) as running,
        RawClient(running.address()) as client,
    ):
        await client.tunnel(origin.address, world.client())
        client.send(websocket.handshake("/ws", origin.address) + b"GET /smuggled HTTP/1.1\r\n\r\n")
        await client.until(b"echo")
    assert [line["status"] for line in running.log if line["method"] != "CONNECT"] == [101]


async def test_a_message_of_a_websocket_inside_can_be_held_and_edited(world: Intercepting, tmp_path: Path) -> None:
    async def hears(connection: Connection) -> None:
        await connection.until(b"\r\n\r\n")
        start = len(connection.received)
        await connection.send(websocket.acceptance(websocket.KEY))
        await connection.wait_for(lambda: bool(websocket.frames(connection.received[start:])[0]))
        [heard] = websocket.frames(connection.received[start:])[0]
        await connection.send(websocket.server_frame(websocket.TEXT, b"heard " + heard.payload))
        await connection.gone()

    state = tmp_path / "state"
    (state / "held" / "desk" / "incoming").mkdir(parents=True)
    tables = {
        "process": {"name": "held", "state_dir": str(state)},
        "log": {"access": "off"},
        "hold": [{"when": "scheme:https request.body:order", "messages": True}],
    }
    office = Office()
    async with (
        RawOrigin(hears, tls=world.origin("127.0.0.1")) as origin,
        interpose.serve(world.config(tables=tables), office=office) as running,
        RawClient(running.addresses["proxy"]) as client,
    ):
        await client.tunnel(origin.address, world.client())
        client.send(websocket.handshake("/ws", origin.address))
        await client.until(b"\r\n\r\n")
        client.send(websocket.client_frame(websocket.TEXT, b"an order of 3"))
        held = await office.desk.one()
        assert held.message.target == f"https://{origin.address}/ws"
        edited = replace(held.message, content=Content.of(b"an order of 30"))
        office.desk.decide(held, Verdict.RELEASE, edited)
        await client.until(b"heard an order of 30")


A25 = {
    "another host": (b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n", 421),
    "another port": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", 421),
    "the port left out": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 421),
    "a URL of another host": (b"GET https://other.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n", 421),
    "a URL without TLS": (b"GET http://HERE/ HTTP/1.1\r\nHost: HERE\r\n\r\n", 421),
    "another tunnel": (b"CONNECT HERE HTTP/1.1\r\nHost: HERE\r\n\r\n", 400),
    "a URL of this host": (b"GET https://HERE/ HTTP/1.1\r\nHost: HERE\r\n\r\n", 200),
    "the server as a whole": (b"OPTIONS * HTTP/1.1\r\nHost: HERE\r\n\r\n", 200),
}


async def test_a25_a_request_is_for_the_server_that_was_verified_or_misdirected(world: Intercepting) -> None:
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1")) as origin,
        product(world.config()) as running,
    ):
        found = {}
        for name, (wire, _) in A25.items():
            async with RawClient(running.address()) as client:
                await client.tunnel(origin.address, world.client())
                client.send(wire.replace(b"HERE", origin.address.encode()))
                [answer] = await client.answers("GET")
                found[name] = answer.status
    assert found == {name: status for name, (_, status) in A25.items()}
    assert [request.target for request in origin.requests()] == ["/", "*"]


async def test_a25_a_session_of_one_host_is_not_resumed_with_another(world: Intercepting) -> None:
    context = world.client()
    async with (
        RawOrigin(answering(OK), tls=world.origin("127.0.0.1", "localhost")) as origin,
        product(world.config()) as running,
    ):
        sessions = {}
        for name, resumed in (("127.0.0.1", None), ("localhost", "127.0.0.1"), ("127.0.0.1", "127.0.0.1")):
            reused = await handshake(running.address(), f"{name}:{origin.port}", context, sessions.get(resumed or ""))
            sessions[name] = reused[0]
            assert reused[1] is (name == resumed)


async def handshake(
    proxy: str, authority: str, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession, bool]:
    """A session of TLS in a tunnel, and whether it is the one that was offered. (The loops' own clients have none, and
    do not say by an alert what they do not believe.)"""
    return await asyncio.to_thread(_handshake, proxy, authority, context, session)


def _handshake(
    proxy: str, authority: str, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession, bool]:
    host, _, port = proxy.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as plain:
        plain.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        assert plain.recv(1000).startswith(b"HTTP/1.1 200")
        name = authority.rpartition(":")[0]
        with context.wrap_socket(plain, server_hostname=name, session=session) as tls:
            tls.sendall(f"GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
            assert tls.recv(1000).startswith(b"HTTP/1.1 200")  # with TLS 1.3 the ticket comes after the handshake
            assert tls.session is not None
            return tls.session, bool(tls.session_reused)


def test_the_helper_serves_what_it_is_given(world: Intercepting) -> None:
    assert served_with(world.origins.issue("a.example")).verify_mode is ssl.CERT_NONE
