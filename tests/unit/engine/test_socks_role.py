"""SOCKS over streams in memory: the same conversation however it is cut, and the order in which things are decided."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.memory_stream import SERVER, MemoryStream
from tests.support.raw_socks import HELLO, login, request, request_4

from interpose.core.exchange import Attempt, Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.stream import Address, Stream
from interpose.core.target import Origin
from interpose.engine.conversations import Conversation, ConversationServer
from interpose.engine.socks import Socks
from interpose.engine.tunnel import Tunnels

LOCAL = Address("127.0.0.1", 40000)
SUCCEEDED = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x9c\x40"


class Stage:
    """A SOCKS server in memory. It knows ann, allows every port but 22, and reaches every host but `nowhere`."""

    def __init__(self, *, users: bool = False, deadline_s: float = 10.0) -> None:
        self.decided: list[str] = []
        self.upstreams: list[MemoryStream] = []
        self.outcomes: list[Outcome] = []
        self.exchanges: list[Exchange] = []
        role = Socks(
            self.dial,
            Tunnels(3600.0),
            self.demand_port,
            opening_timeout_s=deadline_s,
            idle_timeout_s=3600.0,
            authenticate=self.authenticate if users else None,
            associate=self.associate,
        )
        self.server = ConversationServer("socks", role, 0, 3600.0)
        self.server.observe = self.observe

    def observe(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        exchange.at_end(self.outcomes.append)

    async def authenticate(self, exchange: Exchange, user: bytes, password: bytes) -> None:
        self.decided.append(f"user {user.decode('latin-1')}")
        await asyncio.sleep(0)
        if (user, password) != (b"ann", b"secret"):
            raise Failure("http_request_denied", Side.DOWNSTREAM, "Wrong.", status=407)
        exchange.user = user.decode()

    def demand_port(self, exchange: Exchange, port: int | None) -> None:
        self.decided.append(f"port {port}")
        if port == 22:
            raise Failure("http_request_denied", Side.DOWNSTREAM, "No.")

    async def dial(
        self, origin: Origin, attempt: Attempt | None = None, *, configured: bool = False, opening: bytes = b""
    ) -> Stream:
        assert not configured
        self.decided.append(f"dial {origin.host}:{origin.port}")
        await asyncio.sleep(0)
        if origin.host == "nowhere":
            raise Failure("dns_error", Side.UPSTREAM, "No such name.")
        upstream = MemoryStream(SERVER, LOCAL)
        self.upstreams.append(upstream)
        return upstream

    async def associate(self, conversation: Conversation) -> None:
        self.decided.append("associate")
        conversation.stream.write(b"associated")
        conversation.stream.close()

    def connect(self) -> MemoryStream:
        stream = MemoryStream()
        self.server(stream)
        return stream


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def heard(pieces: list[bytes], *, users: bool, pauses: bool) -> object:
    """Everything that came of a client's bytes."""
    stage = Stage(users=users)
    stream = stage.connect()
    for piece in pieces:
        stream.receive(piece)
        if pauses:
            await turns()
    await turns()
    stream.receive_end()
    await turns()
    for upstream in stage.upstreams:
        upstream.receive_end()
    await turns()
    assert stream.is_lost
    assert len(stage.outcomes) == 1
    assert stage.server.connections == set()
    [outcome] = stage.outcomes
    [exchange] = stage.exchanges
    return (
        stream.sent,
        stage.decided,
        [up.sent for up in stage.upstreams],
        outcome.status,
        exchange.asked,
        exchange.user,
    )


OPENINGS = [
    (HELLO + request("a.test", 80) + b"early", False),
    (HELLO + request("nowhere", 80), False),
    (HELLO + request("127.0.0.1", 22) + b"early", False),
    (HELLO + b"\x05\x03\x00\x01" + bytes(6), False),
    (HELLO + b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", False),
    (request_4("127.0.0.1", 80) + b"early", False),
    (request_4("a.test", 80, b"ann"), False),
    (request_4("a.test", 80, b"ann"), True),
    (b"\x05\x02\x00\x02" + login(b"ann", b"secret") + request("a.test", 80) + b"early", True),
    (b"\x05\x01\x02" + login(b"ann", b"wrong") + request("a.test", 80), True),
    (b"\x05\x01\x00" + request("a.test", 80), True),
    (b"\x05\x01\x02", False),
    (b"\x05\x00", False),
    (b"GET / HTTP/1.1\r\n\r\n", False),
    (b"\x05", False),
    (b"", False),
]


@pytest.mark.parametrize(("opening", "users"), OPENINGS)
async def test_an_opening_means_the_same_however_it_is_cut(opening: bytes, users: bool) -> None:
    whole = await heard([opening], users=users, pauses=False)
    each = [opening[place : place + 1] for place in range(len(opening))]
    assert await heard(each, users=users, pauses=False) == whole
    assert await heard(each, users=users, pauses=True) == whole
    for cut in range(1, len(opening)):
        assert await heard([opening[:cut], opening[cut:]], users=users, pauses=True) == whole


@given(
    st.sampled_from([b"", b"\x05", HELLO, HELLO + b"\x05\x01\x00\x03", b"\x04\x01", b"\x05\x01\x02\x01\x03ann"]),
    st.binary(max_size=40),
    st.booleans(),
    st.lists(st.integers(0, 60), max_size=4),
)
@settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_any_bytes_mean_the_same_however_they_are_cut(begins: bytes, rest: bytes, users: bool, at: list[int]) -> None:
    octets = begins + rest
    cuts = sorted(min(place, len(octets)) for place in at)
    pieces = [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)]

    async def both() -> None:
        whole = await heard([octets], users=users, pauses=False)
        assert await heard(pieces, users=users, pauses=True) == whole

    asyncio.run(both())


async def test_what_came_early_is_the_servers_and_what_it_says_the_clients() -> None:
    stage = Stage()
    stream = stage.connect()
    stream.receive(HELLO + request("a.test", 80) + b"early ")
    await turns()
    stream.receive(b"and late")
    [upstream] = stage.upstreams
    upstream.receive(b"answer")
    assert (upstream.sent, stream.sent) == (b"early and late", b"\x05\x00" + SUCCEEDED + b"answer")
    assert stage.decided == ["port 80", "dial a.test:80"]
    stream.receive_end()
    assert upstream.has_ended
    assert not stream.is_closed
    upstream.receive_end()
    await turns()
    [outcome] = stage.outcomes
    assert (outcome.status, outcome.body_bytes, stage.exchanges[0].asked) == (200, 6, "SOCKS5 a.test:80")


async def test_nothing_is_decided_before_who_asks_is_known() -> None:
    stage = Stage(users=True)
    stream = stage.connect()
    stream.receive(b"\x05\x01\x02" + login(b"bob", b"secret") + request("a.test", 80))
    await turns()
    assert (stream.sent, stage.decided) == (b"\x05\x02\x01\x01", ["user bob"])
    stream.receive_end()
    await turns()
    assert stage.outcomes[0].status == 407
    assert stage.exchanges[0].user is None


async def test_a_client_that_goes_while_it_is_connected_leaves_no_connection() -> None:
    stage = Stage()
    stream = stage.connect()
    stream.receive(HELLO + request("a.test", 80))
    await turns(5)  # as many as it takes to dial
    assert stage.upstreams
    stream.lose()
    await turns()
    assert all(upstream.is_lost or upstream.is_closed for upstream in stage.upstreams)
    assert len(stage.outcomes) == 1


async def test_the_reply_to_one_who_talks_on_is_not_overtaken_by_a_reset() -> None:
    """What it still sends is read and thrown away, up to a bound, and then the connection is closed in order."""
    stage = Stage()
    stream = stage.connect()
    stream.receive(HELLO + request("a.test", 22))
    await turns()
    assert stream.sent == b"\x05\x00\x05\x02\x00\x01" + bytes(6)
    assert stream.has_ended
    assert not stream.is_closed
    for _ in range(4):
        stream.receive(b"more" * 1000)
        await turns()
    assert not stream.was_aborted
    stream.receive(b"more" * 16_000)
    await turns()
    assert stream.is_closed
    assert not stream.was_aborted


@pytest.mark.parametrize("begins", [b"", b"\x05", HELLO, HELLO + b"\x05\x01", b"\x04\x01\x00\x50\x7f\x00\x00\x01user"])
async def test_an_opening_that_does_not_come_to_its_end_is_cut_off(begins: bytes) -> None:
    stage = Stage(deadline_s=0.02)
    stream = stage.connect()
    stream.receive(begins)
    ended = asyncio.Event()
    stage.exchanges[0].at_end(lambda outcome: ended.set())
    async with asyncio.timeout(5):
        await ended.wait()
    await turns()
    assert stream.was_aborted
    assert stage.outcomes[0].status == 408


async def test_who_has_asked_nothing_may_be_closed_by_a_drain_and_who_has_may_not() -> None:
    stage = Stage()
    silent, asking = stage.connect(), stage.connect()
    silent.receive(HELLO)
    asking.receive(HELLO + request("a.test", 80))
    await turns()
    assert stage.server.close_idle() == 1
    await turns()
    assert (silent.is_lost, asking.is_lost) == (True, False)
