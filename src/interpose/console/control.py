"""The control API of an instance: status, readiness, reload, drain. On a Unix socket that only its owner can open.

    GET  /v1/status   what listens, who works, what was counted
    GET  /v1/ready    200 while new connections are welcome, else 503
    POST /v1/reload   200 and the generation that serves now; 422 and every error when the old one goes on
    POST /v1/drain    202: it finishes what runs and ends
    GET  /v1/config   the configuration that serves
    GET  /v1/faults   {"faults": [...]}: listeners and routes, their faults, and whether those were set live
    PUT  /v1/faults   {"name": listener or route, "faults": texts or tables}: let it have these; answered as a reload is
    DELETE /v1/faults {"name": listener or route, "" for all}: let it have what its configuration says
    GET  /v1/cache    ?pattern=&limit=: {"stored": [...]}, what is kept and meant
    GET  /v1/cache/show   ?url=: the same for one URL, and why it was asked of its server last
    POST /v1/cache/purge  {"pattern": ..., "soft": ...}: {"purged": how many were forgotten, or made stale}

Contents and answers are JSON.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class ReloadResult(Protocol):
    """What a reload came to."""

    @property
    def generation(self) -> int:
        """The generation that serves now."""

    @property
    def errors(self) -> Sequence[str]:
        """Why it is still the old one, in sentences; none when it is the new one."""


class Instance(Protocol):
    """What the API shows and moves."""

    @property
    def is_ready(self) -> bool:
        """Whether new connections are welcome."""

    def status(self) -> dict[str, Any]:
        """All there is to know, as plain values."""

    def config(self) -> bytes:
        """The configuration that serves, as MessagePack."""

    async def reload(self) -> ReloadResult:
        """Change over to the configuration as it is now."""

    def end(self) -> None:
        """Drain and end."""


class Faults(Protocol):
    """The faults that can be set while the instance runs."""

    def listed(self) -> Sequence[Mapping[str, Any]]:
        """What has which."""

    async def set(self, name: str, faults: Sequence[str | Mapping[str, Any]]) -> ReloadResult:
        """Let a listener or route have these."""

    async def clear(self, name: str) -> ReloadResult:
        """Let it, or ("") everything, have what the configuration says."""


class FaultsWanted(msgspec.Struct, forbid_unknown_fields=True):
    """The content of PUT and DELETE for faults."""

    name: str = ""
    faults: list[str | dict[str, Any]] = []


class Caches(Protocol):
    """What is kept of answers. ValueError, a sentence, for a pattern that is none."""

    async def stored(self, pattern: str, limit: int) -> dict[str, Any]:
        """What is stored and meant."""

    async def shown(self, url: str) -> dict[str, Any]:
        """What is stored for one URL."""

    async def purge(self, pattern: str, *, soft: bool) -> dict[str, Any]:
        """Forget what is meant, or let it be stale."""


class PurgeWanted(msgspec.Struct, forbid_unknown_fields=True):
    """The content of a POST that purges."""

    pattern: str
    soft: bool = False


def control_application(
    instance: Instance, live_faults: Faults | None = None, caches: Caches | None = None
) -> Starlette:
    """The API of `instance`; without `live_faults` or `caches` it has no such resource."""

    async def status(_: Request) -> Response:
        return _json(instance.status())

    async def ready(_: Request) -> Response:
        return _json({"ready": instance.is_ready}, 200 if instance.is_ready else 503)

    async def reload(_: Request) -> Response:
        return _changed(await instance.reload())

    async def drain(_: Request) -> Response:
        instance.end()
        return _json({"draining": True}, 202)

    async def config(_: Request) -> Response:
        return _json(msgspec.msgpack.decode(instance.config()))

    routes = [
        Route("/v1/status", status),
        Route("/v1/ready", ready),
        Route("/v1/reload", reload, methods=["POST"]),
        Route("/v1/drain", drain, methods=["POST"]),
        Route("/v1/config", config),
    ]
    if live_faults is not None:
        routes.append(Route("/v1/faults", _faults_endpoint(live_faults), methods=["GET", "PUT", "DELETE"]))
    if caches is not None:
        routes += _cache_routes(caches)
    return Starlette(routes=routes)


def _cache_routes(caches: Caches) -> list[Route]:
    async def stored(request: Request) -> Response:
        limit = request.query_params.get("limit", "100")
        if not (limit.isascii() and limit.isdecimal() and len(limit) < 8):
            return _json({"errors": ["limit must be a number."]}, 422)
        return await _told(caches.stored(request.query_params.get("pattern", "*"), int(limit)))

    async def shown(request: Request) -> Response:
        return await _told(caches.shown(request.query_params.get("url", "")))

    async def purge(request: Request) -> Response:
        try:
            wanted = msgspec.json.decode(await request.body(), type=PurgeWanted)
        except msgspec.DecodeError as error:
            return _json({"errors": [f"the content cannot be used: {error}."]}, 422)
        return await _told(caches.purge(wanted.pattern, soft=wanted.soft))

    return [
        Route("/v1/cache", stored),
        Route("/v1/cache/show", shown),
        Route("/v1/cache/purge", purge, methods=["POST"]),
    ]


async def _told(asking: Awaitable[dict[str, Any]]) -> Response:
    try:
        return _json(await asking)
    except ValueError as error:
        return _json({"errors": [str(error)]}, 422)


def _faults_endpoint(live_faults: Faults) -> Callable[[Request], Awaitable[Response]]:
    async def faults(request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            return _json({"faults": list(live_faults.listed())})
        try:
            wanted = msgspec.json.decode(await request.body() or b"{}", type=FaultsWanted)
        except msgspec.DecodeError as error:
            return _json({"errors": [f"the content cannot be used: {error}."]}, 422)
        if request.method == "PUT":
            return _changed(await live_faults.set(wanted.name, wanted.faults))
        return _changed(await live_faults.clear(wanted.name))

    return faults


class ControlServer(uvicorn.Server):
    """Serves an application on a socket that is bound already, and leaves signals to whoever owns the process."""

    def __init__(self, application: Starlette, sock: Any) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=1,
                ws="none",
            )
        )
        self._sock = sock

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none: SIGTERM drains workers first, and is not this server's to take."""
        yield

    async def serve(self, sockets: list[Any] | None = None) -> None:
        """Serve until `stop`."""
        await super().serve(sockets=[self._sock] if sockets is None else sockets)

    def stop(self) -> None:
        """Stop within a moment."""
        self.should_exit = True


def serve_control(
    instance: Instance, sock: Any, live_faults: Faults | None = None, caches: Caches | None = None
) -> ControlServer:
    """The server of the control API of `instance` on `sock`."""
    return ControlServer(control_application(instance, live_faults, caches), sock)


def _changed(result: ReloadResult) -> Response:
    content = {"generation": result.generation, "errors": list(result.errors)}
    return _json(content, 422 if result.errors else 200)


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
