"""What a person writes after `interpose get` and `--proxy`, read: pages and proxies."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from interpose.core.failure import Failure
from interpose.core.target import Authority, Target
from interpose.engine.through_proxy import ProxyServer
from interpose.net.address import parse_address
from interpose.protocol.target import parse_authority, parse_target

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_UNSAFE = re.compile(r"[^\x21-\x7e]+")
"""What a person may write in a URL although it has to be percent-encoded: spaces and everything beyond ASCII."""

_PROXY_PORTS = {"http": 8080, "https": 443, "socks5": 1080, "socks4": 1080, "socks4a": 1080}


class Page(NamedTuple):
    """Where a page is, and the `user:password` that stood before its host."""

    target: Target
    login: bytes | None


def page_of(text: str) -> Page:
    """The page that `text` names; `http` when it names no scheme. ValueError with one sentence for anything else."""
    if not text:
        raise ValueError("an empty URL names no page; write http://host/path.")
    found = _SCHEME.match(text)
    scheme, rest = (found[1].lower(), text[found.end() :]) if found else ("http", text)
    if scheme not in ("http", "https"):
        raise ValueError(f"'{text}' has the scheme {scheme}; only http and https are spoken here.")
    rest = rest.partition("#")[0]
    end = min((place for mark in "/?" if (place := rest.find(mark)) >= 0), default=len(rest))
    login, authority = _divided(rest[:end])
    if not authority:
        raise ValueError(f"'{text}' names no host; write {scheme}://host/path.")
    path = _UNSAFE.sub(lambda unsafe: quote(unsafe[0]), rest[end:])
    try:
        target = parse_target("GET", f"{scheme}://{_ascii_host(authority)}{path}".encode("ascii"), False)
    except (Failure, UnicodeError) as error:
        why = error.detail.replace("the request's ", "the ") if isinstance(error, Failure) else "Its host is no name."
        raise ValueError(f"'{text}' is not a URL. {why}") from None
    return Page(target, login)


def proxy_of(text: str) -> ProxyServer:
    """The proxy that `text` names: `http://`, `https://`, `socks5://`, `socks4a://` or `socks4://`, perhaps
    `user:password@`, a host and a port.

    ValueError with one sentence for anything else.
    """
    found = _SCHEME.match(text)
    scheme, rest = (found[1].lower(), text[found.end() :]) if found else ("http", text)
    scheme = "socks5" if scheme == "socks5h" else scheme
    if scheme not in _PROXY_PORTS:
        form = "http://host:port, https://host:port or socks5://host:port"
        raise ValueError(f"'{_without_login(text)}' is no proxy that can be spoken to; write {form}.")
    login, authority = _divided(rest.removesuffix("/"))
    has_port = ":" in authority.rpartition("]")[2]
    try:
        host, port, path = parse_address(authority if has_port else f"{authority}:{_PROXY_PORTS[scheme]}")
    except ValueError as error:
        raise ValueError(f"the proxy: {error}") from None
    if path or not authority.removesuffix(f":{port}") or port == 0:
        raise ValueError(f"'{_without_login(text)}' names no host and port of a proxy; write {scheme}://host:port.")
    return ProxyServer(scheme, host, port, login)


def host_of(value: str) -> Authority:
    """The authority in a Host field that a person wrote. ValueError with one sentence."""
    try:
        return parse_authority(_ascii_host(value).encode("ascii"))
    except (Failure, UnicodeError):
        raise ValueError(f"'{value}' is not a host with an optional port, which is all that Host may hold.") from None


def _divided(authority: str) -> tuple[bytes | None, str]:
    """User and password, if there are any, and the rest. What is percent-encoded in them is decoded."""
    before, at, host = authority.rpartition("@")
    return (unquote_to_bytes(before) if at else None), host


def _without_login(text: str) -> str:
    """`text` as it may be shown: a password has no place in a message."""
    before, slashes, rest = text.rpartition("//")
    return before + slashes + rest.rpartition("@")[2]


def _ascii_host(authority: str) -> str:
    """The host in the form in which it is looked up (`bücher.example` -> `xn--bcher-kva.example`)."""
    if authority.isascii():
        return authority
    host, colon, port = authority.partition(":")
    return host.encode("idna").decode("ascii") + colon + port
