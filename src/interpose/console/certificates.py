"""The certificates of listeners: for whom, until when, and what is wrong with them."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from interpose.console.resource import Group, Resource
from interpose.console.services import Certificates


def certificates_group(certificates: Certificates) -> Group:
    """What can be asked about certificates."""

    async def shown(_: Request) -> dict[str, Any]:
        return {"certificates": list(await certificates.rows())}

    return Group(
        name="certificates",
        about="The certificates of listeners that speak TLS.",
        resources=[
            Resource(
                method="GET",
                path="/certificates",
                handler=shown,
                about="Every certificate of every listener: its names, its end, what is wrong, when it is ordered.",
            )
        ],
    )
