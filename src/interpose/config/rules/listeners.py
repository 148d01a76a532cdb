"""What a listener says suits its role."""

from __future__ import annotations

from collections.abc import Iterator

from interpose.config.authentication_tables import guards, named
from interpose.config.model import OPEN_ROLES, Config
from interpose.config.problem import ABSENT, shown
from interpose.config.rules.breach import ROLES_OF, Breach, Rule, applies, either, numbered
from interpose.net.address import parse_address


def _keys_suit_the_role(config: Config) -> Iterator[Breach]:
    for where, listener in numbered("listener", config.listeners):
        for key, roles in ROLES_OF.items():
            value = getattr(listener, key)
            if value not in ("", (), None, False, "off") and listener.role not in roles:
                message = f"has no meaning for role {shown(listener.role)}; take it away, or make this {either(roles)}"
                yield Breach(f"{where}.{key}", value, message, (f"{where}.role",))


def _udp_is_plain(config: Config) -> Iterator[Breach]:
    for where, listener in numbered("listener", config.listeners):
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


def _no_proxy_is_open_to_all(config: Config) -> Iterator[Breach]:
    for where, listener in numbered("listener", config.listeners):
        if not listener.address:  # reported already
            continue
        knows_users = listener.auth or guards(named(config, listener.authentication))
        is_guarded = listener.allow_from or knows_users or parse_address(listener.address).is_loopback
        if listener.role in OPEN_ROLES and not is_guarded:
            yield Breach(
                f"{where}.address",
                listener.address,
                "would let everybody who can reach this machine use it to reach others; say who may with "
                "allow_from (networks) or auth (a file of users), or listen on 127.0.0.1",
                (f"{where}.role", f"{where}.allow_from", f"{where}.auth", f"{where}.authentication", "authentication"),
            )


def _gateways_lead_somewhere(config: Config) -> Iterator[Breach]:
    for where, listener in numbered("listener", config.listeners):
        if (
            listener.role == "gateway"
            and not listener.upstream
            and listener.redirect_to_https == "off"
            and not any(applies(r, listener) for r in config.routes)
        ):
            message = "leads nowhere; give it an upstream, or add a [[route]]"
            yield Breach(where, ABSENT, message, (f"{where}.role", f"{where}.upstream", f"{where}.name", "route"))
        if listener.role in ("relay", "spool") and not listener.upstream:
            yield Breach(where, ABSENT, "leads nowhere; give it an upstream", (f"{where}.role", f"{where}.upstream"))


RULES: tuple[Rule, ...] = (
    _keys_suit_the_role,
    _udp_is_plain,
    _no_proxy_is_open_to_all,
    _gateways_lead_somewhere,
)
