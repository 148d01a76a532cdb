"""Whose allowance a request is taken from."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from interpose.core.exchange import Exchange
from interpose.core.message import Request
from interpose.core.query.live import cookies

KeyOf = Callable[[Exchange, Request], str]

LONGEST = 256
"""Of a value that a client made up."""


def key_of(by: str) -> KeyOf:
    """What gives the key of each request, for what a limit counts by."""
    kind, _, name = by.partition(":")
    match kind:
        case "client":
            return lambda exchange, request: client_key(exchange.client.host)
        case "user":
            return lambda exchange, request: valued(exchange, "user", exchange.user or "")
        case "host":
            return lambda exchange, request: f"host {request.target.authority.host}"
        case "field":
            return lambda exchange, request: valued(exchange, name, request.fields.get(name) or "")
        case "cookie":
            return lambda exchange, request: valued(exchange, name, cookie(request, name))
    return lambda exchange, request: "all"


def client_key(host: str) -> str:
    """A client: an IPv4 address, the network of 64 bits that an IPv6 address is in, or all of a Unix socket."""
    if ":" not in host:
        return host or "unix"
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))


def or_client(exchange: Exchange) -> str:
    """Who has not said more is one of the clients."""
    return f"client {client_key(exchange.client.host)}"


def valued(exchange: Exchange, name: str, value: str) -> str:
    """The key of what a client says of itself."""
    if not value:
        return or_client(exchange)
    if not value.isascii():  # octets that are no text must be text to be counted by others
        value = value.encode("utf-8", "backslashreplace").decode()
    return f"{name} {value[:LONGEST]}"


def cookie(request: Request, name: str) -> str:
    """The first value of a cookie."""
    return next((value for key, value in cookies(request.fields.get_all("cookie")) if key == name), "")
