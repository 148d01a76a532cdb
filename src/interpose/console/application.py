"""The application: one table of resources, served on the control socket and on the console's port.

/v1/…        on the control socket, which only its owner can open: nothing more is asked
/api/v1/…    on the console's port, to whom `access` lets in, beside the page at /
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from interpose.console.access import Access
from interpose.console.caches import caches_group
from interpose.console.certificates import certificates_group
from interpose.console.event_stream import event_stream
from interpose.console.faults import faults_group
from interpose.console.instance import instance_group
from interpose.console.interception import interception_group
from interpose.console.resource import Group, Resource, Role, json, routes_of
from interpose.console.rules import rules_group
from interpose.console.scripts import scripts_group
from interpose.console.services import Services
from interpose.console.upstreams import upstreams_group

CONTROL: Final = "/v1"
CONSOLE: Final = "/api/v1"

_OFF: Final = {
    "flows": "Nothing is recorded by this instance. Give it a `[journal]` table, or start it with a console.",
    "desk": "This instance has no desk. Give it a `[console]` table or a rule that holds something.",
    "spool": "No listener of this instance is a spool; `interpose spool` starts one.",
    "metrics": "This instance counts nothing for monitoring. Give it a `[metrics]` table, or start it with a console.",
    "overview": "This instance counts nothing for an overview. Start it with a console.",
    "cache": "This instance cannot be asked about a cache.",
    "certificates": "The certificates of this instance cannot be asked about.",
    "access": "The rules of this instance cannot be asked about.",
    "upstreams": "The upstreams of this instance cannot be asked about.",
    "interception": "This instance cannot be asked about interception.",
    "scripts": "The scripts of this instance cannot be asked about.",
    "experiments": "This instance has no experiments. Give it an `[[experiment]]` table, and start it anew.",
    "firewall": "The firewall of this instance cannot be asked about. Start it with a console, or a `[journal]` table.",
    "faults": "The faults of this instance cannot be changed while it runs.",
}
_METHODS: Final = ["GET", "POST", "PUT", "DELETE"]


def application(services: Services, access: Access | None = None) -> ASGIApp:
    """What serves `services`: the console's port when there is an `access`, else the control socket."""
    prefix = CONTROL if access is None else CONSOLE
    groups = groups_of(services, access)
    groups.append(_description_group(groups, prefix))
    routes: list[Route] = []
    for group in groups:
        routes += routes_of(group, prefix)
    routes += _routes_of_what_is_off({group.name for group in groups}, prefix)
    if access is not None:
        from interpose.console.page import Page

        routes += Page().routes()
    served = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
    served.router.redirect_slashes = False
    return _of_the_owner(served) if access is None else access.guard(served, prefix)


def groups_of(services: Services, access: Access | None = None) -> list[Group]:
    """The table: all resources that there are."""
    groups = [instance_group(services)]
    if access is not None:
        groups.append(access.group())
    if services.records is not None:
        from interpose.console.flows import flows_group

        groups.append(flows_group(services.records, services.replay))
    if services.review is not None:
        from interpose.console.desk import desk_group

        groups.append(desk_group(services.review))
    if services.spools:
        from interpose.console.spool import spool_group

        groups.append(spool_group(services.spools))
    if services.overview is not None:
        groups.append(_overview_group(services))
    if services.caches is not None:
        groups.append(caches_group(services.caches))
    if services.access is not None:
        groups.append(rules_group(services.access))
    if services.experiments is not None:
        from interpose.console.experiments import experiments_group

        groups.append(experiments_group(services.experiments))
    if services.firewall is not None:
        from interpose.console.firewall import firewall_group

        groups.append(firewall_group(services.firewall))
    if services.upstreams is not None:
        groups.append(upstreams_group(services.upstreams, services.upstream_history))
    if services.certificates is not None:
        groups.append(certificates_group(services.certificates))
    if services.learned is not None:
        groups.append(interception_group(services.learned))
    if services.scripts is not None:
        groups.append(scripts_group(services.scripts))
    if services.faults is not None:
        groups.append(faults_group(services.faults))
    if services.metrics is not None:
        from interpose.console.monitor import metrics_group

        groups.append(metrics_group(services.metrics))
    groups.append(_events_group(services))
    return groups


def _overview_group(services: Services) -> Group:
    from interpose.console.overview import OverviewView

    overview = services.overview
    assert overview is not None

    async def shown(_: Request) -> OverviewView:
        return overview.view()

    return Group(
        name="overview",
        about="How the instance stands.",
        resources=[
            Resource(
                method="GET",
                path="/overview",
                handler=shown,
                answer=OverviewView,
                about="How much passes, how fast, and what is wrong; a value a second of the last quarter of an hour.",
            )
        ],
    )


def _events_group(services: Services) -> Group:
    async def stream(request: Request) -> Response:
        return event_stream(services.events, request)

    return Group(
        name="events",
        about="What happens, as it happens.",
        resources=[
            Resource(
                method="GET",
                path="/events",
                handler=stream,
                answer="text/event-stream",
                about="Server-sent events: `flow` (a row), `hold` (a row), `spool` (an item), `second` (the overview's "
                "`now`), and `dropped` with a `count` when some were missed. Last-Event-ID goes on where one was.",
                refusals={503: "So many watch already that nobody more can."},
            )
        ],
    )


def _description_group(groups: Sequence[Group], prefix: str) -> Group:
    known: list[Any] = []

    async def described(_: Request) -> Any:
        if not known:
            from interpose.console.openapi import description

            known.append(description([*groups], prefix))
        return known[0]

    return Group(
        name="description",
        about="The API itself.",
        resources=[
            Resource(method="GET", path="/openapi.json", handler=described, about="This description (OpenAPI 3.1).")
        ],
    )


def _routes_of_what_is_off(on: set[str], prefix: str) -> list[Route]:
    routes: list[Route] = []
    for name, why in _OFF.items():
        if name not in on:
            answer = _saying(why)
            routes += [
                Route(f"{prefix}/{name}", answer, methods=_METHODS),
                Route(f"{prefix}/{name}/{{rest:path}}", answer, methods=_METHODS),
            ]
    return routes


def _saying(why: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return json({"errors": [why]}, 404)

    return answer


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    why = {404: "There is nothing here.", 405: "This cannot be done with it."}.get(error.status_code, error.detail)
    return json({"errors": [why]}, error.status_code, error.headers)


def _of_the_owner(served: ASGIApp) -> ASGIApp:
    """`served` for whoever can open the socket."""

    async def owned(scope: Scope, receive: Receive, send: Send) -> None:
        await served({**scope, "interpose.role": Role.ADMIN}, receive, send)

    return owned
