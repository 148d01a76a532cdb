"""What looks names up for a configuration: it lives on as long as one asks for the same."""

from __future__ import annotations

from interpose.config.model import Config
from interpose.config.parts import Parts
from interpose.net.resolve import ResolveOptions, Resolver
from interpose.net.services import ServiceResolver


def resolver_of(config: Config, parts: Parts) -> Resolver:
    """The addresses of names."""
    return parts.get(Resolver, config.dns, lambda: Resolver(_options(config)))


def services_of(config: Config, parts: Parts) -> ServiceResolver:
    """The servers of services."""
    return parts.get(ServiceResolver, config.dns, lambda: ServiceResolver(_options(config)))


def _options(config: Config) -> ResolveOptions:
    dns = config.dns
    return ResolveOptions(servers=dns.servers, timeout_s=dns.timeout_s, max_names=dns.max_names)
