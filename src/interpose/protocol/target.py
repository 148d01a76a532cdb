"""Request targets: read in their four forms, and brought to the one spelling that everything else uses.

A path has many spellings (`/a/../b`, `/%62`, `//b`) and a rule that reads one while the origin reads another protects
nothing. So the canonical path is made once, here, and is what rules, router, cache and the next hop get to see. It
follows RFC 3986, 6.2.2: percent-encoded unreserved characters are decoded, other triplets get upper-case digits, dot
segments are removed. Nothing reserved is ever decoded: `%2F` stays `%2F`, and a route says whether it lets such a
path pass (`hazard`).

Departs from RFC 9110, 7.7, which has a proxy pass paths on untouched: the next hop gets the canonical spelling, since
a rule must have read what the origin reads. The two spellings are equivalent by RFC 3986.
"""

from __future__ import annotations

import ipaddress
import re

from interpose.core.failure import bad_request
from interpose.core.target import Authority, Form, Target
from interpose.protocol import number

# RFC 3986: unreserved, sub-delims, ":" and "@" and "/"; besides those, the visible ASCII that browsers leave as it is.
_PLAIN_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9\-._~!$&'()*+,;=:@]*)+")
_VISIBLE = re.compile(rb"[\x21\x22\x24-\x7e]+")  # everything but SP, controls, "#" and DEL
_ABSOLUTE = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#]*)([^#]*)")
_PERCENT = re.compile(r"%(..?)?", re.DOTALL)
_HEX_PAIR = re.compile(r"[0-9A-Fa-f]{2}")
_AUTHORITY = re.compile(rb"(?:([A-Za-z0-9._\-]{1,255})|\[([0-9A-Fa-f:.]{2,45})\])(?::([0-9]{0,5}))?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

# What origins are known to read differently from rules (each is a way around a rule somewhere).
_HAZARDS = {
    "%2F": "an encoded slash",
    "%5C": "an encoded backslash",
    "%00": "an encoded NUL",
    "\\": "a backslash",
    "/..;": "a dot segment with a parameter",
    "/.;": "a dot segment with a parameter",
}


def parse_authority(raw: bytes) -> Authority:
    """Host and port of a Host field or an authority-form target; `Failure` 400 for anything else."""
    match = _AUTHORITY.fullmatch(raw)
    if match is None:
        raise bad_request("The host of the request is not a host name or address with an optional port.")
    name, literal, digits = match.groups()
    port = None
    if digits:
        port = number.decimal(digits)
        if port is None or not 0 < port < 65536:
            raise bad_request("The port of the request's host is not between 1 and 65535.")
    if literal is not None:
        try:
            ipaddress.IPv6Address(literal.decode("ascii"))
        except ValueError:
            raise bad_request("The address in brackets is not an IPv6 address.") from None
        return Authority(literal.decode("ascii").lower(), port)
    host = name.decode("ascii").lower()
    if host.startswith(".") or ".." in host:
        raise bad_request("The host of the request has an empty label.")
    return Authority(host.removesuffix("."), port)


def parse_target(method: str, raw: bytes, merge_slashes: bool) -> Target:
    """The target of a request line, canonical. For origin- and asterisk-form scheme and authority are still empty."""
    if _VISIBLE.fullmatch(raw) is None:
        raise bad_request(
            "The request target has a space, a control character, a fragment or a character beyond ASCII."
        )
    if method == "CONNECT":
        authority = parse_authority(raw)
        if authority.port is None:
            raise bad_request("CONNECT needs a host and a port.")
        return Target(Form.AUTHORITY, "", authority, "")
    if raw.startswith(b"/"):
        path, query = _path_and_query(raw, merge_slashes)
        return Target(Form.ORIGIN, "", _NOWHERE, path, query)
    if raw == b"*":
        if method != "OPTIONS":
            raise bad_request("The target * is for OPTIONS only.")
        return Target(Form.ASTERISK, "", _NOWHERE, "")
    match = _ABSOLUTE.fullmatch(raw)
    if match is None:
        raise bad_request("The request target is neither a path nor a URL.")
    scheme = match[1].decode("ascii").lower()
    if scheme not in ("http", "https"):
        raise bad_request(f"The scheme {scheme} is not one that this proxy can reach; use http or https.")
    authority = parse_authority(match[2])
    rest = match[3]
    if method == "OPTIONS" and not rest:  # RFC 9112, 3.2.4: the last proxy asks its server for `*`
        return Target(Form.ABSOLUTE, scheme, authority, "")
    path, query = _path_and_query(rest if rest.startswith(b"/") else b"/" + rest, merge_slashes)
    return Target(Form.ABSOLUTE, scheme, authority, path, query)


def canonical_path(path: str, merge_slashes: bool) -> str:
    """The one spelling of `path`, which begins with a slash; `Failure` 400 for a broken percent-encoding."""
    if merge_slashes and "//" in path:
        path = _SLASHES.sub("/", path)
    if _PLAIN_PATH.fullmatch(path):
        return path
    if "%" in path:
        path = _PERCENT.sub(_canonical_triplet, path)
    if "/." in path:
        path = _without_dot_segments(path)
        if merge_slashes and "//" in path:
            path = _SLASHES.sub("/", path)
    return path


def hazard(path: str) -> str | None:
    """What in a canonical path is read differently by different servers, in words; None when there is nothing."""
    for mark, words in _HAZARDS.items():
        if mark in path:
            return words
    return None


_SLASHES = re.compile(r"//+")
_NOWHERE = Authority("")


def _path_and_query(raw: bytes, merge_slashes: bool) -> tuple[str, str | None]:
    path, mark, query = raw.decode("ascii").partition("?")
    return canonical_path(path, merge_slashes), query if mark else None


def _canonical_triplet(match: re.Match[str]) -> str:
    digits = match[1]
    if digits is None or _HEX_PAIR.fullmatch(digits) is None:
        raise bad_request("The path has a percent sign that is not followed by two hexadecimal digits.")
    character = bytes.fromhex(digits).decode("latin-1")
    return character if character in _UNRESERVED else f"%{digits.upper()}"


def _without_dot_segments(path: str) -> str:
    """RFC 3986, 5.2.4, for a path that begins with a slash."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
