"""The servers behind gateways, and draining one of them."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from interpose.console.instance import changed
from interpose.console.resource import Group, Resource, Role, content_of
from interpose.console.services import Upstreams


class DrainWanted(msgspec.Struct, forbid_unknown_fields=True):
    """Which server is to get no new requests, or (`undo`) to get them again."""

    server: str
    undo: bool = False


def upstreams_group(upstreams: Upstreams) -> Group:
    """What can be asked about the servers of upstreams."""

    async def shown(_: Request) -> dict[str, Any]:
        return {"servers": list(await upstreams.rows())}

    async def drain(request: Request) -> Response:
        wanted = await content_of(request, DrainWanted)
        return changed(await upstreams.drain(wanted.server, undo=wanted.undo))

    return Group(
        name="upstreams",
        about="The servers behind gateways.",
        resources=[
            Resource(
                method="GET",
                path="/upstreams",
                handler=shown,
                about="Every server of an upstream that has several: its state and why, what is under way on it, its "
                "latency.",
            ),
            Resource(
                method="POST",
                path="/upstreams/drain",
                handler=drain,
                role=Role.ADMIN,
                content=DrainWanted,
                about="Let a server get no new requests, or get them again.",
                refusals={422: "Why that cannot be; nothing has changed."},
            ),
        ],
    )
