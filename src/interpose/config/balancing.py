"""From an `[[upstream]]` of a gateway to the group that serves it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from interpose.config.origins import origin_of
from interpose.config.parts import Parts
from interpose.config.upstream_model import Upstream
from interpose.core.exchange import Exchange
from interpose.core.message import Request
from interpose.engine.group_client import Key
from interpose.engine.health_checks import CheckOptions
from interpose.engine.live_group import LiveGroup, LiveOptions, Reach
from interpose.engine.membership import Named, Offered, Source
from interpose.engine.sticky import Sticky
from interpose.net.address import ip_address
from interpose.protocol.cache_key import cookie
from interpose.upstream.group import Member
from interpose.upstream.options import GroupOptions

LEAST_SECRET_BYTES = 16


def is_group(upstream: Upstream) -> bool:
    """Whether there is anything to choose, count or limit: for a lone server there mostly is not, and it costs."""
    return bool(
        len(upstream.servers) > 1
        or upstream.srv
        or upstream.resolve == "each"
        or upstream.backup
        or upstream.max_active
        or upstream.max_active_total
        or upstream.drained
        or upstream.particulars
        or upstream.check
    )


def group_of(upstream: Upstream, parts: Parts, reach: Reach) -> LiveGroup:
    """The group of an upstream. What is known of its servers lives on across reloads, and so do those that are new to
    nobody: `settle` makes it what a configuration says. ValueError when its secret cannot be read."""
    return prepared_group(upstream.name, live_options(upstream), parts, reach)


def prepared_group(name: str, options: LiveOptions, parts: Parts, reach: Reach) -> LiveGroup:
    """The group of this name; a new one is like this at once, another one stays as it is until `settle`."""
    fresh: list[LiveGroup] = []

    def make() -> LiveGroup:
        fresh.append(LiveGroup(name))
        return fresh[0]

    live = parts.get(LiveGroup, name, make)
    live.prepare(options, reach)
    if fresh:
        live.settle()
    return live


def settle(parts: Parts) -> None:
    """(a configuration begins to run) Let its groups be as it says."""
    for live in parts.every(LiveGroup):
        live.settle()


def live_options(upstream: Upstream) -> LiveOptions:
    """What the table says, as the group takes it."""
    particular = {origin_of(one.address): one for one in upstream.particulars}
    members: list[Source] = []
    for origin in dict.fromkeys(origin_of(server) for server in upstream.servers):
        one = particular.get(origin)
        limit = one.max_active if one is not None and one.max_active else upstream.max_active
        member = Member(origin, 1.0 if one is None else one.weight, limit)
        is_followed = upstream.resolve == "each" and origin.scheme != "unix" and ip_address(origin.host) is None
        members.append(Named(member) if is_followed else member)
    members += [Offered(service, upstream.srv_scheme, upstream.max_active) for service in upstream.srv]
    return LiveOptions(
        members,
        GroupOptions(
            balance=upstream.balance,
            slow_start_s=upstream.slow_start_s,
            max_active=upstream.max_active_total,
            eject_failures=upstream.eject_failures,
            eject_share=upstream.eject_error_share,
            eject_s=upstream.eject_s,
            most_eject_s=upstream.most_eject_s,
            max_ejected_share=upstream.max_ejected_share,
            has_backup=bool(upstream.backup),
        ),
        retries=upstream.retries,
        max_waiting=upstream.max_waiting,
        queue_timeout_s=upstream.queue_timeout_s,
        drained=frozenset(origin_of(server) for server in upstream.drained),
        check=None if upstream.check is None else CheckOptions(*msgspec.structs.astuple(upstream.check)),
        sticky=Sticky(upstream.sticky_cookie, _secret(upstream), upstream.name) if upstream.sticky_cookie else None,
    )


def told(parts: Parts, now: float) -> bytes:
    """(in a worker) How the servers of its groups stand, for `config.live_upstreams`."""
    return msgspec.json.encode([row for live in parts.serving(LiveGroup) for row in live.group.rows(now)])


def _secret(upstream: Upstream) -> bytes:
    if upstream.sticky_key_file is None:
        return b""
    try:
        secret = Path(upstream.sticky_key_file).read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise ValueError(f"{upstream.sticky_key_file} cannot be read: {error.strerror}.") from None
    if len(secret) < LEAST_SECRET_BYTES:
        raise ValueError(
            f"{upstream.sticky_key_file} holds {len(secret)} bytes; a key has {LEAST_SECRET_BYTES} at least."
        )
    return secret


def key_of(upstream: Upstream) -> Key | None:
    """What requests are told apart by; None where that does not matter."""
    if upstream.balance != "hash":
        return None
    kind, _, name = upstream.hash_on.partition(":")
    wanted = name.encode()

    def client(exchange: Exchange, request: Request) -> bytes:
        return exchange.client.host.encode()

    def path(exchange: Exchange, request: Request) -> bytes:
        return request.target.path.encode()

    def of_cookie(exchange: Exchange, request: Request) -> bytes:
        found = cookie(request.fields.lines, wanted)
        return client(exchange, request) if found is None else found

    def of_field(exchange: Exchange, request: Request) -> bytes:
        found = request.fields.first(wanted.lower())
        return client(exchange, request) if found is None else found

    return {"client": client, "path": path, "cookie": of_cookie, "field": of_field}[kind]
