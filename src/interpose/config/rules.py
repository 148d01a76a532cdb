"""What must hold between the values of a configuration, each of which is sound by itself.

A rule yields what breaks it. `needs` are the key paths that it looked at besides the one it complains about: where one
of them was reported already, and so stands at its default here, the rule has nothing to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, product, starmap
from typing import Any, NamedTuple

from interpose.config.advice import no_such
from interpose.config.faults import befallen
from interpose.config.loops import loops
from interpose.config.metrics_place import complaints as about_metrics
from interpose.config.model import NO_CACHE, OPEN_ROLES, Config, Listener, Route
from interpose.config.origins import strangers
from interpose.config.problem import ABSENT, Problem, shown
from interpose.core.fault import EXCHANGES, KINDS, complaints
from interpose.core.query import QueryError, demand, parse
from interpose.core.query.words import INBOUND, OUTBOUND
from interpose.net.address import ip_address, parse_address
from interpose.net.policy import BROADCAST, datagram_refusal, is_broadcast
from interpose.storage.redis_place import place_of


class Breach(NamedTuple):
    """A broken rule: where, the value there, what to do about it, and the other key paths it follows from."""

    where: str
    value: Any
    message: str
    needs: Sequence[str] = ()


def broken_rules(config: Config, reported: Sequence[Problem]) -> list[Problem]:
    """The problems of a configuration as a whole, but for what follows from those reported already."""
    broken = [problem.where for problem in reported]
    return [
        Problem(breach.where, breach.value, breach.message)
        for rule in _RULES
        for breach in rule(config)
        if not any(_is_at(breach.where, place) or any(_overlaps(place, n) for n in breach.needs) for place in broken)
    ]


def _is_at(place: str, table: str) -> bool:
    """Whether a key path is another, or lies below it."""
    return place == table or place.startswith((f"{table}.", f"{table}["))


def _overlaps(place: str, other: str) -> bool:
    return _is_at(place, other) or _is_at(other, place)


def _numbered(key: str, tables: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    return ((f"{key}[{number}]", table) for number, table in enumerate(tables, 1))


def _has_a_listener(config: Config) -> Iterator[Breach]:
    if not config.listeners:
        yield Breach("listener", ABSENT, "is missing; add a [[listener]] table with address and role")


def _addresses_differ(config: Config) -> Iterator[Breach]:
    seen: dict[str, str] = {}
    for where, listener in _numbered("listener", config.listeners):
        first = seen.setdefault(f"{'udp' if listener.udp else 'tcp'} {listener.address}", where)
        if first != where and not listener.address.endswith(":0"):
            message = f"is the address of {first} already; give each listener its own"
            yield Breach(f"{where}.address", listener.address, message, (f"{first}.address",))


def _names_differ(config: Config) -> Iterator[Breach]:
    named = (
        ("listener", config.listeners),
        ("upstream", config.upstreams),
        ("route", config.routes),
        ("cache", config.caches),
    )
    for key, tables in named:
        seen: dict[str, str] = {}
        for where, table in _numbered(key, tables):
            first = seen.setdefault(table.name, where) if table.name else where
            if first != where:
                yield Breach(f"{where}.name", table.name, f"is the name of {first} already; give each {key} its own")
    for where, upstream in _numbered("upstream", config.upstreams):
        if not upstream.name:
            yield Breach(f"{where}.name", "", "must not be empty: routes call an upstream by its name")


def _references_lead_somewhere(config: Config) -> Iterator[Breach]:
    upstreams = {table.name for table in config.upstreams}
    needs = [f"{where}.name" for where, _ in _numbered("upstream", config.upstreams)]
    for where, table in chain(_numbered("listener", config.listeners), _numbered("route", config.routes)):
        has_none = isinstance(table, Listener) and table.role not in _ROLES_OF["upstream"]
        if table.upstream and table.upstream not in upstreams and not has_none:
            yield Breach(f"{where}.upstream", table.upstream, no_such("upstream", table.upstream, upstreams), needs)
    listeners = {table.name: where for where, table in _numbered("listener", config.listeners)}
    needs = [f"{where}.name" for where in listeners.values()]
    users = (("route", config.routes), ("script", config.scripts), ("hold", config.holds))
    for where, table in chain.from_iterable(_numbered(key, tables) for key, tables in users):
        for number, name in enumerate(table.listeners, 1):
            if name not in listeners:
                yield Breach(f"{where}.listeners[{number}]", name, no_such("listener", name, listeners), needs)


def _holds_can_be_decided(config: Config) -> Iterator[Breach]:
    """What a query of a hold asks for is known when the hold is decided, and what it says goes together."""
    for where, hold in _numbered("hold", config.holds):
        try:
            demand(parse(hold.when), INBOUND if hold.side == "inbound" else OUTBOUND, hold.when)
        except QueryError as error:
            yield Breach(f"{where}.when", hold.when, str(error), (f"{where}.side",))
        if hold.mode == "accept" and hold.side == "outbound":
            message = 'is for requests: a client cannot be told 202 when its answer is there; use mode = "wait"'
            yield Breach(f"{where}.mode", hold.mode, message, (f"{where}.side",))


def _routes_belong_to_gateways(config: Config) -> Iterator[Breach]:
    others = {
        table.name: (f"{where}.role", table.role)
        for where, table in _numbered("listener", config.listeners)
        if table.role != "gateway"
    }
    for where, route in _numbered("route", config.routes):
        for number, name in enumerate(route.listeners, 1):
            if name in others:
                place, role = others[name]
                message = f"has the role {shown(role)}; routes belong to gateways"
                yield Breach(f"{where}.listeners[{number}]", name, message, (place,))


def _keys_suit_the_role(config: Config) -> Iterator[Breach]:
    for where, listener in _numbered("listener", config.listeners):
        for key, roles in _ROLES_OF.items():
            value = getattr(listener, key)
            if value not in ("", (), None, False, "off") and listener.role not in roles:
                message = f"has no meaning for role {shown(listener.role)}; take it away, or make this {_either(roles)}"
                yield Breach(f"{where}.{key}", value, message, (f"{where}.role",))


_ROLES_OF = {
    "upstream": ("gateway", "relay", "spool"),
    "auth": ("gateway", "proxy", "socks", "auto"),
    "trusted": ("gateway", "proxy", "auto"),
    "allow_upstream": OPEN_ROLES,
    "connect_ports": OPEN_ROLES,
    "pac_exceptions": ("proxy", "auto"),
    "cache": ("gateway", "proxy", "auto"),
    "compression": ("gateway", "proxy", "auto"),
    "udp": ("relay", "echo", "upper"),
    "show": ("relay", "echo", "upper"),
}
"""The keys that only some roles have."""


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _udp_is_plain(config: Config) -> Iterator[Breach]:
    for where, listener in _numbered("listener", config.listeners):
        for key in ("tls", "proxy_protocol_from"):
            if listener.udp and getattr(listener, key):
                message = "has no meaning with udp = true, which knows no connections; take one of them away"
                yield Breach(f"{where}.{key}", ABSENT, message, (f"{where}.udp",))
        if listener.udp and listener.address.startswith("unix:"):
            message = "is a Unix socket, which takes no datagrams here; write host:port"
            yield Breach(f"{where}.address", listener.address, message, (f"{where}.udp",))
        if listener.datagrams is not None and not (listener.role == "relay" and listener.udp):
            message = "is for relays with udp = true, and this is none; take it away"
            yield Breach(f"{where}.datagrams", ABSENT, message, (f"{where}.udp", f"{where}.role"))


def _datagrams_go_to_one_server(config: Config) -> Iterator[Breach]:
    relays = {listener.upstream for listener in config.listeners if listener.role == "relay" and listener.udp}
    for where, upstream in _numbered("upstream", config.upstreams):
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
                yield Breach(f"{where}.servers[{number}]", _bare(server), why, ("listener", f"{where}.name"))


def _servers_suit_the_role(config: Config) -> Iterator[Breach]:
    """Gateways speak HTTP to their servers, relays anything, and over UDP no TLS."""
    led_to = {table.upstream: "gateway" for table in config.routes}
    led_to |= {
        listener.upstream: "UDP relay" if listener.udp and listener.role == "relay" else listener.role
        for listener in sorted(config.listeners, key=lambda listener: listener.udp)
    }
    unfit = {"gateway": ("tcp:", "tls:"), "relay": (), "UDP relay": ("https:", "tls:", "unix:")}
    for where, upstream in _numbered("upstream", config.upstreams):
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


def _groups_are_whole(config: Config) -> Iterator[Breach]:
    for where, upstream in _numbered("upstream", config.upstreams):
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


def _relays_lead_elsewhere(config: Config) -> Iterator[Breach]:
    for loop in loops(config):
        needs = (f"{loop.relay}.address", f"{loop.relay}.upstream")
        yield Breach(loop.place, _bare(loop.server), loop.message, needs)


def _bare(server: str) -> str:
    """A relay's server as people write it: the scheme that was added to it means nothing there."""
    return server.removeprefix("http://")


def _no_proxy_is_open_to_all(config: Config) -> Iterator[Breach]:
    for where, listener in _numbered("listener", config.listeners):
        if not listener.address:  # reported already
            continue
        is_guarded = listener.allow_from or listener.auth or parse_address(listener.address).is_loopback
        if listener.role in OPEN_ROLES and not is_guarded:
            yield Breach(
                f"{where}.address",
                listener.address,
                "would let everybody who can reach this machine use it to reach others; say who may with "
                "allow_from (networks) or auth (a file of users), or listen on 127.0.0.1",
                (f"{where}.role", f"{where}.allow_from", f"{where}.auth"),
            )


def _routes_have_one_end(config: Config) -> Iterator[Breach]:
    for where, route in _numbered("route", config.routes):
        needs = (f"{where}.upstream", f"{where}.answer")
        if route.upstream and route.answer:
            yield Breach(where, ABSENT, "has both upstream and answer; keep one", needs)
        elif not route.upstream and not route.answer:
            yield Breach(where, ABSENT, "leads nowhere; give upstream or answer", needs)
        elif route.answer and route.answer.status in (204, 304) and route.answer.text:
            message = "is a status whose answer has no content; take the text away, or choose another"
            yield Breach(f"{where}.answer.status", route.answer.status, message)


def _routes_can_be_told_apart(config: Config) -> Iterator[Breach]:
    seen: dict[tuple[object, ...], str] = {}
    for where, route in _numbered("route", config.routes):
        for case in product(route.listeners or ("",), route.hosts or ("",), route.methods or ("",)):
            first = seen.setdefault((*case, route.path, route.exact), where)
            if first != where:
                message = f"takes the same requests as {first}; let them differ in listeners, hosts, path or methods"
                keys = ("listeners", "hosts", "path", "exact", "methods")
                yield Breach(where, ABSENT, message, [f"{table}.{key}" for table in (where, first) for key in keys])
                break


def _gateways_lead_somewhere(config: Config) -> Iterator[Breach]:
    for where, listener in _numbered("listener", config.listeners):
        if (
            listener.role == "gateway"
            and not listener.upstream
            and not any(_applies(r, listener) for r in config.routes)
        ):
            message = "leads nowhere; give it an upstream, or add a [[route]]"
            yield Breach(where, ABSENT, message, (f"{where}.role", f"{where}.upstream", f"{where}.name", "route"))
        if listener.role in ("relay", "spool") and not listener.upstream:
            yield Breach(where, ABSENT, "leads nowhere; give it an upstream", (f"{where}.role", f"{where}.upstream"))


def _applies(route: Route, listener: Listener) -> bool:
    return not route.listeners or listener.name in route.listeners


def _trust_is_consistent(config: Config) -> Iterator[Breach]:
    for where, upstream in _numbered("upstream", config.upstreams):
        if upstream.ca_file and not upstream.verify:
            message = "is of no use with verify = false; take one of them away"
            yield Breach(f"{where}.ca_file", upstream.ca_file, message, (f"{where}.verify",))


def _faults_fit(config: Config) -> Iterator[Breach]:
    places = [
        (f"{where}.fault", table.faults, befallen(table) if isinstance(table, Listener) else (EXCHANGES,), f"{where}.")
        for where, table in chain(_numbered("listener", config.listeners), _numbered("route", config.routes))
    ]
    for key, faults, who, above in places:
        for where, fault in _numbered(key, faults):
            needs = (f"{where}.kind", f"{above}role", f"{above}udp")
            if not set(who) & set(KINDS[fault.kind].befalls):
                known = ", ".join(kind for kind, rule in KINDS.items() if set(who) & set(rule.befalls))
                message = f"does not befall {' or '.join(who)}; here there are {known}"
                yield Breach(f"{where}.kind", fault.kind, message, needs)
            for option, message in complaints(fault):
                options = [f"{where}.{name}" for name in KINDS[fault.kind].takes]
                value = getattr(fault, option) if option else ABSENT
                yield Breach(f"{where}.{option}" if option else where, value, message, (*needs, *options))


def _caches_fit(config: Config) -> Iterator[Breach]:
    places: dict[str, str] = {}
    for where, cache in _numbered("cache", config.caches):
        if cache.name in ("", NO_CACHE):
            yield Breach(f"{where}.name", cache.name, "is no name for a cache; routes say it to have none")
        if cache.dir and cache.redis:
            message = "is for a cache that is not on disk; leave out this or dir"
            yield Breach(f"{where}.redis", place_of(cache.redis), message, (f"{where}.dir",))
        first = places.setdefault(cache.dir, where) if cache.dir else where
        if first != where:
            message = f"is the directory of {first} already; give each cache its own, or use that one"
            yield Breach(f"{where}.dir", cache.dir, message, (f"{first}.dir",))
    names = {cache.name for cache in config.caches}
    needs = [f"{where}.name" for where, _ in _numbered("cache", config.caches)]
    for where, table in chain(_numbered("listener", config.listeners), _numbered("route", config.routes)):
        is_off = isinstance(table, Route) and table.cache == NO_CACHE
        if table.cache and not is_off and table.cache not in names:
            yield Breach(f"{where}.cache", table.cache, no_such("cache", table.cache, names), needs)
    for where, route in _numbered("route", config.routes):
        listeners = [one for one in config.listeners if one.role == "gateway" and _applies(route, one)]
        if route.cache_rules and (route.cache == NO_CACHE or not (route.cache or any(one.cache for one in listeners))):
            message = 'is for a cache, and this route has none; give it cache = "NAME"'
            yield Breach(f"{where}.cache_rule", ABSENT, message, (f"{where}.cache", "listener"))


def _spools_fit(config: Config) -> Iterator[Breach]:
    places: dict[str, str] = {}
    servers = {upstream.name: upstream.servers for upstream in config.upstreams}
    for where, listener in _numbered("listener", config.listeners):
        options, needs = listener.spool, (f"{where}.role", f"{where}.spool")
        if listener.role not in ("spool", "sink"):
            if options is not None:
                message = f"has no meaning for role {shown(listener.role)}; take it away, or make this spool or sink"
                yield Breach(f"{where}.spool", ABSENT, message, (f"{where}.role",))
            continue
        if options is None or not options.dir:
            yield Breach(f"{where}.spool.dir", ABSENT, "is missing; say where files are to be kept", needs)
            continue
        first = places.setdefault(options.dir, where)
        if first != where:
            message = f"is the directory of {first} already; give each its own"
            yield Breach(f"{where}.spool.dir", options.dir, message, (*needs, f"{first}.spool"))
        for key in ("hold", "delay_s"):
            if listener.role == "sink" and (value := getattr(options, key)):
                message = "has no meaning for a sink, from where nothing is sent; take it away, or make this a spool"
                yield Breach(f"{where}.spool.{key}", value, message, needs)
        if listener.role == "spool" and len(servers.get(listener.upstream, ())) > 1:
            message = "has several servers; a spool sends to one, so that it can tell what that one has got"
            yield Breach(f"{where}.upstream", listener.upstream, message, (*needs, "upstream"))


def _metrics_fit(config: Config) -> Iterator[Breach]:
    return starmap(Breach, about_metrics(config))


_RULES: tuple[Callable[[Config], Iterator[Breach]], ...] = (
    _has_a_listener,
    _addresses_differ,
    _names_differ,
    _references_lead_somewhere,
    _routes_belong_to_gateways,
    _keys_suit_the_role,
    _udp_is_plain,
    _servers_suit_the_role,
    _datagrams_go_to_one_server,
    _groups_are_whole,
    _relays_lead_elsewhere,
    _spools_fit,
    _no_proxy_is_open_to_all,
    _routes_have_one_end,
    _routes_can_be_told_apart,
    _gateways_lead_somewhere,
    _trust_is_consistent,
    _faults_fit,
    _caches_fit,
    _holds_can_be_decided,
    _metrics_fit,
)
