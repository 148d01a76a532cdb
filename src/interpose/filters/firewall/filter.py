"""The filter: what of a request and its answer is inspected, and what follows."""

from __future__ import annotations

from typing import NamedTuple

from interpose.core.body import EMPTY, Body
from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.handler import Handler
from interpose.core.message import Request, Response
from interpose.core.stream import Address
from interpose.filters.firewall.judge import NOTHING, Judgement, judged
from interpose.filters.firewall.messages import Inspect, Verdict
from interpose.filters.firewall.options import Firewall as Options
from interpose.filters.firewall.own_rules import Found, OwnRules, exclusions_of, live
from interpose.filters.firewall.pool import Asking, Pool, Unavailable
from interpose.filters.firewall.reasons import note, why
from interpose.filters.firewall.rule_text import flags_for
from interpose.protocol.compressible import MediaTypes
from interpose.protocol.content_coding import Bounds, CodingError, Decoder, coding_of


class Counts:
    """What the firewall of one worker has done."""

    __slots__ = ("blocked", "detected", "skipped")

    def __init__(self) -> None:
        self.blocked = 0
        """Requests refused and answers withheld."""
        self.detected = 0
        """Those that would have been, where it only detects."""
        self.skipped = 0
        """Those that were not inspected, or not whole, and passed."""


class Content(NamedTuple):
    """What of a request's content is inspected. `was_coded`: its coding is undone."""

    data: bytes
    was_coded: bool = False


NO_CONTENT = Content(b"")


class Firewall:
    """The filter of one route, whose `mode` and `larger_body` are in `options`. `pool` is None without a rule set."""

    def __init__(self, options: Options, pool: Pool | None, counts: Counts) -> None:
        self._options = options
        self._counts = counts
        self._pool = pool
        if pool is not None:
            pool.users.add(self)
        self._blocks = options.mode == "block"
        self._inbound = OwnRules(options.rules, "inbound")
        self._outbound = OwnRules(options.rules, "outbound")
        self._exclusions = exclusions_of(options.exclusions) if pool is not None else []
        self._types = MediaTypes(options.response_types)
        self._reads_body = pool is not None or self._inbound.reads_body

    async def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        """See `core.handler.Filter`."""
        if request.method == "CONNECT":
            return await forward(exchange, request)
        content = NO_CONTENT
        if self._reads_body and request.body is not EMPTY:
            content = await self._content_of(exchange, request)
        asking = await self._judge_request(exchange, request, content)
        if asking is None and not self._outbound:
            return await forward(exchange, request)
        asked = request
        if self._outbound:  # the request belongs to whoever it is forwarded to
            asked = Request(request.method, request.target, request.fields.copy(), EMPTY, request.version)
        try:
            response = await forward(exchange, request)
        except BaseException:
            if asking is not None and self._pool is not None:
                self._pool.forget(asking)
            raise
        await self._judge_answer(exchange, asked, response, asking)
        return response

    # --- requests ----------------------------------------------------------------------------------------------------

    async def _content_of(self, exchange: Exchange, request: Request) -> Content:
        """The content to inspect, its coding undone; it stays where it is. None of one that is too large and passes."""
        body, most = request.body, self._options.max_body_bytes
        data, is_whole = (b"", False) if body.length is not None and body.length > most else await begin(body, most)
        if not is_whole:
            return self._too_large(exchange)
        if request.fields.first(b"content-encoding") is None:
            return Content(data)
        try:
            plain, is_whole = undone(data, request.fields.every(b"content-encoding"), most)
        except CodingError as error:
            if self._pool is None:  # else the rule set sees the coding too, and refuses those
                self._unreadable(exchange, error)
            return Content(data)
        return Content(plain, was_coded=True) if is_whole else self._too_large(exchange)

    def _unreadable(self, exchange: Exchange, error: CodingError) -> None:
        """A coding that nobody can undo hides from own rules what a server may see."""
        if self._options.on_failure == "pass" or not self._blocks:
            self._skipped(exchange, "coding of the content")
            return
        self._counts.blocked += 1
        exchange.refused_by("firewall", "content coding", str(error))
        raise Failure("http_request_error", Side.DOWNSTREAM, f"The firewall cannot read it: {error}", status=415)

    def _too_large(self, exchange: Exchange) -> Content:
        most = self._options.max_body_bytes
        if self._options.larger_body == "pass" or not self._blocks:
            self._skipped(exchange, f"content longer than {most} bytes")
            return NO_CONTENT
        reason = f"The content is longer than {most} bytes, the most that the firewall inspects."
        self._counts.blocked += 1
        exchange.refused_by("firewall", "max_body_bytes", reason)
        raise Failure("http_request_error", Side.DOWNSTREAM, reason, status=413)

    async def _judge_request(self, exchange: Exchange, request: Request, content: Content) -> Asking | None:
        """Let it pass, or raise. What was asked of the rule set, where the answer is to be inspected too."""
        found = NOTHING
        if self._inbound:
            text = content.data.decode("utf-8", "replace") if self._inbound.reads_body else None
            found = self._inbound.ask(live(exchange, request, request_text=text))
        verdict, asking = None, None
        if self._pool is not None and (found.blocked_by is None or not self._blocks):
            try:
                verdict, asking = await self._pool.request(self._inspect(exchange, request, content))
            except Unavailable as reason:
                self._unavailable(exchange, reason)
        judgement = self._judged(found, verdict, is_answer=False)
        self._follow(exchange, judgement, "inbound", self._options.inbound_threshold, asking)
        return asking if self._options.responses else None

    def _inspect(self, exchange: Exchange, request: Request, content: Content) -> Inspect:
        numbers = []
        if self._exclusions:
            (subject, *_) = live(exchange, request)
            numbers = [number for number, matcher in self._exclusions if matcher.matches(subject)]
        client, local = exchange.client, exchange.local
        lines = request.fields.lines
        if content.was_coded:  # what is inspected is not
            lines = [line for line in lines if line[0] != b"content-encoding"]
        fields = [line[3] for line in lines]
        if request.fields.first(b"host") is None:
            fields.insert(0, b"Host: %b\r\n" % str(request.target.authority).encode("latin-1", "replace"))
        if request.body is not EMPTY:
            length = request.body.length
            framing = b"Transfer-Encoding: chunked\r\n" if length is None else b"Content-Length: %d\r\n" % length
            fields.append(framing)
        return Inspect(
            0,
            flags_for(exchange.id, detects=not self._blocks, exclusions=numbers),
            _end(client),
            _end(local),
            request.method,
            request.target.path_and_query or "*",
            "1.1" if request.version else "1.0",
            b"".join(fields),
            content.data,
            self._options.responses,
        )

    # --- answers -----------------------------------------------------------------------------------------------------

    async def _judge_answer(
        self, exchange: Exchange, request: Request, response: Response, asking: Asking | None
    ) -> None:
        """Let the answer to `request` pass, or close and raise."""
        found, verdict, is_asked = NOTHING, None, False
        try:
            if self._outbound:
                found = self._outbound.ask(live(exchange, request, response))
            if asking is not None and self._pool is not None and (found.blocked_by is None or not self._blocks):
                body = await self._beginning(exchange, response)
                fields = b"".join([line[3] for line in response.fields.lines])
                is_asked = True
                verdict = await self._pool.answer(asking, response.status, fields, body)
        except Unavailable as reason:
            try:
                self._unavailable(exchange, reason)
            except Failure:
                response.body.close()
                raise
        finally:
            if asking is not None and self._pool is not None and not is_asked:
                self._pool.forget(asking)
        judgement = self._judged(found, verdict, is_answer=True)
        try:
            self._follow(exchange, judgement, "outbound", self._options.outbound_threshold, None)
        except Failure:
            response.body.close()
            raise

    async def _beginning(self, exchange: Exchange, response: Response) -> bytes:
        """As much of the answer's content as is inspected, its coding undone; it stays where it is."""
        most = self._options.max_response_bytes
        fields = response.fields
        if response.then is not None or response.body is EMPTY:
            return b""
        if not most or not self._types.matches(fields.first(b"content-type") or b""):
            return b""
        data, _ = await begin(response.body, most)
        if fields.first(b"content-encoding") is None:
            return data[:most]
        try:
            return undone(data, fields.every(b"content-encoding"), most)[0][:most]
        except CodingError:
            self._skipped(exchange, "coding of the answer")
            return b""

    # --- both --------------------------------------------------------------------------------------------------------

    def _judged(self, found: Found, verdict: Verdict | None, *, is_answer: bool) -> Judgement:
        options = self._options
        return judged(
            found,
            verdict,
            is_answer=is_answer,
            blocking=options.blocking_paranoia,
            threshold=options.outbound_threshold if is_answer else options.inbound_threshold,
            blocks=self._blocks,
        )

    def _follow(
        self, exchange: Exchange, judgement: Judgement, side: str, threshold: int, asking: Asking | None
    ) -> None:
        """Leave the note, and raise when it is refused."""
        if not judgement.matches and not judgement.reaches:
            return
        result = "blocked" if judgement.status else "detected" if judgement.reaches else "noted"
        note(exchange.notes, result, side, judgement.score, threshold, judgement.matches)
        if not judgement.status:
            self._counts.detected += judgement.reaches
            return
        self._counts.blocked += 1
        if asking is not None and self._pool is not None:
            self._pool.forget(asking)
        by = judgement.by
        reason = why(judgement.matches, side, judgement.score, threshold)
        if judgement.score < threshold:
            reason = by.message if by is not None else "The rule set refuses it."
        exchange.refused_by("firewall", by.rule if by is not None else "rule set", reason)
        if side == "inbound":
            raise Failure("http_request_denied", Side.DOWNSTREAM, "The firewall refused it.", status=judgement.status)
        raise Failure("http_request_denied", Side.UPSTREAM, "The firewall withheld the answer.", status=403)

    def _unavailable(self, exchange: Exchange, reason: Unavailable) -> None:
        """Note it, and raise unless what could not be inspected passes."""
        if self._options.on_failure == "pass" or not self._blocks:
            self._skipped(exchange, reason.reason)
            return
        exchange.refused_by("firewall", reason.reason, str(reason))
        raise Failure("proxy_internal_error", Side.INTERNAL, str(reason), status=503) from None

    def _skipped(self, exchange: Exchange, what: str) -> None:
        """Note that something was not inspected, and passes."""
        self._counts.skipped += 1
        exchange.notes["firewall_skipped"] = what


async def begin(body: Body, most: int) -> tuple[bytes, bool]:
    """The first `most` octets of `body` and a few more, or all of it, and whether it is; it stays in the body."""
    if body.is_complete:
        data = body.arrived
        return data, len(data) <= most
    chunks: list[bytes] = []
    size = 0
    while size <= most and (chunk := await body.next_chunk()):
        chunks.append(chunk)
        size += len(chunk)
    data = b"".join(chunks)
    body.put_back(data)
    return data, size <= most


def undone(data: bytes, codings: list[bytes], most: int) -> tuple[bytes, bool]:
    """What `data` in some coding stands for, up to `most` octets and a piece, and whether that is all of it. What is
    missing at the end is no matter here. CodingError for what nobody can undo."""
    coding = coding_of(codings)
    if not coding:
        return data, len(data) <= most
    pieces: list[bytes] = []
    size = 0
    try:
        for piece in Decoder(coding, Bounds(max_bytes=most + 65536)).decode(data):
            pieces.append(piece)
            size += len(piece)
            if size > most:
                break
    except CodingError as error:
        if not error.is_too_much:
            raise
        size = most + 1
    return b"".join(pieces), size <= most


def _end(address: Address) -> tuple[str, int]:
    """An address as the rules know it. A client of a Unix socket has none: it is on this machine."""
    host, port = address
    return (host, port) if port else ("127.0.0.1", 0)
