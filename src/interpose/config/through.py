"""The upstream proxies that the requests of a listener may go through."""

from __future__ import annotations

import os
import random
from pathlib import Path

from msgspec.structs import replace

from interpose.config.balancing import prepared_group
from interpose.config.interception import origin_tls
from interpose.config.means import Means
from interpose.config.model import Config, Listener, Upstream
from interpose.config.names import resolver_of
from interpose.config.upstream_proxy_model import UpstreamProxy
from interpose.config.urls import proxy_of
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure
from interpose.core.target import Origin
from interpose.engine.client import Dial, UpstreamClient
from interpose.engine.health_checks import CheckOptions
from interpose.engine.live_group import LiveOptions, Reach
from interpose.engine.through_proxy import ProxyServer, Resolve, ThroughProxy
from interpose.engine.upstream_proxies import Choice, Judge, Key, ProxyPool, ProxyWay
from interpose.net.address import is_name
from interpose.net.tls import ClientContexts
from interpose.upstream.group import Member
from interpose.upstream.options import GroupOptions

ANSWER_TIMEOUT_S = 300.0
CHECK_TIMEOUT_S = 2.0


def choice_of(config: Config, listener: Listener, means: Means) -> Choice | None:
    """Which of them an exchange of `listener` goes through; None where there are none. ValueError for a file of a login
    that cannot be used."""
    pools: dict[str, ProxyPool] = {}
    for table in _in_order(config):
        pools[table.name] = _pool(config, listener, table, pools.get(table.through), means)
    return Choice(pools, listener.through) if pools else None


def _in_order(config: Config) -> list[UpstreamProxy]:
    """Those first through which others are reached. (The rules of the configuration allow no circle.)"""
    waiting = list(config.upstream_proxies)
    done: list[UpstreamProxy] = []
    while waiting:
        ready = [one for one in waiting if not one.through or any(one.through == other.name for other in done)]
        if not ready:
            raise ValueError("The chains of upstream proxies lead back to themselves.")
        done += ready
        waiting = [one for one in waiting if one not in ready]
    return done


def _pool(
    config: Config, listener: Listener, table: UpstreamProxy, before: ProxyPool | None, means: Means
) -> ProxyPool:
    servers = servers_of(table)
    places = tuple(f"{'https' if one.scheme == 'https' else 'http'}://{one.host}:{one.port}" for one in servers)
    reached = Upstream(name=f"upstream proxy {table.name}", servers=places, ca_file=table.ca_file)
    dial = means.dial_for(config, reached) if before is None else before.reach
    ways = {server.origin: _way(config, table, server, before, dial, means) for server in servers}
    live = prepared_group(reached.name, _options(table, servers), means.parts, Reach(dial))
    judge = _judge(means.judge_for(config, listener), resolver_of(config, means.parts))
    return ProxyPool(table.name, live, ways, judge, _key(table))


def _way(
    config: Config, table: UpstreamProxy, server: ProxyServer, before: ProxyPool | None, dial: Dial, means: Means
) -> ProxyWay:
    contexts = ClientContexts()
    verifier = None if config.interception is None else origin_tls(config, means.parts)
    behind = ThroughProxy(
        dial,
        server,
        means.parser,
        lambda http: contexts(None, True, http=http),
        timeout_s=table.timeout_s,
        resolve=resolver_of(config, means.parts),
        secure=None if verifier is None else verifier.secure,
    )

    def client(kind: str, dial: Dial) -> UpstreamClient:
        # A chain's pools are made anew with each configuration, and what leads through them with them.
        key = (kind, replace(table, through=""), server, before, config.connections, config.dns, verifier)
        return means.parts.get(
            UpstreamClient,
            key,
            lambda: UpstreamClient(
                dial,
                means.parser,
                means.tunnels,
                config.connections,
                answer_timeout_s=ANSWER_TIMEOUT_S,
                stream_timeout_s=config.timeouts.tunnel_timeout_s,
                configured=True,
            ),
        )

    return ProxyWay(server, client("to a proxy", dial), client("behind a proxy", behind), behind)


def servers_of(table: UpstreamProxy) -> list[ProxyServer]:
    """The proxies, with what they are told about who asks."""
    login = None
    if table.login_file is not None:
        try:
            login = Path(table.login_file).read_bytes().strip(b"\r\n")
        except OSError as error:
            raise ValueError(f"{table.login_file} cannot be read: {error.strerror}.") from None
        if b":" not in login or b"\n" in login:
            raise ValueError(f"{table.login_file} does not hold one line with user:password.")
    found = [proxy_of(url) for url in table.servers]
    return [one if one.login is not None else one._replace(login=login) for one in found]


def _options(table: UpstreamProxy, servers: list[ProxyServer]) -> LiveOptions:
    balance = "hash" if table.rotate in ("client", "user", "host", "random") else "round_robin"
    check = None
    if table.check_interval_s:
        check = CheckOptions("tcp", "/", table.check_interval_s, CHECK_TIMEOUT_S, 1, 2)
    members = [Member(server.origin) for server in servers]
    return LiveOptions(members, GroupOptions(balance, eject_failures=1), check=check)  # type: ignore[arg-type]


def _key(table: UpstreamProxy) -> Key | None:
    def client(exchange: Exchange, origin: Origin) -> bytes:
        return exchange.client.host.encode()

    def user(exchange: Exchange, origin: Origin) -> bytes:
        return (exchange.user or exchange.client.host).encode()

    def host(exchange: Exchange, origin: Origin) -> bytes:
        return origin.host.encode()

    def lot(exchange: Exchange, origin: Origin) -> bytes:
        return random.randbytes(8)

    return {"each": None, "client": client, "user": user, "host": host, "random": lot}[table.rotate]


def _judge(judge: Judge, resolve: Resolve) -> Judge:
    """Judges addresses, and names of this machine; what only a proxy will look up it cannot.

    Of a name every address must pass: which of them the proxy will take, nobody here can say.
    """
    ours = {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", os.uname().nodename.lower()}

    async def judged(origin: Origin) -> None:
        host = origin.host.lower().rstrip(".")
        if not is_name(host):
            await judge(origin)
        elif host in ours or host.endswith(".localhost"):
            try:
                addresses = await resolve(host)
            except Failure:  # nobody but the proxy knows it
                return
            for address in addresses:
                await judge(origin._replace(host=str(address)))

    return judged
