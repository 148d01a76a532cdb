"""Clients that are let through unread, since they do not believe the certificates of this installation."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from interpose.console.resource import Group, Resource, Role, content_of
from interpose.console.services import Learned


class ForgetWanted(msgspec.Struct, forbid_unknown_fields=True):
    """Which host is to be looked into again; empty: every one."""

    host: str = ""


def interception_group(learned: Learned) -> Group:
    """What can be asked about interception."""

    async def listed(_: Request) -> dict[str, Any]:
        return {"learned": list(await learned.rows())}

    async def forget(request: Request) -> dict[str, Any]:
        wanted = await content_of(request, ForgetWanted)
        return {"forgotten": await learned.forget(wanted.host)}

    return Group(
        name="interception",
        about="Looking into TLS.",
        resources=[
            Resource(
                method="GET",
                path="/interception/learned",
                handler=listed,
                about="Clients that did not believe our certificate for a host, and are let through to there unread.",
            ),
            Resource(
                method="DELETE",
                path="/interception/learned",
                handler=forget,
                role=Role.EDITOR,
                content=ForgetWanted,
                about="Look into their tunnels again.",
            ),
        ],
    )
