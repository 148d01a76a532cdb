"""The filter that keeps clients from what is on block lists."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Answered, Handler
from interpose.core.message import Request, Response
from interpose.core.target import Authority, Form, Target
from interpose.filters.blocklist.bypass import PLACE, Bypass
from interpose.filters.blocklist.lists import Blocked, Lists
from interpose.filters.blocklist.party import purpose_of

log = logging.getLogger("interpose")

_EMPTY_IMAGE: Final = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c000000000100010000020144003b"
)
"""A GIF of one transparent pixel."""
_SHOWN = 200


class Render(Protocol):
    """Makes the answer that tells a client about a failure; `anyway` is where it may go on all the same."""

    def __call__(self, exchange: Exchange, request: Request | None, failure: Failure, *, anyway: str = "") -> Response:
        """The answer."""


class Source(Protocol):
    """Where the lists come from."""

    @property
    def lists(self) -> Lists:
        """As they are now."""


class BlockLists:
    """The filter of one listener, and what its conversations below HTTP ask. `hits` counts, by the name of a list."""

    def __init__(
        self,
        source: Source,
        bypass: Bypass | None,
        render: Render,
        hits: Mapping[str, Callable[[], None]],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._bypass = bypass
        self._render = render
        self._hits = dict(hits)
        self._wall = wall

    @property
    def lists(self) -> Lists:
        """As they are now."""
        return self._source.lists

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        blocked = self._source.lists.find(request)
        bypass = self._bypass
        if bypass is not None:
            if request.target.path == PLACE:
                return Answered(self._followed(bypass, exchange, request))
            client, host = exchange.client.host, request.target.authority.host
            goes_anyway = bypass.taken_from(request.fields, client, host, self._wall())
            if goes_anyway and blocked is not None and blocked.options.bypass:
                exchange.notes["bypassed"] = f"{blocked.options.name}: {blocked.rule}"[:_SHOWN]
                return forward(exchange, request)
        if blocked is None:
            return forward(exchange, request)
        failure = self._refused(exchange, blocked)
        if request.target.form is Form.AUTHORITY:
            raise failure
        return Answered(self._answer(exchange, request, blocked, failure))

    async def admit(self, exchange: Exchange, authority: Authority, kind: str) -> Authority:
        """(`engine.socks.Admit`) The same authority; `Failure`, with its note, when it is on a list."""
        blocked = self._source.lists.find(Request("CONNECT", Target(Form.AUTHORITY, "", authority, ""), Fields()))
        if blocked is not None:
            raise self._refused(exchange, blocked)
        return authority

    def _refused(self, exchange: Exchange, blocked: Blocked) -> Failure:
        """Count and note it."""
        name, rule = blocked.options.name, blocked.rule[:_SHOWN]
        self._hits[name]()
        why = f"The block list “{name}” has it: {rule}"
        exchange.refused_by("blocklist", f"{name}: {rule}", why)
        return Failure("http_request_denied", Side.DOWNSTREAM, why, public=True)

    def _answer(self, exchange: Exchange, request: Request, blocked: Blocked, failure: Failure) -> Response:
        kind = purpose_of(request).kind
        if kind == "image":
            fields = Fields([("Content-Type", "image/gif"), ("Cache-Control", "no-store")])
            return Response(failure.status, fields, Body(_EMPTY_IMAGE))
        anyway = ""
        target = request.target
        if self._bypass is not None and blocked.options.bypass and request.method == "GET":
            link = self._bypass.link(exchange.client.host, target.authority.host, target.path_and_query, self._wall())
            anyway = f"{target.scheme}://{target.authority}{link}"
        return self._render(exchange, request, failure, anyway=anyway)

    def _followed(self, bypass: Bypass, exchange: Exchange, request: Request) -> Response:
        """The answer to who follows a link of ours."""
        client, host, now = exchange.client.host, request.target.authority.host, self._wall()
        to = bypass.followed(client, host, request.target.query, now)
        if to is None:
            return Response.text(403, "This link is not for you, or too old. Open the page again.\n")
        for_s = max([one.bypass_s for one in self._source.lists.options if one.bypass])
        cookie = bypass.cookie(client, host, for_s, now, secure=request.target.scheme == "https")
        # A path, so that it can lead to no other host. (Its own page has said so: nothing here is for caches.)
        fields = Fields([("Location", to), ("Set-Cookie", cookie), ("Cache-Control", "no-store")])
        return Response(303, fields)
