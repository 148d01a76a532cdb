"""Clients for services that a configuration names: they are asked through the same client as any upstream."""

from __future__ import annotations

from collections.abc import Callable

from interpose.config.model import Config, Upstream
from interpose.config.parts import Parts
from interpose.config.urls import page_of
from interpose.engine.client import UpstreamClient
from interpose.engine.service_client import ServiceClient


class Outgoing:
    """(where something serves) Makes the clients for upstreams."""

    def __init__(self, client_for: Callable[[Config, Upstream], UpstreamClient]) -> None:
        self.client_for = client_for


def service_at(
    config: Config, parts: Parts, url: str, *, timeout_s: float, ca_file: str | None = None
) -> ServiceClient:
    """What asks the service at `url`; shared by all who ask in the same way, and asked for with each configuration.

    Without an `Outgoing` among the parts (`interpose check`) it is one that reaches nobody.
    """
    target = page_of(url).target
    makers = parts.every(Outgoing)
    client: UpstreamClient | None = None
    if makers:
        server = Upstream(name=f"service {target.origin}", servers=(str(target.origin),), ca_file=ca_file)
        client = makers[0].client_for(config, server)
    return parts.get(ServiceClient, (client, url, timeout_s), lambda: ServiceClient(client, target, timeout_s))
