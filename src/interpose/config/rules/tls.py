"""Who speaks TLS has a certificate, and who asks for those of clients knows whom to believe."""

from __future__ import annotations

from collections.abc import Iterator

from interpose.config.acme_hosts import hosts_of
from interpose.config.model import HTTP_ROLES, Config, Tls
from interpose.config.problem import ABSENT
from interpose.config.rules.breach import Breach, Rule, numbered
from interpose.config.tls_model import TlsCertificate
from interpose.net.address import ip_address


def _tables(config: Config) -> Iterator[tuple[str, Tls]]:
    for where, listener in numbered("listener", config.listeners):
        if listener.tls is not None:
            yield f"{where}.tls", listener.tls


def _there_is_a_certificate(config: Config) -> Iterator[Breach]:
    for where, tls in _tables(config):
        if tls.certificate is None and not (tls.key or tls.certificates or tls.development or tls.acme):
            message = (
                "has no certificate; give certificate and key, or acme = true to have one ordered, "
                "or development = true for one of localhost"
            )
            yield Breach(where, ABSENT, message, (f"{where}.certificate", f"{where}.key", f"{where}.certificates"))
        elif tls.certificate is not None and tls.key is None:
            yield Breach(f"{where}.key", ABSENT, "is missing; give the path of a file", (f"{where}.certificate",))
        elif tls.key is not None and tls.certificate is None:
            yield Breach(f"{where}.certificate", ABSENT, "is missing; give the path of a file", (f"{where}.key",))


def _clients_are_believed_for_a_reason(config: Config) -> Iterator[Breach]:
    for where, tls in _tables(config):
        tables: list[tuple[str, Tls | TlsCertificate]] = [(where, tls)]
        tables += numbered(f"{where}.certificates", tls.certificates)
        for place, table in tables:
            mode = table.client_certificate or tls.client_certificate
            ca_file = table.client_ca or tls.client_ca
            if mode != "off" and ca_file is None:
                message = "needs client_ca: the authorities that sign the certificates of clients"
                needs = (f"{place}.client_ca", f"{where}.client_ca")
                yield Breach(f"{place}.client_certificate", mode, message, needs)
        asks = any(table.client_certificate not in ("", "off") for _, table in tables)
        for key in ("client_ca", "client_crl", "client_user"):
            value = getattr(tls, key)
            if value not in (None, "off") and not asks:
                message = (
                    'says something about certificates that nobody is asked for; add client_certificate = "require"'
                )
                yield Breach(f"{where}.{key}", value, message, (f"{where}.client_certificate", f"{where}.certificates"))


def _tls_suits_the_role(config: Config) -> Iterator[Breach]:
    for where, listener in numbered("listener", config.listeners):
        tls, needs = listener.tls, (f"{where}.role",)
        if tls is None:
            continue
        asking = [tls.client_certificate, *(one.client_certificate for one in tls.certificates)]
        if listener.role == "auto" and any(mode not in ("", "off") for mode in asking):
            message = "would not be asked of those who come without TLS, as they may with role auto; take another role"
            yield Breach(f"{where}.tls.client_certificate", ABSENT, message, needs)
        if listener.redirect_to_https != "off":
            message = "has no meaning on a listener that speaks TLS; put it on the plain one"
            yield Breach(f"{where}.redirect_to_https", listener.redirect_to_https, message, needs)
        if tls.client_user != "off" and listener.role not in HTTP_ROLES:
            message = "has no meaning where no HTTP is spoken; take it away"
            yield Breach(f"{where}.tls.client_user", tls.client_user, message, needs)
        if tls.hsts_max_age_s and listener.role != "gateway":
            message = "is said to browsers by gateways only; take it away"
            yield Breach(f"{where}.tls.hsts_max_age_s", tls.hsts_max_age_s, message, needs)
        if tls.hsts_preload and not (tls.hsts_subdomains and tls.hsts_max_age_s >= 31_536_000):
            message = "is only accepted with hsts_subdomains = true and hsts_max_age_s of a year or more (31536000)"
            yield Breach(f"{where}.tls.hsts_preload", tls.hsts_preload, message, (f"{where}.tls.hsts_max_age_s",))


def _ordering_can_succeed(config: Config) -> Iterator[Breach]:
    orders = False
    for where, listener in numbered("listener", config.listeners):
        tls = listener.tls
        if tls is None or not (tls.acme or tls.acme_hosts):
            continue
        orders = True
        if not tls.acme:
            message = "are hosts that nothing is ordered for; add acme = true"
            yield Breach(f"{where}.tls.acme_hosts", tls.acme_hosts, message, (f"{where}.tls.acme",))
        elif config.acme is None:
            message = "needs an [acme] table, which says who the authority is and that you agree to its terms"
            yield Breach(f"{where}.tls.acme", tls.acme, message, ("acme",))
        elif not hosts_of(config, listener, tls):
            message = (
                "has no host to order a certificate for; name some in acme_hosts, or in the routes of this listener"
            )
            yield Breach(f"{where}.tls.acme", tls.acme, message, (f"{where}.tls.acme_hosts", "route"))
        for number, host in enumerate(tls.acme_hosts, 1):
            if "*" in host or ip_address(host) is not None:
                message = "is nothing that the challenge http-01 is for; name hosts in full"
                yield Breach(f"{where}.tls.acme_hosts[{number}]", host, message)
    if config.acme is not None and not config.acme.agree_terms:
        message = "must be true: an authority orders nothing for who does not agree to its terms of service"
        yield Breach("acme.agree_terms", False, message)
    if (
        orders
        and config.acme is not None
        and not any(one.role == "gateway" and one.tls is None for one in config.listeners)
    ):
        message = "needs a gateway without tls, where the authority (on port 80) finds the answers to its challenges"
        yield Breach("acme", ABSENT, message, ("listener",))


RULES: tuple[Rule, ...] = (
    _there_is_a_certificate,
    _clients_are_believed_for_a_reason,
    _tls_suits_the_role,
    _ordering_can_succeed,
)
