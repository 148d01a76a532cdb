"""What monitoring asks: `/metrics`, `/healthz` and `/readyz`, without a token, and the metrics in the API.

`/healthz` says that the supervisor answers, which is all that starting it anew could mend: it replaces workers itself.
`/readyz` says whether new connections are welcome; while it drains they are not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from interpose.console.access import host_in
from interpose.console.exposition import CONTENT_TYPE
from interpose.console.resource import Group, Resource
from interpose.console.services import Instance
from interpose.core.networks import Networks
from interpose.net.address import ip_address

_NOT_KEPT: Final = {"Cache-Control": "no-store"}


def monitor(instance: Instance, metrics: Callable[[], str], *, allow_from: Networks, hosts: Collection[str]) -> ASGIApp:
    """What serves `metrics` and the probes to who may ask (`config.metrics_model.Metrics`)."""

    async def shown(_: Request) -> Response:
        return as_text(metrics())

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n", headers=_NOT_KEPT)

    async def readiness(_: Request) -> Response:
        if instance.is_ready:
            return PlainTextResponse("ready\n", headers=_NOT_KEPT)
        return PlainTextResponse("not ready\n", 503, headers={**_NOT_KEPT, "Retry-After": "1"})

    routes = [Route("/metrics", shown), Route("/healthz", health), Route("/readyz", readiness)]
    served = Starlette(routes=routes)
    names = frozenset((*hosts, "localhost"))

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := _refusal(Request(scope), allow_from, names)) is not None:
            status, why = refusal
            await PlainTextResponse(f"{why}\n", status, headers=_NOT_KEPT)(scope, receive, send)
        else:
            await served(scope, receive, send)

    return guarded


def _refusal(request: Request, allow_from: Networks, hosts: Collection[str]) -> tuple[int, str] | None:
    """Status and reason where this may not be asked; None where it may.

    A name that is not known could be that of a page in somebody's browser, which was made to mean this address.
    """
    client = request.client
    if allow_from and client is not None and client.host and client.host not in allow_from:
        return 403, "Your address is not in metrics.allow_from."
    name = host_in(request.headers.get("host", ""))
    known = not name or name in hosts or f"*.{name.partition('.')[2]}" in hosts or ip_address(name) is not None
    return None if known else (421, "This name is not in metrics.hosts; ask by the address, or name it there.")


def as_text(metrics: str) -> Response:
    """The answer that gives the metrics."""
    return Response(metrics, headers={**_NOT_KEPT, "Content-Type": CONTENT_TYPE})


def metrics_group(metrics: Callable[[], str]) -> Group:
    """The metrics in the API, for those whom its token lets in."""

    async def shown(_: Request) -> Response:
        return as_text(metrics())

    return Group(
        name="metrics",
        about="Numbers for monitoring.",
        resources=[
            Resource(
                method="GET",
                path="/metrics",
                handler=shown,
                answer="text/plain",
                about="What was counted, in the text format of Prometheus.",
            )
        ],
    )
