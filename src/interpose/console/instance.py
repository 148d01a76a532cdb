"""The instance itself: how it stands, what it runs, and changing it."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from interpose.console.resource import Group, Resource, Role, json, role_of
from interpose.console.services import Instance, ReloadResult, Services


def instance_group(services: Services) -> Group:
    """What can be asked of the instance."""
    return Group(name="instance", about="The instance itself.", resources=_Instance(services).resources())


class _Instance:
    def __init__(self, services: Services) -> None:
        self._instance: Instance = services.instance
        self._links = services.links

    def resources(self) -> list[Resource]:
        return [
            Resource(
                method="GET",
                path="/status",
                handler=self.status,
                about="What listens, who works, what was counted; for an admin the link of the console.",
            ),
            Resource(
                method="GET",
                path="/ready",
                handler=self.ready,
                about="Whether new connections are welcome.",
                refusals={503: "They are not: it starts, or drains."},
            ),
            Resource(
                method="POST",
                path="/reload",
                handler=self.reload,
                role=Role.ADMIN,
                about="Change over to the configuration as it is now.",
                refusals={422: "Every error; the old configuration goes on."},
            ),
            Resource(
                method="POST",
                path="/drain",
                handler=self.drain,
                role=Role.ADMIN,
                status=202,
                about="Accept no more, finish what runs, end.",
            ),
            Resource(
                method="GET",
                path="/config",
                handler=self.config,
                role=Role.ADMIN,
                about="The configuration that serves.",
            ),
            Resource(
                method="GET",
                path="/console",
                handler=self.links,
                role=Role.ADMIN,
                answer=dict[str, str],
                about="For each role the link that lets a browser in.",
            ),
        ]

    async def status(self, request: Request) -> dict[str, Any]:
        status = self._instance.status()
        if self._links is not None and role_of(request) is Role.ADMIN:
            status["console"] = self._links()["admin"]
        return status

    async def ready(self, _: Request) -> Response:
        return json({"ready": self._instance.is_ready}, 200 if self._instance.is_ready else 503)

    async def reload(self, _: Request) -> Response:
        return changed(await self._instance.reload())

    async def drain(self, _: Request) -> dict[str, bool]:
        self._instance.end()
        return {"draining": True}

    async def config(self, _: Request) -> Any:
        return msgspec.msgpack.decode(self._instance.config())

    async def links(self, _: Request) -> dict[str, str]:
        return dict(self._links()) if self._links is not None else {}


def changed(result: ReloadResult) -> Response:
    """What a reload came to, as an answer."""
    content = {"generation": result.generation, "errors": list(result.errors)}
    return json(content, 422 if result.errors else 200)
