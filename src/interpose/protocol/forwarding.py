"""What a hop does to the fields that describe the way of a message: Via, Forwarded, X-Forwarded-* (RFC 9110, 7.6; RFC
7239).

Pure functions of the message and of what is known about the client. Lines repeat for every request of a client to a
host, so `Trail` remembers them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from interpose.core.failure import Failure, Side, bad_request
from interpose.core.fields import FieldLine, field_line
from interpose.protocol import number

MAX_HOPS = 64
MAX_IDENTITY_BYTES = 8192

# What servers are told about the certificate that a client showed: by us (RFC 9440, and the fields of
# `filters/client_certificate.py`) and by other gateways.
CLIENT_CERTIFICATE: frozenset[bytes] = frozenset(
    (
        b"client-cert",
        b"client-cert-chain",
        b"ssl-client-cert",
        b"ssl-client-issuer-dn",
        b"ssl-client-subject-dn",
        b"ssl-client-verify",
        b"x-client-cert",
        b"x-client-cert-fingerprint",
        b"x-client-cert-names",
        b"x-client-cert-subject",
        b"x-client-dn",
        b"x-client-verify",
        b"x-forwarded-client-cert",
        b"x-ssl-cert",
        b"x-ssl-client-cert",
        b"x-ssl-client-dn",
        b"x-ssl-client-s-dn",
        b"x-ssl-client-verify",
    )
)

# What a client could claim about itself or about the way and target of its request. Origins believe these, so only
# trusted peers may send them (THREATS A11).
IDENTITY: frozenset[bytes] = frozenset(
    (
        *CLIENT_CERTIFICATE,
        b"cf-connecting-ip",
        b"fastly-client-ip",
        b"forwarded",
        b"true-client-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-forwarded",
        b"x-forwarded-by",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-forwarded-user",
        b"x-original-forwarded-for",
        b"x-original-url",
        b"x-originating-ip",
        b"x-real-ip",
        b"x-remote-addr",
        b"x-remote-ip",
        b"x-rewrite-url",
    )
)
_BLANKS = re.compile(rb"[ \t]+")
_APPENDED = (b"x-forwarded-for", b"forwarded")
_PSEUDONYM = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?::[0-9]{1,5})?")


class Trail(NamedTuple):
    """The identity lines for one client, host and scheme, ready to be appended."""

    lines: tuple[FieldLine, ...]
    forwarded_for: bytes
    forwarded: bytes


def trail(client_host: str, authority: str, scheme: str) -> Trail:
    """The lines an origin gets about a client at `client_host` (an IP address, or "" for a Unix socket)."""
    node = client_host or "unknown"
    quoted_node = f'"[{node}]"' if ":" in node else node
    quoted_host = f'"{authority}"' if ":" in authority else authority
    forwarded = (
        f"for={quoted_node};host={quoted_host};proto={scheme}" if authority else f"for={quoted_node};proto={scheme}"
    )
    lines = [field_line("X-Forwarded-For", node), field_line("X-Forwarded-Proto", scheme)]
    if authority:
        lines.append(field_line("X-Forwarded-Host", authority))
    lines.append(field_line("X-Real-IP", node))
    lines.append(field_line("Forwarded", forwarded))
    return Trail(tuple(lines), node.encode("ascii"), forwarded.encode("ascii"))


def with_identity(lines: list[FieldLine], ours: Trail, trusted: bool) -> list[FieldLine]:
    """The request's lines with the client's identity on them.

    From a peer that is not trusted everything that claims an identity is deleted and ours set. A trusted peer's
    claims stay, and the two lists (X-Forwarded-For, Forwarded) get our entry appended; `Failure` 431 when they grow
    beyond any honest length.
    """
    if not trusted:
        kept = [line for line in lines if line[0] not in IDENTITY]
        kept += ours.lines
        return kept
    present = {line[0] for line in lines}
    kept = [line for line in lines if line[0] not in _APPENDED]
    for key, entry in zip(_APPENDED, (ours.forwarded_for, ours.forwarded), strict=True):
        before = b", ".join([line[2] for line in lines if line[0] == key])
        if len(before) > MAX_IDENTITY_BYTES or before.count(b",") >= MAX_HOPS:
            raise bad_request(f"{key.decode()} has more than {MAX_HOPS} entries or {MAX_IDENTITY_BYTES} bytes.", 431)
        kept.append(field_line(_NAMES[key], before + b", " + entry if before else entry))
    kept += [line for line in ours.lines if line[0] not in _APPENDED and line[0] not in present]
    return kept


def via_line(minor: int, pseudonym: str) -> FieldLine:
    """Our own entry in Via."""
    if _PSEUDONYM.fullmatch(pseudonym) is None:
        raise ValueError(f"the pseudonym {pseudonym!r} is not a token; use letters, digits and -._")
    return field_line("Via", f"1.{minor} {pseudonym}")


def check_loop(lines: list[FieldLine], pseudonym: bytes) -> None:
    """`Failure` 508 when a request carries our name twice in Via: it comes back again and again (RFC 9110, 7.6.3).

    Once may be another instance of the same name further out: a proxy that leads to a gateway.
    """
    seen = 0
    for line in lines:
        if line[0] == b"via":
            for entry in line[2].split(b","):
                words = _BLANKS.split(entry.strip(b" \t"))
                seen += len(words) > 1 and words[1] == pseudonym
    if seen > 1:
        raise Failure("proxy_loop_detected", Side.DOWNSTREAM, "The request has passed through this proxy before.")


def max_forwards(lines: list[FieldLine]) -> int | None:
    """How many more hops a TRACE or OPTIONS may go, None without a valid Max-Forwards (RFC 9110, 7.6.2)."""
    for line in lines:
        if line[0] == b"max-forwards":
            return number.decimal(line[2])
    return None


_NAMES = {b"x-forwarded-for": "X-Forwarded-For", b"forwarded": "Forwarded"}
