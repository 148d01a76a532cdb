"""Faults that are set while the instance runs."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from interpose.console.instance import changed
from interpose.console.resource import Group, Resource, Role, content_of
from interpose.console.services import Faults


class FaultsWanted(msgspec.Struct, forbid_unknown_fields=True):
    """Which listener or route ("": all) is to have which faults, as texts or as tables."""

    name: str = ""
    faults: list[str | dict[str, Any]] = []


def faults_group(faults: Faults) -> Group:
    """What can be asked about faults."""

    async def listed(_: Request) -> dict[str, Any]:
        return {"faults": list(faults.listed())}

    async def set_(request: Request) -> Response:
        wanted = await content_of(request, FaultsWanted)
        return changed(await faults.set(wanted.name, wanted.faults))

    async def clear(request: Request) -> Response:
        return changed(await faults.clear((await content_of(request, FaultsWanted)).name))

    refusals = {422: "Why they cannot be had; nothing has changed."}
    return Group(
        name="faults",
        about="What goes wrong on purpose.",
        resources=[
            Resource(
                method="GET",
                path="/faults",
                handler=listed,
                about="Listeners and routes, their faults, and whether those were set live.",
            ),
            Resource(
                method="PUT",
                path="/faults",
                handler=set_,
                role=Role.ADMIN,
                content=FaultsWanted,
                about="Let a listener or route have these.",
                refusals=refusals,
            ),
            Resource(
                method="DELETE",
                path="/faults",
                handler=clear,
                role=Role.ADMIN,
                content=FaultsWanted,
                about="Let it, or everything, have what the configuration says.",
                refusals=refusals,
            ),
        ],
    )
