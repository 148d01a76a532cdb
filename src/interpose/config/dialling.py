"""How listeners and upstreams reach servers: one resolver, one set of TLS contexts, a policy for each proxy."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from interpose.config import build
from interpose.config.interception import is_intercepted, origin_tls
from interpose.config.model import Config, Listener, Upstream
from interpose.config.names import resolver_of
from interpose.config.parts import Parts
from interpose.core.exchange import Attempt
from interpose.core.stream import Stream
from interpose.core.target import Origin
from interpose.engine.association import Judge
from interpose.engine.client import Dial
from interpose.net.address import IPAddress, parse_address
from interpose.net.dial import Dialler, DialOptions
from interpose.net.policy import NotItself
from interpose.net.resolve import Resolver
from interpose.net.tls import ClientContexts

log = logging.getLogger("interpose")


class Dialling:
    """Makes diallers. `own_addresses` gives the real addresses of the listeners of this process."""

    def __init__(self, parts: Parts, own_addresses: Callable[[], Sequence[str]]) -> None:
        self._parts = parts
        self._own_addresses = own_addresses
        self._contexts = ClientContexts()

    def prepare(self, config: Config) -> Resolver:
        """The resolver of `config`, which lives on as long as a configuration asks for the same."""
        return resolver_of(config, self._parts)

    def dial_for(self, config: Config, what: Listener | Upstream) -> Dial:
        """How a proxy or relay, or an upstream of gateways, reaches servers. ValueError for unusable authorities."""
        resolver = self.prepare(config)
        if isinstance(what, Listener) and what.role in ("relay", "spool"):
            upstream = next(upstream for upstream in config.upstreams if upstream.name == what.upstream)
            dialler = self._to(resolver, config, upstream)
            dialler.policy = NotItself(parse_address(what.address))
            return dialler
        if isinstance(what, Listener):
            options = DialOptions(connect_timeout_s=config.connections.connect_timeout_s)
            secure = origin_tls(config, self._parts).secure if is_intercepted(config, what) else None
            dialler = Dialler(resolver, options, contexts=self._contexts, secure=secure)
            return _Policed(dialler, config, what, self._own_addresses)
        return self._to(resolver, config, what)

    def judge_for(self, config: Config, listener: Listener) -> Judge:
        """What tells at which addresses the clients of a proxy may be served, where no connection is made (UDP)."""
        return _Policed(Dialler(self.prepare(config)), config, listener, self._own_addresses).judged

    def _to(self, resolver: Resolver, config: Config, upstream: Upstream) -> Dialler:
        """How the servers of `upstream` are reached."""
        options = DialOptions(
            connect_timeout_s=config.connections_of(upstream).connect_timeout_s,
            verify=upstream.verify,
            ca_file=upstream.ca_file,
        )
        dialler = Dialler(resolver, options, contexts=self._contexts)
        if any(server.startswith(("https:", "tls:")) for server in upstream.servers):
            dialler.prepare()
            if not upstream.verify:
                words = "upstream %s: certificates are not verified; anybody on the way can read along"
                log.warning(words, upstream.name)
        return dialler


class _Policed:
    """Dials for the clients of a proxy. Its policy is made when the real addresses of all listeners are known."""

    def __init__(
        self, dialler: Dialler, config: Config, listener: Listener, own_addresses: Callable[[], Sequence[str]]
    ) -> None:
        self._dialler = dialler
        self._config = config
        self._listener = listener
        self._own_addresses = own_addresses
        self._known: Sequence[str] | None = None

    def __call__(
        self, origin: Origin, attempt: Attempt | None = None, *, configured: bool = False, opening: bytes = b""
    ) -> Awaitable[Stream]:
        """See `engine.client.Dial`."""
        self._learn_addresses()
        return self._dialler(origin, attempt, configured=configured, opening=opening)

    def judged(self, origin: Origin) -> Awaitable[Sequence[IPAddress]]:
        """See `engine.association.Judge`."""
        self._learn_addresses()
        return self._dialler.judged(origin)

    def _learn_addresses(self) -> None:
        addresses = self._own_addresses()
        if addresses is not self._known:
            self._known = addresses
            self._dialler.policy = build.address_policy(self._config, self._listener, addresses)
