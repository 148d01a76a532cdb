"""From the `[listener.tls]` tables to certificates, and to the filters that TLS brings with it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec

from interpose.config.acme import acme_pairs, acme_steps
from interpose.config.acme_hosts import hosts_of
from interpose.config.development import development_pair
from interpose.config.interception import authorities
from interpose.config.model import HTTP_ROLES, Config, Listener, Tls
from interpose.config.parts import Parts
from interpose.config.step import Step
from interpose.config.tls_model import TlsCertificate
from interpose.core.handler import Phase
from interpose.filters.client_certificate import ClientCertificate, ClientCertificateOptions
from interpose.filters.hsts import Hsts, HstsOptions
from interpose.filters.misdirected import Misdirected
from interpose.filters.to_https import ToHttps, ToHttpsOptions
from interpose.net.certificate import Identities, Identity
from interpose.net.tls import ClientTrust

log = logging.getLogger("interpose")

TOPIC = b"certificates"
"""What workers are asked about."""


class CertificateRow(msgspec.Struct, frozen=True):
    """One certificate of a listener, for people and for monitoring."""

    listener: str
    certificate: str
    names: tuple[str, ...]
    expires: float
    """Seconds since 1970; 0.0 while there is none."""
    problem: str = ""


def identities_of(config: Config, listener: Listener, parts: Parts) -> Identities | None:
    """The certificates of a listener; None when it does not speak TLS.

    Each is kept as long as a configuration has it, and with it the sessions that its clients may resume. None of them
    has to be good: who starts a worker anew must not fail because of a file that was broken meanwhile (THREATS F19).
    """
    tls = listener.tls
    if tls is None:
        return None
    made = []
    for one in certificates_of(config, listener, tls):
        trust = trust_of(tls, one)
        key = (one.certificate, one.key, one.hosts, trust)
        made.append(parts.get(Identity, key, partial(_identity, *key)))
    return parts.get(Identities, (listener.name, tuple(made), tls.strict_sni), lambda: _several(made, tls))


def certificates_of(config: Config, listener: Listener, tls: Tls) -> Iterator[TlsCertificate]:
    """Every certificate of a listener, the first one first, wherever it is written or made."""
    if tls.certificate is not None and tls.key is not None:
        yield TlsCertificate(certificate=tls.certificate, key=tls.key)
    yield from tls.certificates
    for host, file in acme_pairs(config, listener, tls):
        yield TlsCertificate(certificate=file, key=file, hosts=(host,))
    if tls.development:
        pair = development_pair(config)
        yield TlsCertificate(certificate=pair.certificate, key=pair.key)


def trust_of(tls: Tls, one: TlsCertificate) -> ClientTrust | None:
    """Which certificates the clients of one certificate have to show; None when they are not asked for any."""
    mode = one.client_certificate or tls.client_certificate
    ca_file = one.client_ca or tls.client_ca
    if mode == "off" or ca_file is None:
        return None
    return ClientTrust(ca_file, one.client_crl or tls.client_crl, mode == "require")


def tls_steps(config: Config, listener: Listener, parts: Parts) -> list[Step]:
    """The filters of a listener that have to do with TLS, but for what servers are told (`client_fields_step`)."""
    steps = acme_steps(config, listener)
    if listener.redirect_to_https != "off":
        options = ToHttpsOptions(308 if listener.redirect_to_https == "308" else 301, listener.https_port)
        detail = f"{options.status} to port {options.port}"
        steps.append(Step(Phase.ADMIT, "to https", detail, lambda: ToHttps(options)))
    tls = listener.tls
    if tls is None or listener.role not in HTTP_ROLES:
        return steps
    if tls.hsts_max_age_s:
        told = HstsOptions(tls.hsts_max_age_s, tls.hsts_subdomains, tls.hsts_preload)
        steps.append(Step(Phase.ADMIT, "hsts", told.value, lambda: Hsts(told)))
    if listener.role == "gateway" and (tls.strict_sni or _are_several(config, listener, tls)):
        detail = "a host of another certificate gets 421"
        steps.append(
            Step(Phase.ADMIT, "misdirected", detail, lambda: Misdirected(_present(config, listener, parts).of))
        )
    if (asking := _asking_in_words(tls)) is not None:
        steps.append(
            Step(Phase.ADMIT, "client certificate", asking, lambda: _client_certificate(config, listener, parts))
        )
    return steps


def client_fields_step(config: Config, listener: Listener, parts: Parts) -> list[Step]:
    """What tells servers about the certificate of a client, where it is asked for."""
    tls = listener.tls
    if tls is None or listener.role != "gateway" or _asking_in_words(tls) is None:
        return []
    detail = ", ".join(tls.client_fields) or "nothing"
    return [Step(Phase.ADMIT, "client fields", detail, lambda: _client_certificate(config, listener, parts).tell)]


def refresh(parts: Parts) -> None:
    """Once a second: read what has changed, and say what is wrong or about to expire."""
    for identities in parts.serving(Identities):
        for warning in identities.refresh() + identities.new_warnings():
            log.warning("%s", warning)


def told(config: Config, parts: Parts) -> bytes:
    """(worker) How the certificates of all listeners stand, as JSON."""
    rows = [
        CertificateRow(listener.name, *condition)
        for listener in config.listeners
        if (found := identities_of(config, listener, parts)) is not None
        for condition in found.conditions
    ]
    rows += [CertificateRow("interception", *condition) for condition in authorities(parts)]
    return msgspec.json.encode(rows)


def counters(parts: Parts) -> dict[str, float]:
    """(worker) Seconds until the first of its certificates ends, and how many cannot be used as they are."""
    conditions = [one for identities in parts.every(Identities) for one in identities.conditions]
    conditions += authorities(parts)
    if not conditions:
        return {}
    ends = [one.expires for one in conditions if one.expires]
    left = {"certificate_lifetime_s": min(ends) - time.time()} if ends else {}
    return {**left, "certificates_broken": float(sum(bool(one.problem) for one in conditions))}


def tls_in_words(listener: Listener) -> str:
    """What `interpose check` shows of a listener's TLS."""
    tls = listener.tls
    if tls is None:
        return "no"
    words = [tls.certificate] if tls.certificate is not None else []
    words += [f"{one.certificate} for {', '.join(one.hosts) or 'its names'}" for one in tls.certificates]
    words += [f"ordered for {', '.join(tls.acme_hosts) or 'the hosts of its routes'}"] * tls.acme
    words += ["localhost, for development"] * tls.development
    words += ["strict SNI"] * tls.strict_sni
    asking = _asking_in_words(tls)
    return "; ".join([*words, *([] if asking is None else [f"client certificates: {asking}"])])


def _are_several(config: Config, listener: Listener, tls: Tls) -> bool:
    ordered = len(hosts_of(config, listener, tls))
    return (tls.certificate is not None) + len(tls.certificates) + ordered + tls.development > 1


def _asking_in_words(tls: Tls) -> str | None:
    """Of which hosts clients are asked for a certificate; None when of none."""
    words: list[str] = [] if tls.client_certificate == "off" else [tls.client_certificate]
    own = [one for one in tls.certificates if one.client_certificate not in ("", tls.client_certificate)]
    words += [f"{one.client_certificate} for {', '.join(one.hosts) or one.certificate}" for one in own]
    return "; ".join(words) if any(word != "off" for word in words) else None


def _identity(certificate: str, key: str, hosts: tuple[str, ...], trust: ClientTrust | None) -> Identity:
    return Identity(certificate, key, hosts=hosts, clients=trust, may_be_missing=True)


def _several(identities: list[Identity], tls: Tls) -> Identities:
    made = Identities(identities, strict=tls.strict_sni)
    for warning in [one.problem for one in identities if one.problem] + made.new_warnings():
        log.warning("%s", warning)
    return made


def _present(config: Config, listener: Listener, parts: Parts) -> Identities:
    identities = identities_of(config, listener, parts)
    assert identities is not None
    return identities


def _client_certificate(config: Config, listener: Listener, parts: Parts) -> ClientCertificate:
    assert listener.tls is not None
    identities = _present(config, listener, parts)
    options = ClientCertificateOptions(listener.tls.client_fields, listener.tls.client_user)
    return parts.get(
        ClientCertificate, (identities, options), lambda: ClientCertificate(_rules_of(identities), options)
    )


def _rules_of(identities: Identities) -> Callable[[str], Any]:
    return lambda host: identities.choose(host or None).trust
