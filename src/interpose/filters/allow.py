"""Who may use a listener, by the address that the connection comes from."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler
from interpose.core.message import Request, Response

MOST_REMEMBERED = 4096

Network = IPv4Network | IPv6Network


class AllowOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which clients are served."""

    allow_from: tuple[str, ...]
    """Addresses or networks (`192.0.2.0/24`, `2001:db8::/32`) whose clients are served; others get 403."""


class Allow:
    """The filter. Raises ValueError, one sentence, for an option that is no network."""

    def __init__(self, options: AllowOptions) -> None:
        self._networks = networks(options.allow_from)
        self._rule = f"allow_from = {list(options.allow_from)}"
        self._verdicts: dict[str, bool] = {}

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """Forward, or raise the refusal. (Nothing is waited for, so this is no coroutine of its own.)"""
        host, port = exchange.client
        verdict = self._verdicts.get(host)
        if verdict is None:
            # A Unix socket has no address: the permissions of its file have decided already.
            verdict = self._remember(host, port == 0 or is_in(host, self._networks))
        if not verdict:
            why = f"{host} is in none of the networks that this listener serves."
            exchange.refused_by("allow", self._rule, why)
            raise Failure("http_request_denied", Side.DOWNSTREAM, why)
        return forward(exchange, request)

    def _remember(self, host: str, verdict: bool) -> bool:
        if len(self._verdicts) >= MOST_REMEMBERED:
            self._verdicts.clear()
        self._verdicts[host] = verdict
        return verdict


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks that `texts` name."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ip_network(text))
        except ValueError:
            raise ValueError(f"{text!r} is not an address or network{meant(text)}") from None
    return tuple(found)


def meant(text: str) -> str:
    """What somebody who wrote a host's address with a prefix may have meant, as the end of a sentence."""
    try:
        return f"; the network is written {ip_network(text, strict=False)}"
    except ValueError:
        return "; write it like 192.0.2.0/24 or 2001:db8::/32"


def is_in(host: str, allowed: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks; IPv4 written as IPv6 (`::ffff:192.0.2.1`) counts as IPv4."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in allowed)
