"""Access rules and block lists: how often each decided, and why it decided as it did."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from interpose.console.resource import Group, Parameter, Resource
from interpose.console.services import Access

_QUERY = (
    Parameter("url", "A URL, or host:port for a tunnel.", required=True),
    Parameter("client", "The address that asks; 127.0.0.1 when it is not given."),
    Parameter("user", "Who asks."),
    Parameter("group", "A group of the user; may stand several times."),
    Parameter("method", "GET when it is not given."),
    Parameter("listener", "The listener that is asked; the first one when it is not given."),
)


def rules_group(access: Access) -> Group:
    """What can be asked about who may go where."""

    async def listed(_: Request) -> dict[str, Any]:
        return await access.rows()

    async def explained(request: Request) -> dict[str, Any]:
        given = request.query_params
        question = {name: given[name] for name in ("url", "client", "user", "method", "listener") if given.get(name)}
        return await access.explained({"url": "", **question, "groups": given.getlist("group") or None})

    async def of_exchange(request: Request) -> dict[str, Any]:
        return await access.of_exchange(request.path_params["reference"])

    return Group(
        name="access",
        about="Who may go where.",
        problems={ValueError: 422, LookupError: 404},
        resources=[
            Resource(
                method="GET",
                path="/access",
                handler=listed,
                about="The access rules, the block lists and the limits, and how often each decided.",
            ),
            Resource(
                method="GET",
                path="/access/explain",
                handler=explained,
                query=_QUERY,
                about="Which rule decides about a request, which others are asked, and what would refuse it besides.",
            ),
            Resource(
                method="GET",
                path="/access/explain/{reference}",
                handler=of_exchange,
                about="What was decided about an exchange, by its reference, and what would be decided now.",
            ),
        ],
    )
