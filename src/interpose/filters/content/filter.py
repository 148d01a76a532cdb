"""The filter: which messages are edited, and where their content comes from then.

    short, and here      edited at once, with its length
    for a function       collected up to its limit, edited, with its length
    all else             edited while it flows (`flow`)

What cannot be edited (another charset, codings on top of each other, more than a coding may stand for) goes on as it
is, or is refused where its rule says so, and is noted either way (THREATS A29). The first octets are undone of their
coding before the head goes on: until then both can still be chosen.

A part of what would be edited is no part of what is shown, so it is asked for again, whole; of an edited content that
is short and here, parts are made (`Range`).
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from interpose.core.body import EMPTY, Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.fields import FieldLine, Fields, field_line
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.query.live import Live
from interpose.filters.content.flow import TURN_S, Flow, Work
from interpose.filters.content.rules import Rule, octets
from interpose.protocol import ranges
from interpose.protocol.cache_control import request_directives, response_directives
from interpose.protocol.compressible import MediaTypes
from interpose.protocol.content_coding import Bounds, CodingError, Decoder, coding_of, decoded, encoded
from interpose.protocol.edited import UTF_8, charset_of, edited_lines, inbound_lines, not_modified_lines

AT_ONCE_BYTES: Final = 32768
"""What is here and, without its coding, no longer than this is edited at once."""

_TEXT: Final = MediaTypes(
    (
        "text/*", "*+json", "*+xml", "application/json", "application/xml", "application/javascript",
        "application/ecmascript", "application/x-javascript", "application/x-ndjson",
        "application/x-www-form-urlencoded", "application/graphql",
    )
)  # fmt: skip
_HTML: Final = MediaTypes(("text/html", "application/xhtml+xml"))
_PARTS: Final = MediaTypes(("multipart/byteranges",))
_OF_A_PART: Final = (b"range", b"if-range")


class Content(NamedTuple):
    """A content that is to be edited."""

    exchange: Exchange
    fields: Fields
    body: Body
    side: Side


class ContentEdits:
    """The filter. `wall` is the clock that `time:` in a condition means."""

    def __init__(self, rules: Sequence[Rule], wall: Callable[[], float] = time.time) -> None:
        self._inbound = [rule for rule in rules if not rule.is_outbound]
        self._outbound = [rule for rule in rules if rule.is_outbound]
        said = "\n".join([rule.said for rule in self._outbound])
        self._mark = hashlib.sha256(said.encode()).hexdigest()[:8].encode()
        self._wall = wall

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        if request.upgrade is not None or request.method == "CONNECT":
            return forward(exchange, request)
        live = Live(exchange, request, time=self._wall(), route=exchange.route)
        inbound = [rule for rule in self._inbound if request.body is not EMPTY and rule.means(live)]
        outbound = [rule for rule in self._outbound if rule.may_mean(live)]
        if not inbound and not outbound:
            return forward(exchange, request)
        return self._edited(exchange, request, forward, inbound, outbound)

    async def _edited(
        self, exchange: Exchange, request: Request, forward: Handler, inbound: list[Rule], outbound: list[Rule]
    ) -> Response:
        if inbound:
            content = Content(exchange, request.fields, request.body, Side.DOWNSTREAM)
            body = await self._changed(content, inbound)
            if body is not None:
                request.body = body
                request.fields.lines = edited_lines(request.fields.lines, self._mark)
        if not outbound:
            return await forward(exchange, request)
        asked = Request(request.method, request.target, request.fields, request.body, request.version)
        lines, marked = inbound_lines(request.fields.lines, self._mark)
        asked.fields = Fields.of(request.fields.lines)
        if request.body is not EMPTY or request.method != "GET":
            lines = [line for line in lines if line[0] not in _OF_A_PART]
        again = request.copy() if request.body is EMPTY and _range_of(lines) is not None else None
        request.fields = Fields.of(lines)
        response = await forward(exchange, request)
        if response.status == 206 and again is not None and self._is_part(exchange, asked, response, outbound):
            response.body.close()
            again.fields = Fields.of([line for line in inbound_lines(again.fields.lines, self._mark)[0]
                                      if line[0] not in _OF_A_PART])  # fmt: skip
            response = await forward(exchange, again)
        if response.status == 304:
            response.fields.lines = not_modified_lines(response.fields.lines, marked, self._mark)
            return response
        if response.status in (204, 205, 206) or response.then is not None:
            return response
        return await self._answered(exchange, asked, response, outbound)

    def _means(self, exchange: Exchange, asked: Request, response: Response, rules: list[Rule]) -> list[Rule]:
        live = Live(exchange, asked, response, time=self._wall(), route=exchange.route)
        return [rule for rule in rules if rule.means(live)]

    def _is_part(self, exchange: Exchange, asked: Request, response: Response, rules: list[Rule]) -> bool:
        """Whether a 206 is, or may be, a part of what would be edited."""
        content_type = response.fields.first(b"content-type") or b""
        if _PARTS.matches(content_type):
            return True
        whole = Response(200, response.fields)
        found = self._means(exchange, asked, whole, rules)
        return any(not rule.wants_text or _TEXT.matches(content_type) for rule in found)

    async def _answered(self, exchange: Exchange, asked: Request, response: Response, outbound: list[Rule]) -> Response:
        rules = self._means(exchange, asked, response, outbound)
        if request_directives(asked.fields.every(b"cache-control")).no_transform:
            rules = [rule for rule in rules if rule.forces]
        if not rules:
            return response
        content = Content(exchange, response.fields, response.body, Side.UPSTREAM)
        if asked.method == "HEAD":
            if self._able(content, rules):
                response.fields.lines = edited_lines(response.fields.lines, self._mark)
                response.declared_length = None
            return response
        try:
            body = await self._changed(content, rules)
        except BaseException:
            response.body.close()
            raise
        if body is None:
            return response
        response.fields.lines = edited_lines(response.fields.lines, self._mark)
        response.body = body
        response.declared_length = None
        wanted = _range_of(asked.fields.lines)
        if wanted is not None and asked.method == "GET" and response.status == 200 and body.is_complete:
            _take_part(response, wanted)
        return response

    def _able(self, content: Content, rules: list[Rule]) -> list[Rule]:
        """Those of `rules` that can be applied, as far as the head tells. What cannot is noted, or refused."""
        exchange, fields = content.exchange, content.fields
        if response_directives(fields.every(b"cache-control")).no_transform:
            kept = [rule for rule in rules if rule.forces]
            if len(kept) < len(rules):
                exchange.notes["not_edited"] = "it says no-transform"
            rules = kept
        content_type = fields.first(b"content-type") or b""
        is_text = _TEXT.matches(content_type)
        rules = [rule for rule in rules if is_text or not rule.wants_text]
        charset = charset_of(content_type)
        if charset not in UTF_8:
            rules = self._without_text(content, rules, f"its charset is {charset.decode('latin-1')}")
        try:
            coding_of(fields.every(b"content-encoding"))
        except CodingError as error:
            _give_up(content, rules, str(error))
            return []
        return rules

    def _without_text(self, content: Content, rules: list[Rule], why: str) -> list[Rule]:
        for_text = [rule for rule in rules if rule.wants_text]
        if for_text:
            _give_up(content, for_text, why)
        return [rule for rule in rules if not rule.wants_text]

    async def _changed(self, content: Content, rules: list[Rule]) -> Body | None:
        """The content, edited; None where it stays as it is. `Failure` where a rule would rather have none."""
        rules = self._able(content, rules)
        exchange, fields, body, _ = content
        is_html = _HTML.matches(fields.first(b"content-type") or b"")
        rules = [rule for rule in rules if rule.whole is not None or rule.steps(exchange, is_html=is_html)]
        if not rules:
            return None
        coding = coding_of(fields.every(b"content-encoding"))
        limit = min([rule.max_bytes for rule in rules])
        if any(rule.whole is not None for rule in rules):
            return await self._at_once(content, rules, coding, limit, is_html=is_html)
        beginning = await _beginning(body, coding, limit)
        if beginning.why:
            _give_up(content, rules, beginning.why)
            return None
        _note_edited(exchange, rules)
        steps = [step for rule in rules for step in rule.steps(exchange, is_html=is_html)]
        if body.is_complete and body.trailers is None and beginning.size <= AT_ONCE_BYTES:
            work = Work(steps, coding, limit, lambda: None)
            return Body(b"".join([*work.changed(body.take()), *work.changed(None)]))

        def excess() -> None:
            _give_up(content, rules, f"it is more than {limit} bytes when its coding is undone")

        work = Work(steps, coding, limit, excess)
        return Flow(body, work, asyncio.get_running_loop(), side=content.side).body

    async def _at_once(
        self, content: Content, rules: list[Rule], coding: str, limit: int, *, is_html: bool
    ) -> Body | None:
        exchange, _, body, _ = content
        arrived = await _collected(body, limit)
        if arrived is None:
            _give_up(content, rules, f"it is more than {limit} bytes")
            return None
        try:
            data = decoded(arrived, coding, Bounds(max_bytes=limit))
        except CodingError as error:
            body.put_back(arrived)
            _give_up(content, rules, str(error))
            return None
        _note_edited(exchange, rules)
        for rule in rules:
            if rule.whole is not None:
                made = rule.whole(exchange, data)
                data = octets(await made if inspect.isawaitable(made) else made)
            else:
                work = Work(rule.steps(exchange, is_html=is_html), "", limit, lambda: None)
                data = b"".join([*work.changed(data), *work.changed(None)])
        return Body(encoded(data, coding))


def _give_up(content: Content, rules: list[Rule], why: str) -> None:
    """Note that a content is not edited. `Failure` when a rule would rather not have it go on."""
    content.exchange.notes["not_edited"] = why
    for rule in rules:
        if rule.blocks:
            content.exchange.refused_by("edit", rule.name, f"The content cannot be edited: {why}")
            raise Failure("http_request_denied", content.side, f"The content cannot be edited: {why}", status=403)


def _note_edited(exchange: Exchange, rules: list[Rule]) -> None:
    names = [rule.name for rule in rules]
    if (before := exchange.notes.get("edited")) is not None:
        names.insert(0, before)
    exchange.notes["edited"] = ", ".join(names)


class Beginning(NamedTuple):
    """What the first octets of a content tell: why it cannot be undone of its coding, "" when it seems so, and how
    many octets they are without it."""

    why: str
    size: int


async def _beginning(body: Body, coding: str, limit: int) -> Beginning:
    if not coding:
        return Beginning("", len(body.arrived))
    first = body.take() or await body.next_chunk()
    body.put_back(first)
    decoder = Decoder(coding, Bounds(max_bytes=limit))
    until = time.perf_counter() + TURN_S
    try:
        for _ in decoder.decode(first):
            if time.perf_counter() > until:  # others have their turn meanwhile
                await asyncio.sleep(0)
                until = time.perf_counter() + TURN_S
        if body.is_complete:
            decoder.finish()
    except CodingError as error:
        return Beginning(str(error), decoder.bytes_out)
    return Beginning("", decoder.bytes_out)


async def _collected(body: Body, limit: int) -> bytes | None:
    """All of a content; None, and nothing consumed, when it is longer than `limit`."""
    if body.length is not None and body.length > limit:
        return None
    chunks: list[bytes] = []
    size = 0
    while chunk := await body.next_chunk():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            body.put_back(b"".join(chunks))
            return None
    return b"".join(chunks)


def _range_of(lines: Sequence[FieldLine]) -> bytes | None:
    """What Range says, where no If-Range stands beside it: its tag would have to be strong, and ours are weak."""
    found = [line for line in lines if line[0] in _OF_A_PART]
    return found[0][2] if len(found) == 1 and found[0][0] == b"range" else None


def _take_part(response: Response, wanted: bytes) -> None:
    """Make the 200 a 206 or 416, where Range asks for one part."""
    data = response.body.take()
    parts = ranges.wanted(wanted, len(data))
    if parts is None or len(parts) > 1:
        response.body = Body(data)
        return
    if not parts:
        response.status = 416
        response.fields.lines.append(field_line("Content-Range", ranges.unsatisfied_range(len(data))))
        response.body = EMPTY
        return
    response.status = 206
    response.fields.lines.append(field_line("Content-Range", ranges.content_range(parts[0], len(data))))
    response.body = Body(data[parts[0][0] : parts[0][1] + 1])
