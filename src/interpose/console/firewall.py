"""What the firewall has matched, and what other rules would have made of it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request

from interpose.console.resource import (
    Group,
    Parameter,
    Refusal,
    Resource,
    Role,
    content_of,
    number,
    number_in_path,
    role_of,
)
from interpose.console.services import Firewall

_MOST = 500


class TryWanted(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be tried, and on what: the newest `last` exchanges that match `query`. What is not given stays as it
    runs. `exclude` are rules, `942100`, or what one is not to look at, `942100:ARGS:content`. Exclusions are proposed
    for who would newly be blocked; with `every`, or where nothing is changed, for all who would."""

    last: Annotated[int, Meta(ge=1, le=10_000)] = 500
    query: str = ""
    rule_set: str = ""
    blocking_paranoia: Annotated[int, Meta(ge=0, le=4)] = 0
    detection_paranoia: Annotated[int, Meta(ge=0, le=4)] = 0
    inbound_threshold: Annotated[int, Meta(ge=0, le=100_000)] = 0
    outbound_threshold: Annotated[int, Meta(ge=0, le=100_000)] = 0
    exclude: list[str] = []
    every: bool = False


def firewall_group(firewall: Firewall) -> Group:
    """What can be asked about the firewall."""

    async def listed(request: Request) -> dict[str, Any]:
        return await firewall.listed(request.query_params.get("q", ""), number(request, "limit", 100, _MOST))

    async def shown(request: Request) -> dict[str, Any]:
        return await firewall.shown(number_in_path(request))

    async def tried(request: Request) -> dict[str, Any]:
        wanted = await content_of(request, TryWanted)
        if wanted.rule_set and role_of(request) < Role.ADMIN:  # rules may run scripts of theirs
            raise Refusal(403, "To try the rules of another directory takes the role admin.")
        return await firewall.tried(msgspec.to_builtins(wanted))

    return Group(
        name="firewall",
        about="What the firewall has matched.",
        problems={LookupError: 404, ValueError: 422},
        resources=[
            Resource(
                method="GET",
                path="/firewall",
                handler=listed,
                about="The latest exchanges in which rules matched, the rules that matched most often, and how the "
                "firewall is set.",
                query=(
                    Parameter("q", "A query that they match, too."),
                    Parameter("limit", "At most so many.", "integer"),
                ),
            ),
            Resource(
                method="POST",
                path="/firewall/try",
                handler=tried,
                role=Role.EDITOR,
                content=TryWanted,
                about="Ask changed rules about recorded exchanges: who would newly be blocked or freed, and the "
                "smallest exclusions that free them.",
                refusals={403: "Another rule set takes the role admin.", 422: "Why that cannot be tried."},
            ),
            Resource(
                method="GET",
                path="/firewall/{id}",
                handler=shown,
                about="One exchange in which rules matched, by its number in the journal.",
                refusals={404: "Nothing matched in it, or there is none."},
            ),
        ],
    )
