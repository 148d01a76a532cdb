"""What is kept of answers, and forgetting it."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from interpose.console.resource import Group, Parameter, Resource, Role, content_of, number
from interpose.console.services import Caches

_PATTERN = Parameter("pattern", "A URL, a URL's beginning with * after it, host:NAME or tag:NAME.")
_MOST = 1000


class PurgeWanted(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be forgotten, or only made stale."""

    pattern: str
    soft: bool = False


def caches_group(caches: Caches) -> Group:
    """What can be asked about caches."""

    async def stored(request: Request) -> dict[str, Any]:
        limit = number(request, "limit", 100, _MOST)
        return await caches.stored(request.query_params.get("pattern", "*"), limit)

    async def shown(request: Request) -> dict[str, Any]:
        return await caches.shown(request.query_params.get("url", ""))

    async def purge(request: Request) -> dict[str, Any]:
        wanted = await content_of(request, PurgeWanted)
        return await caches.purge(wanted.pattern, soft=wanted.soft)

    return Group(
        name="cache",
        about="What is kept of answers.",
        problems={ValueError: 422},
        resources=[
            Resource(
                method="GET",
                path="/cache",
                handler=stored,
                about="What is stored and meant by a pattern.",
                query=(_PATTERN, Parameter("limit", "At most so many.", "integer")),
            ),
            Resource(
                method="GET",
                path="/cache/show",
                handler=shown,
                about="The same for one URL, and why its server was asked last.",
                query=(Parameter("url", "As a client asks for it.", required=True),),
            ),
            Resource(
                method="POST",
                path="/cache/purge",
                handler=purge,
                role=Role.EDITOR,
                content=PurgeWanted,
                about="Forget what is meant, or let it be stale.",
            ),
        ],
    )
