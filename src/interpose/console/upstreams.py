"""The servers behind gateways: how they stand and stood, and draining one of them."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from interpose.console.instance import changed
from interpose.console.resource import Group, Refusal, Resource, Role, content_of
from interpose.console.services import Upstreams
from interpose.console.upstream_history import UpstreamHistory, UpstreamsHistory


class DrainWanted(msgspec.Struct, forbid_unknown_fields=True):
    """Which server is to get no new requests, or (`undo`) to get them again."""

    server: str
    undo: bool = False


def upstreams_group(upstreams: Upstreams, history: UpstreamHistory | None = None) -> Group:
    """What can be asked about the servers of upstreams."""

    async def shown(_: Request) -> dict[str, Any]:
        return {"upstreams": list(upstreams.told()), "servers": list(await upstreams.rows())}

    async def past(_: Request) -> UpstreamsHistory:
        if history is None:
            raise Refusal(404, "What was is kept by instances with a `[console]` or `[metrics]` table.")
        return history.view()

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
                about="Every upstream, and every server of those that have several: its state and why, what is under "
                "way on it, its latency. A lone server is told of where `[metrics]` counts what it does.",
            ),
            Resource(
                method="GET",
                path="/upstreams/history",
                handler=past,
                answer=UpstreamsHistory,
                about="The last quarter of an hour: requests, failures and latency of each upstream and of its "
                "servers, and which of them have come to stand otherwise.",
                refusals={404: "Nothing is kept."},
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
