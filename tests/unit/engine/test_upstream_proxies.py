"""Pools of upstream proxies: who is asked next, what they are not told, and chains."""

from __future__ import annotations

import pytest
from tests.support.memory_stream import MemoryStream
from tests.support.origins_in_memory import exchange, request

from interpose.core.exchange import Attempt, Exchange
from interpose.core.failure import Failure, Side
from interpose.core.message import Request, Response
from interpose.core.stream import Stream
from interpose.core.target import Origin
from interpose.engine.live_group import LiveGroup, LiveOptions, Reach
from interpose.engine.through_proxy import ProxyServer
from interpose.engine.upstream_proxies import ProxyPool, ProxyWay
from interpose.upstream.group import Member
from interpose.upstream.options import GroupOptions

ONE = ProxyServer("http", "one", 3128, b"ann:secret")
TWO = ProxyServer("http", "two", 3128)
SOCKS = ProxyServer("socks5", "three", 1080)
OPTIONS = GroupOptions("round_robin", eject_failures=1)


class Proxies:
    """Proxies of which some are gone, and what each was asked, with the passwords it saw."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.asked: list[tuple[str, str | None]] = []

    def way(self, server: ProxyServer) -> ProxyWay:
        def connected(attempt: Attempt) -> None:
            if server.host in self.gone:
                raise Failure("connection_refused", Side.UPSTREAM, f"Nobody listens at {server}.")
            attempt.connected = 1.0

        class Client:
            async def send(_, about: Exchange, what: Request, to: Origin, *, absolute: bool = False) -> Response:
                self.asked.append((server.host, what.fields.get("Proxy-Authorization")))
                about.attempts.append(Attempt(to, 0.0))
                connected(about.attempts[-1])
                return Response(200)

        async def dial(origin: Origin, attempt: Attempt, *, opening: bytes = b"") -> Stream:
            self.asked.append((server.host, None))
            connected(attempt)
            return MemoryStream()

        return ProxyWay(server, Client(), Client(), dial)  # type: ignore[arg-type]

    def pool(self, live: LiveGroup, *servers: ProxyServer) -> ProxyPool:
        return ProxyPool("pool", live, {one.origin: self.way(one) for one in servers}, judge, None)


async def judge(origin: Origin) -> object:
    return None


def group(*servers: ProxyServer) -> LiveGroup:
    live = LiveGroup("upstream proxy pool")
    live.configure(options(*servers))
    return live


def options(*servers: ProxyServer) -> LiveOptions:
    return LiveOptions([Member(one.origin) for one in servers], OPTIONS)


@pytest.mark.parametrize("other", [TWO, SOCKS], ids=["another proxy", "an origin behind another one"])
async def test_a_password_is_not_shown_to_who_is_asked_instead(other: ProxyServer) -> None:
    proxies, live = Proxies(), group(ONE, other)
    proxies.gone.add("one")
    pool = proxies.pool(live, ONE, other)
    for _ in range(2):
        assert (await pool.send(exchange(), request())).status == 200
    assert (other.host, None) in proxies.asked
    assert {seen for host, seen in proxies.asked if host != "one"} == {None}
    assert {seen for host, seen in proxies.asked if host == "one"} == {"Basic YW5uOnNlY3JldA=="}


async def test_f16_who_runs_on_an_older_configuration_passes_over_proxies_that_only_a_newer_one_has() -> None:
    proxies, live = Proxies(), group(ONE, TWO)
    older = proxies.pool(live, ONE)
    for _ in range(4):
        assert (await older.send(exchange(), request())).status == 200
    assert {host for host, _ in proxies.asked} == {"one"}
    live.configure(options(TWO))
    with pytest.raises(Failure, match=r"No proxy of pool"):
        await older.send(exchange(), request())
    assert live.group.active == 4  # those whose exchanges have not ended


async def test_f3_a_chain_goes_over_the_proxies_that_are_there_and_finds_those_again_that_were_gone() -> None:
    proxies, live = Proxies(), group(ONE, TWO)
    pool = proxies.pool(live, ONE, TWO)
    proxies.gone.add("one")
    for _ in range(4):
        await pool.reach(SOCKS.origin)
    assert [host for host, _ in proxies.asked].count("one") == 1
    proxies.gone.clear()
    [resting] = [server for server in live.group.servers if server.health.is_ejected]
    resting.health.until = resting.health._since = 0.0  # its rest is over
    live.group._refresh()
    await pool.reach(SOCKS.origin)
    assert not resting.health.is_ejected
    assert live.group.active == 0


async def test_f3_where_no_proxy_leads_to_the_next_one_that_one_was_not_reached() -> None:
    proxies, live = Proxies(), group(ONE)
    pool = proxies.pool(live, ONE)
    refused = Failure("http_request_denied", Side.UPSTREAM, "one does not want to.", status=403)

    async def refuse(origin: Origin, attempt: Attempt, *, opening: bytes = b"") -> Stream:
        attempt.connected = 1.0
        raise refused

    pool._ways[ONE.origin].dial = refuse  # type: ignore[assignment]
    about = Attempt(SOCKS.origin, 0.0)
    with pytest.raises(Failure) as caught:
        await pool.reach(SOCKS.origin, about)
    assert caught.value is refused
    assert about.connected == 0.0
    assert not live.group.servers[0].health.is_ejected


async def test_f15_what_was_prepared_changes_nothing_until_it_settles() -> None:
    live = group(ONE)

    async def dial(
        origin: Origin, attempt: Attempt | None = None, *, configured: bool = False, opening: bytes = b""
    ) -> Stream:
        raise AssertionError

    before = live.group.servers
    live.prepare(options(TWO), Reach(dial))
    live.tick(0.0)
    assert (live.group.servers, live.checks.dial) == (before, None)
    live.settle()
    assert [str(one.origin) for one in live.group.servers] == ["http://two:3128"]
    assert live.checks.dial is dial
