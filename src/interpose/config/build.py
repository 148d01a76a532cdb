"""From a configuration to what runs: the only place where filters, handlers and servers are constructed.

`chains` gives, for each listener, the handler that answers its requests: its filters in the order of their phases,
around its router or its end. Which filters, and in which order, `config.steps` decides.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import replace

from interpose.config import balancing, experiments, routing, scripts, steps, through
from interpose.config.caches import redis_addresses
from interpose.config.faults import in_words, of_connections
from interpose.config.interception import interception_of, is_intercepted, origin_tls
from interpose.config.load import name_of
from interpose.config.means import Means as Means
from interpose.config.model import (
    HTTP_ROLES,
    OPEN_ROLES,
    Config,
    Listener,
    Route,
    Upstream,
)
from interpose.config.names import resolver_of, services_of
from interpose.config.origins import origin_of
from interpose.config.parts import Parts
from interpose.config.steps import Step, listener_steps, route_steps, routes_of
from interpose.core.handler import Handler, chain
from interpose.engine.client import Dial, OriginClient, UpstreamClient
from interpose.engine.failover import Failover
from interpose.engine.group_client import GroupClient, ServerClient
from interpose.engine.interception import Interception
from interpose.engine.live_group import Reach
from interpose.engine.mirror import Copies, Mirror
from interpose.engine.router import Match, Router
from interpose.engine.upstream_proxies import Through
from interpose.net.address import parse_address
from interpose.net.policy import AddressPolicy

GATEWAY_ANSWER_TIMEOUT_S = 60.0
PROXY_ANSWER_TIMEOUT_S = 300.0
SOCKS_STEPS = ("access log", "interception", "allow", "auth", "access", "block lists", "limit", "destination")
"""What decides about a SOCKS request, in this order, by the parts that the filters of these names are made of."""


class RoutePlan(NamedTuple):
    """What happens to the requests of one route of one listener, for people."""

    listener: str
    route: str
    steps: list[tuple[str, str, str]]
    end: str


def plan(config: Config) -> list[RoutePlan]:
    """Every route of every listener with its filters in order. ValueError where a file that they need is broken."""
    plans = []
    parts = Parts()
    for listener in config.listeners:
        if listener.role not in (*HTTP_ROLES, *OPEN_ROLES):
            what = "every datagram" if listener.udp else "every connection"
            around = _connection_steps(listener)
            if listener.role == "relay":
                around += scripts.message_steps(config, listener, parts)
            plans.append(RoutePlan(listener.name, what, around, listener.role))
            continue
        if of_connections(listener):
            plans.append(RoutePlan(listener.name, "every connection", _connection_steps(listener), listener.role))
        outer = listener_steps(config, listener, parts)
        for step in outer:
            if step.name in ("auth", "interception", "script"):
                step.make()
        if listener.role in ("socks", "auto"):
            spoken = [step for step in outer if step.name in SOCKS_STEPS]
            plans.append(_plan(listener, "every SOCKS request", spoken, routing.open_end_in_words(listener)))
        if listener.role in ("proxy", "auto"):
            every = "every request" if listener.role == "proxy" else "every HTTP request"
            inner = route_steps(config, listener, None, parts)
            plans.append(_plan(listener, every, outer + inner, routing.open_end_in_words(listener)))
        if listener.role in OPEN_ROLES:
            continue
        if listener.redirect_to_https != "off":
            plans.append(_plan(listener, "every request", outer, "never reached: all are sent to HTTPS"))
            continue
        for route in routes_of(config, listener):
            inner = route_steps(config, listener, route, parts)
            plans.append(_plan(listener, _title(route), outer + inner, routing.end_in_words(config, route)))
    return plans


def _plan(listener: Listener, route: str, steps: list[Step], end: str) -> RoutePlan:
    return RoutePlan(
        listener.name, route, [(step.phase.name, step.name, step.detail) for step in steps if step.detail], end
    )


def _title(route: Route) -> str:
    """What a route is called, and what it takes where the name does not say that."""
    takes = name_of(route)
    return route.name if takes == route.name or takes == "/*" else f"{route.name} ({takes})"


def _connection_steps(listener: Listener) -> list[tuple[str, str, str]]:
    """What stands before the server of a listener, for people."""
    faults = listener.faults if listener.udp else of_connections(listener)
    return [("DATAGRAM" if listener.udp else "CONNECTION", "faults", in_words(faults))] if faults else []


class Handlers(NamedTuple):
    """What answers on a listener: for its clients, and for requests of the instance's own (`config.deliveries`), which
    pass no access log and no rule about who may come."""

    clients: Handler
    own: Handler
    interception: Interception | None = None


def handlers_of(config: Config, listener: Listener, means: Means) -> Handlers:
    """The handlers for everything that reaches `listener`."""
    if listener.role in OPEN_ROLES:
        end = proxy_end(config, listener, means)
        inner = chain([step.make() for step in route_steps(config, listener, None, means.parts)], end)
    else:
        routes = []
        for route in routes_of(config, listener):
            end = route_end(config, route, means)
            inside = route_steps(config, listener, route, means.parts)
            routes.append((routing.match_of(route), chain([step.make() for step in inside], end)))
        takes_all = len(routes) == 1 and routes[0][0]._replace(name="") == Match()
        inner = routes[0][1] if takes_all else Router(routes)
    outer = listener_steps(config, listener, means.parts)
    return Handlers(
        chain([step.make() for step in outer], inner),
        chain([step.make() for step in outer if step.name == "forwarding"], inner),
        looks_into(config, listener, means),
    )


def proxy_end(config: Config, listener: Listener, means: Means) -> Handler:
    """The end of a proxy: the origin or tunnel that the client names."""
    interception = looks_into(config, listener, means)
    join = None if interception is None else interception.join
    direct = OriginClient(proxy_client(config, listener, means), join)
    choice = through.choice_of(config, listener, means)
    return direct if choice is None else Through(direct, choice, join)


def looks_into(config: Config, listener: Listener, means: Means) -> Interception | None:
    """What looks into the tunnels that clients of a proxy open, the same for HTTP and SOCKS; None when nothing does."""
    if not is_intercepted(config, listener):
        return None
    client = proxy_client(config, listener, means)
    return interception_of(config, listener, means.parts, means.tunnels, client)


def proxy_client(config: Config, listener: Listener, means: Means) -> UpstreamClient:
    """The client for the origins that the clients of a proxy name, with its pool."""
    return means.parts.get(
        UpstreamClient,
        (
            replace(listener, faults=()),
            config.connections,
            config.dns,
            config.timeouts.tunnel_timeout_s,
            origin_tls(config, means.parts) if is_intercepted(config, listener) else None,
        ),
        lambda: UpstreamClient(
            means.dial_for(config, listener),
            means.parser,
            means.tunnels,
            config.connections,
            answer_timeout_s=PROXY_ANSWER_TIMEOUT_S,
            stream_timeout_s=config.timeouts.tunnel_timeout_s,
            configured=False,
        ),
    )


def route_end(config: Config, route: Route, means: Means) -> Handler:
    """The end of a gateway's route."""
    own = routing.own_end(route, means.parts)
    if own is not None:
        return own
    others = {name: upstream_end(config, name, means) for name in experiments.upstreams_of(config, route)}
    return experiments.switched(upstream_end(config, route.upstream, means), others)


def upstream_end(config: Config, name: str, means: Means) -> Handler:
    """The end that an upstream is: its servers, another upstream while they are down, copies for a third one."""
    upstream = next(upstream for upstream in config.upstreams if upstream.name == name)
    end = servers_end(config, upstream, means)
    if upstream.backup:
        assert isinstance(end, GroupClient)
        second = upstream_end(config, upstream.backup, means)
        end = Failover(end, second, asyncio.get_running_loop().time)
    if upstream.mirror:
        end = Mirror(
            end,
            upstream_end(config, upstream.mirror, means),
            means.parts.get(Copies, upstream.name, Copies),
            share=upstream.mirror_share,
            max_body_bytes=upstream.max_mirror_body_bytes,
            random=random.random,
        )
    return end


def servers_end(config: Config, upstream: Upstream, means: Means) -> Handler:
    """The servers of an upstream by themselves."""
    client = upstream_client(config, upstream, means)
    if not balancing.is_group(upstream):
        return ServerClient(client, origin_of(upstream.servers[0]))
    live = balancing.group_of(
        upstream, means.parts, reach_of(config, upstream, means, means.dial_for(config, upstream))
    )
    return GroupClient(client, live, balancing.key_of(upstream))


def reach_of(config: Config, upstream: Upstream, means: Means, dial: Dial) -> Reach:
    """How the servers of an upstream are looked up, and checked with `dial`."""
    services = services_of(config, means.parts) if upstream.srv else None
    return Reach(dial, upstream_client(config, upstream, means), resolver_of(config, means.parts), services)


def upstream_client(config: Config, upstream: Upstream, means: Means) -> UpstreamClient:
    """The client for the servers of an upstream, with its pool."""
    connections = config.connections_of(upstream)
    return means.parts.get(
        UpstreamClient,
        (upstream.verify, upstream.ca_file, connections, config.dns, config.timeouts.tunnel_timeout_s),
        lambda: UpstreamClient(
            means.dial_for(config, upstream),
            means.parser,
            means.tunnels,
            connections,
            answer_timeout_s=GATEWAY_ANSWER_TIMEOUT_S,
            stream_timeout_s=config.timeouts.tunnel_timeout_s,
            configured=True,
        ),
    )


def address_policy(config: Config, listener: Listener, addresses: Iterable[str]) -> AddressPolicy:
    """What the clients of a proxy may make us reach. `addresses` are the real ones of all listeners."""
    shown = [table.address for table in (config.console, config.metrics) if table is not None]
    return AddressPolicy(
        loopback_only=steps.is_loopback_only(listener),
        allow=listener.allow_upstream,
        own=[parse_address(address) for address in addresses],
        forbidden=[*redis_addresses(config), *map(parse_address, shown)],
    )
