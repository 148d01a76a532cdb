"""The servers of a configuration as the rest of the program calls them."""

from __future__ import annotations

from collections.abc import Iterable

from interpose.config.kinds import address_of
from interpose.config.upstream_model import Upstream
from interpose.core.target import Origin


def origin_of(server: str) -> Origin:
    """The origin of a configured server, whose form `config.kinds` has checked."""
    address = address_of(server)
    if address.is_unix:
        return Origin("unix", address.path, 0)
    return Origin(server.partition("://")[0], address.host, address.port)


def strangers(upstream: Upstream) -> Iterable[tuple[str, str]]:
    """Addresses that are named but are none of the servers, each with the key that names it."""
    known = {origin_of(server) for server in upstream.servers}
    named = [(f"drained[{number}]", server) for number, server in enumerate(upstream.drained, 1)]
    named += [(f"server[{number}].address", one.address) for number, one in enumerate(upstream.particulars, 1)]
    return [(key, server) for key, server in named if server and origin_of(server) not in known]
