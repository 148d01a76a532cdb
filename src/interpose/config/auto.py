"""The chain of a listener that speaks HTTP, SOCKS and, with a certificate, both inside TLS (role `auto`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from interpose.config.running import Chain, ConversationChain, Entry, HttpChain, Server
from interpose.core.handler import Handler
from interpose.engine.memory_ladder import MemoryLevel
from interpose.engine.openings import AutoServer, Openings
from interpose.net.terminate import TlsTermination
from interpose.protocol.client_hello import read_client_hello


class AutoChain(NamedTuple):
    """What a commit swaps in (a `config.running.Chain`): the chains of both protocols, and what tells them apart."""

    http: HttpChain
    socks: ConversationChain

    @property
    def entry(self) -> Entry:
        """The steps before the server. TLS is not one of them: it is one of the protocols."""
        return self.http.entry._replace(identities=None)

    def serves_with(self, server: Server) -> bool:
        """See `Chain`."""
        return isinstance(server, AutoServer)

    def make_server(self, worker: int, numbers: Iterator[int]) -> AutoServer:
        """See `Chain`."""
        return AutoServer(self.http.make_server(worker, numbers), self.socks.make_server(worker, numbers))

    def install(self, server: AutoServer, level: MemoryLevel) -> None:
        """See `Chain`."""
        self.http.install(server.http, level)
        self.socks.install(server.socks, level)
        timeouts, identities = self.http.entry.timeouts, self.http.entry.identities
        server.entry = inside = Openings(server.http, server.socks, timeout_s=timeouts.head_timeout_s)
        if identities is not None:
            tls = TlsTermination(
                identities.choose, inside, read_client_hello, handshake_timeout_s=timeouts.handshake_timeout_s
            )
            server.entry = Openings(server.http, server.socks, timeout_s=timeouts.head_timeout_s, tls=tls)


def own_handlers(chains: Mapping[str, Chain]) -> dict[str, Handler]:
    """What answers requests of the instance's own, for each listener that speaks HTTP."""
    speaking = {name: chain.http if isinstance(chain, AutoChain) else chain for name, chain in chains.items()}
    return {name: chain.own_handler for name, chain in speaking.items() if isinstance(chain, HttpChain)}
