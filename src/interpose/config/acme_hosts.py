"""For which hosts certificates are ordered."""

from __future__ import annotations

from interpose.config.model import Config, Listener, Tls
from interpose.net.address import ip_address


def hosts_of(config: Config, listener: Listener, tls: Tls) -> tuple[str, ...]:
    """The hosts whose certificates a listener wants ordered: those it names, else those of its routes."""
    if not tls.acme:
        return ()
    routes = [route for route in config.routes if not route.listeners or listener.name in route.listeners]
    found = tls.acme_hosts or tuple([host for route in routes for host in route.hosts])
    return tuple(dict.fromkeys([host for host in found if "*" not in host and ip_address(host) is None]))


def all_hosts(config: Config) -> list[str]:
    """Every host that a certificate is ordered for."""
    found = [hosts_of(config, one, one.tls) for one in config.listeners if one.tls is not None]
    return list(dict.fromkeys([host for hosts in found for host in hosts]))
