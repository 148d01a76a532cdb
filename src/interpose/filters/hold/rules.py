"""Rules that can be asked, and what of a content they search."""

from __future__ import annotations

import contextlib
import time

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.query import Matcher, compile_query, parse
from interpose.core.query.live import Live
from interpose.core.query.words import Need
from interpose.core.target import without_parameters
from interpose.filters.hold.options import HoldRule
from interpose.protocol.content_coding import Bounds, CodingError, coding_of, decoded

MOST_SEARCHED_BYTES = 1 << 20
"""How much of a content a rule with `body:` looks through."""


class Rule:
    """A rule that can be asked."""

    def __init__(self, options: HoldRule) -> None:
        self.options = options
        self.name = options.name or options.when
        self.matcher: Matcher = compile_query(parse(options.when))
        self.reads_request = bool(self.matcher.needs & Need.REQUEST_BODY)
        self.reads_response = bool(self.matcher.needs & Need.RESPONSE_BODY)

    def matches(
        self,
        exchange: Exchange,
        request: Request,
        response: Response | None = None,
        *,
        request_text: str | None = None,
        response_text: str | None = None,
    ) -> bool:
        """Whether it means this message.

        Some servers take `;x=y` in a path for a parameter and not for a part of the name, so a path with one is asked
        about in both ways: it is held if either is, and passes only if both do (THREATS A13).
        """
        path = request.target.path
        requests = [request]
        if ";" in path:
            target = request.target._replace(path=without_parameters(path))
            requests.append(Request(request.method, target, request.fields, request.body, request.version))
        answers = [
            self.matcher.matches(
                Live(
                    exchange,
                    asked,
                    response,
                    time=time.time(),
                    route=exchange.route,
                    request_text=request_text,
                    response_text=response_text,
                )
            )
            for asked in requests
        ]
        return any(answers) if self.options.action == "hold" else all(answers)


async def in_memory(body: Body) -> Body:
    """`body` with the first octets of its content in memory, as many as are searched at most, or all of it."""
    if body.is_complete or body.ended:
        return body
    chunks: list[bytes] = []
    size = 0
    while size < MOST_SEARCHED_BYTES and (chunk := await body.next_chunk()):
        chunks.append(chunk)
        size += len(chunk)
    body.put_back(b"".join(chunks))
    return body


def searchable(body: Body, fields: Fields) -> str:
    """The content of a body, as far as it is here, as the text that a rule searches; undecodable content as it is."""
    data = body.take()
    body.put_back(data)
    data = data[:MOST_SEARCHED_BYTES]
    with contextlib.suppress(CodingError):
        data = decoded(data, coding_of(fields.every(b"content-encoding")), Bounds(max_bytes=MOST_SEARCHED_BYTES))
    return data.decode("utf-8", "replace")
