"""Upstreams suit who leads to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from interpose.config.advice import no_such
from interpose.config.loops import loops
from interpose.config.model import Config, Upstream
from interpose.config.origins import strangers
from interpose.config.problem import ABSENT
from interpose.config.rules.breach import Breach, Rule, numbered
from interpose.net.address import ip_address, parse_address
from interpose.net.policy import BROADCAST, datagram_refusal, is_broadcast


def _servers_suit_the_role(config: Config) -> Iterator[Breach]:
    """Gateways speak HTTP to their servers, relays anything, and over UDP no TLS."""
    led_to = {table.upstream: "gateway" for table in config.routes}
    led_to |= {
        listener.upstream: "UDP relay" if listener.udp and listener.role == "relay" else listener.role
        for listener in sorted(config.listeners, key=lambda listener: listener.udp)
    }
    unfit = {"gateway": ("tcp:", "tls:"), "relay": (), "UDP relay": ("https:", "tls:", "unix:")}
    for where, upstream in numbered("upstream", config.upstreams):
        role = led_to.get(upstream.name, "relay")
        for number, server in enumerate(upstream.servers, 1):
            if server.startswith(unfit.get(role, ())):
                message = f"is no server that a {role} can lead to; write "
                message += '"host:port"' if role == "UDP relay" else '"http://host:port" or "https://host"'
                yield Breach(f"{where}.servers[{number}]", server, message, ("listener", "route", f"{where}.name"))
        if upstream.send_proxy_protocol != "off" and role != "relay":
            message = f"belongs to upstreams of relays over TCP, and this is one of a {role}; take it away"
            needs = ("listener", "route", f"{where}.name")
            yield Breach(f"{where}.send_proxy_protocol", upstream.send_proxy_protocol, message, needs)


def _datagrams_go_to_one_server(config: Config) -> Iterator[Breach]:
    relays = {listener.upstream for listener in config.listeners if listener.role == "relay" and listener.udp}
    for where, upstream in numbered("upstream", config.upstreams):
        for number, server in enumerate(upstream.servers, 1):
            authority = server.partition("://")[2]
            if upstream.name not in relays or not authority.rpartition("]")[2].count(":"):
                continue
            host, port, _ = parse_address(authority)
            if (address := ip_address(host)) is None:
                continue
            why = datagram_refusal(address, port)
            if why is None and is_broadcast(address):
                why = BROADCAST
            if why is not None:
                yield Breach(f"{where}.servers[{number}]", bare(server), why, ("listener", f"{where}.name"))


def _groups_are_whole(config: Config) -> Iterator[Breach]:
    for where, upstream in numbered("upstream", config.upstreams):
        needs = (f"{where}.servers",)
        for key, server in strangers(upstream):
            message = "is none of the servers of this upstream; add it to servers, or take it away"
            yield Breach(f"{where}.{key}", server, message, needs)
        if upstream.hash_on != "client" and upstream.balance != "hash":
            message = 'is for balance = "hash"; add that, or take this away'
            yield Breach(f"{where}.hash_on", upstream.hash_on, message, (f"{where}.balance",))
        if upstream.sticky_key_file and not upstream.sticky_cookie:
            message = "signs a cookie, and there is none; give it a name with sticky_cookie"
            yield Breach(f"{where}.sticky_key_file", upstream.sticky_key_file, message, (f"{where}.sticky_cookie",))


def _upstreams_have_servers(config: Config) -> Iterator[Breach]:
    gateways = {route.upstream for route in config.routes}
    gateways |= {listener.upstream for listener in config.listeners if listener.role == "gateway"}
    others = {listener.upstream for listener in config.listeners if listener.role != "gateway"} - gateways
    for where, upstream in numbered("upstream", config.upstreams):
        if not upstream.servers and not upstream.srv:
            message = 'is missing; write the servers, as "http://host:port", or name services with srv'
            yield Breach(f"{where}.servers", ABSENT, message, (f"{where}.servers", f"{where}.srv"))
        if upstream.name not in others:
            continue
        for key in ("srv", "backup", "mirror", "sticky_cookie"):
            if getattr(upstream, key):
                message = "is for upstreams of gateways, and this is none; take it away"
                yield Breach(f"{where}.{key}", getattr(upstream, key), message, ("listener", f"{where}.name"))
        if upstream.check is not None and upstream.check.kind == "http":
            message = 'is for servers that speak HTTP, and a relay does not know what is spoken; write kind = "tcp"'
            yield Breach(f"{where}.check.kind", "http", message, ("listener", f"{where}.name"))


def _upstreams_stand_in_for_others(config: Config) -> Iterator[Breach]:
    """Backups and mirrors are there, and lead to an end."""
    places = dict(numbered("upstream", config.upstreams))
    named = {upstream.name: upstream for upstream in config.upstreams}
    needs = [f"{where}.{key}" for where in places for key in ("name", "backup", "mirror")]
    for where, upstream in places.items():
        for key in ("backup", "mirror"):
            name = getattr(upstream, key)
            if name and name not in named:
                yield Breach(f"{where}.{key}", name, no_such("upstream", name, named), needs)
            elif name and upstream.name in _behind(name, named):
                message = "leads back to this upstream; let it end with another one"
                yield Breach(f"{where}.{key}", name, message, needs)


def _behind(name: str, named: Mapping[str, Upstream]) -> set[str]:
    """The upstream of that name, and all that may get its requests or copies of them."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        upstream = named.get(waiting.pop())
        if upstream is not None and upstream.name not in found:
            found.add(upstream.name)
            waiting += [upstream.backup, upstream.mirror]
    return found


def _relays_lead_elsewhere(config: Config) -> Iterator[Breach]:
    for loop in loops(config):
        needs = (f"{loop.relay}.address", f"{loop.relay}.upstream")
        yield Breach(loop.place, bare(loop.server), loop.message, needs)


def bare(server: str) -> str:
    """A relay's server as people write it: the scheme that was added to it means nothing there."""
    return server.removeprefix("http://")


def _trust_is_consistent(config: Config) -> Iterator[Breach]:
    for where, upstream in numbered("upstream", config.upstreams):
        if upstream.ca_file and not upstream.verify:
            message = "is of no use with verify = false; take one of them away"
            yield Breach(f"{where}.ca_file", upstream.ca_file, message, (f"{where}.verify",))


RULES: tuple[Rule, ...] = (
    _servers_suit_the_role,
    _datagrams_go_to_one_server,
    _groups_are_whole,
    _upstreams_have_servers,
    _upstreams_stand_in_for_others,
    _relays_lead_elsewhere,
    _trust_is_consistent,
)
