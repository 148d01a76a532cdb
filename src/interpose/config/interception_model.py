"""The `[interception]` table of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from interpose.config.texts import File, Folder, HostPattern, LaterFile

INTERCEPTED_ROLES = ("proxy", "auto")
"""Roles in whose tunnels may be looked: those that open them and speak HTTP."""

Query = Annotated[str, Meta(extra={"kind": "query"})]


class InterceptionRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of some tunnels. The first rule that matches decides; without one they are looked into."""

    when: Query
    """Which tunnels it means, as a query: `host:*.example.com`. It is asked about the host of CONNECT and about the one
    that the client names in its TLS handshake; where the answers differ, the stricter one counts."""

    action: Literal["intercept", "pass", "refuse"]
    """`intercept` looks into them, `pass` lets the bytes through unread, `refuse` closes them."""


class ClientCertificate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate that servers are shown who ask for one, for whoever uses the proxy."""

    hosts: tuple[HostPattern, ...]
    """The servers: `example.com`, or `*.example.com` for every name below it."""

    certificate: File
    """The certificate and what links it to its authority, in PEM."""

    key: File
    """The private key, in PEM, without a passphrase."""


class Interception(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Look into the TLS that passes through proxies. Without this table nothing is."""

    dir: Folder = ""
    """Where the certificate authority is, which `interpose ca init` makes. Empty: `ca` in the state directory."""

    ca_file: File | None = None
    """Certificates of the authorities to believe servers by, in PEM, instead of the system's."""

    crl_file: File | None = None
    """Certificates of servers that were revoked, as lists of their authorities, in PEM."""

    keylog: LaterFile | None = None
    """Where to write the secrets of the TLS that is looked into, of both sides, for Wireshark: who has them and the
    packets can read what passed. Without it `$SSLKEYLOGFILE`, if that is set, and else nowhere."""

    not_tls: Literal["pass", "refuse"] = "pass"
    """What becomes of tunnels in which no TLS is spoken, or in TLS no HTTP/1 by what the client offers."""

    learn_s: Annotated[float, Meta(ge=0, le=30 * 86400)] = 3600.0
    """For how long a client that does not believe our certificate is let through, to the host that it refused it for.
    0: it is not."""

    rules: tuple[InterceptionRule, ...] = field(default=(), name="rule")
    """Which tunnels are looked into."""

    client_certificates: tuple[ClientCertificate, ...] = field(default=(), name="client_certificate")
    """Certificates for servers that ask for one."""
