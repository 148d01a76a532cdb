"""Serving the API: on the control socket of an instance, which only its owner can open, and on the console's port.

GET  /v1/status   what listens, who works, what was counted
POST /v1/reload   200 and the generation that serves now; 422 and every error when the old one goes on
…                 `application` has them all, and /v1/openapi.json describes them
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from interpose.console.application import application
from interpose.console.events import Events
from interpose.console.services import (
    Access,
    Caches,
    Certificates,
    Faults,
    Instance,
    Learned,
    Scripts,
    Services,
    Upstreams,
)


class ControlServer(uvicorn.Server):
    """Serves an application on a socket that is bound already, and leaves signals to whoever owns the process.

    `events` are those of its streams, which end when it is told to stop: they would go on for ever.
    """

    def __init__(self, application: ASGIApp, sock: Any, events: Events | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="off",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=1,
                ws="none",
            )
        )
        self._sock = sock
        self._events = events
        self._has_to_stop = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none: SIGTERM drains workers first, and is not this server's to take."""
        yield

    async def serve(self, sockets: list[Any] | None = None) -> None:
        """Serve until `stop`."""
        await super().serve(sockets=[self._sock] if sockets is None else sockets)

    async def main_loop(self) -> None:
        """Wait for `stop`. (The library's own would wake the process ten times a second to look.)"""
        while not await self.on_tick(0):  # writes the date that answers have
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._has_to_stop.wait()

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """Let what is being answered end; at once where nobody is connected."""
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
        else:
            for server in self.servers:
                server.close()
            for sock in sockets or []:
                sock.close()

    def stop(self) -> None:
        """Stop within a moment."""
        if self._events is not None:
            self._events.close()
        self.should_exit = True
        self._has_to_stop.set()


def serve_services(services: Services, sock: Any) -> ControlServer:
    """The server of the control API of `services` on `sock`."""
    return ControlServer(application(services), sock, services.events)


def serve_control(
    instance: Instance,
    sock: Any,
    live_faults: Faults | None = None,
    caches: Caches | None = None,
    upstreams: Upstreams | None = None,
    access: Access | None = None,
    learned: Learned | None = None,
    certificates: Certificates | None = None,
    scripts: Scripts | None = None,
) -> ControlServer:
    """The server of the control API of an instance that keeps nothing, on `sock`."""
    services = Services(
        instance=instance,
        faults=live_faults,
        caches=caches,
        upstreams=upstreams,
        access=access,
        learned=learned,
        certificates=certificates,
        scripts=scripts,
    )
    return serve_services(services, sock)
