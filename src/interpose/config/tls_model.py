"""The `[listener.tls]` table of a configuration: as whom a listener speaks TLS, and whom it asks who they are."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from interpose.config.texts import File, HostPattern, LaterFile


class TlsCertificate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several certificates, for the clients that ask for a host that it is for. Its files may be missing or
    broken: then clients that ask for these hosts are turned away and all others are served."""

    certificate: LaterFile
    """The certificate and what links it to its authority, in PEM."""

    key: LaterFile
    """The private key, in PEM, without a passphrase."""

    hosts: tuple[HostPattern, ...] = ()
    """The hosts it is used for; `*.example.com` stands for names one label deeper. Empty: those in the certificate."""

    client_certificate: Literal["", "off", "ask", "require"] = ""
    """Whether its clients must show a certificate of their own. Empty: what the listener says."""

    client_ca: File | None = None
    """Who signs the certificates of its clients, in PEM. Without it: what the listener says."""

    client_crl: File | None = None
    """Certificates of clients that have been revoked. Without it: what the listener says."""


class Tls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As whom a listener speaks TLS. Files are read again when they change; what is broken then is not used, and what
    was read before stays."""

    certificate: File | None = None
    """The certificate and what links it to its authority, in PEM."""

    key: File | None = None
    """The private key, in PEM, without a passphrase."""

    certificates: tuple[TlsCertificate, ...] = ()
    """Further certificates. A client gets the one for the host that it asks for: one that names it before one with
    `*`, and where none is for it the first one."""

    strict_sni: bool = False
    """Turn away clients that ask for a host which no certificate is for, instead of giving them the first one."""

    development: bool = False
    """Make a certificate for localhost on the spot, signed by an authority of this installation."""

    acme: bool = False
    """Have certificates ordered from the authority of `[acme]`, one for each host."""

    acme_hosts: tuple[HostPattern, ...] = ()
    """The hosts that they are ordered for. Empty: all that the routes of this listener name in full."""

    client_certificate: Literal["off", "ask", "require"] = "off"
    """Whether clients must show a certificate of their own, or may."""

    client_ca: File | None = None
    """Who signs the certificates of clients, in PEM."""

    client_crl: File | None = None
    """Certificates of clients that have been revoked (CRLs, in PEM), one list for each authority."""

    client_fields: tuple[Literal["certificate", "subject", "names", "fingerprint"], ...] = (
        "certificate",
        "subject",
        "fingerprint",
    )
    """(gateway) What of a client's certificate servers are told: `Client-Cert` (RFC 9440), `X-Client-Cert-Subject`,
    `X-Client-Cert-Names` and `X-Client-Cert-Fingerprint` (SHA-256). Clients cannot set these themselves."""

    client_user: Literal["off", "subject", "common_name", "email", "dns", "uri"] = "off"
    """What of a client's certificate is the name of the user, for log, rules and filters."""

    hsts_max_age_s: Annotated[int, Meta(ge=0, le=315_360_000)] = 0
    """(gateway) How long browsers are to use nothing but HTTPS here (`Strict-Transport-Security`). 0: not said."""

    hsts_subdomains: bool = False
    """(gateway) For all hosts below this one too."""

    hsts_preload: bool = False
    """(gateway) Agree to be in the lists that browsers are shipped with."""
