"""A look at the names of servers when a relay starts: whoever wrote one wrongly hears of it before the first client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from interpose.config.kinds import address_of
from interpose.config.model import Config
from interpose.core.failure import Failure
from interpose.net.address import ip_address

log = logging.getLogger("interpose")

Resolve = Callable[[str], Awaitable[object]]


def names_of(config: Config) -> list[tuple[str, str]]:
    """The upstreams of relays, each with the names of its servers that have to be looked up."""
    wanted = {listener.upstream for listener in config.listeners if listener.role == "relay"}
    return [
        (upstream.name, host)
        for upstream in config.upstreams
        if upstream.name in wanted
        for host in dict.fromkeys(address_of(server).host for server in upstream.servers)
        if host and ip_address(host) is None
    ]


class NameCheck:
    """Looks names up beside what runs. One that is not known is no reason to stop: it may come later."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def begin(self, config: Config, resolve: Resolve) -> None:
        """Look the names of `config` up, and warn of those that are not known."""
        self.end()
        names = names_of(config)
        if names:
            self._task = asyncio.get_running_loop().create_task(_check(names, resolve))

    def end(self) -> None:
        """Look no further."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()


async def _check(names: list[tuple[str, str]], resolve: Resolve) -> None:
    for upstream, host in names:
        try:
            await resolve(host)
        except Failure as failure:
            log.warning("upstream %s: %s Connections to it fail until that changes.", upstream, failure.detail)
