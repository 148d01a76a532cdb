"""One connection to an origin: a request out, its answer in, and back to the pool.

The exchange waits for one future, the answer's head. The parser first finishes with everything that was received, so
that when the waiter wakes a short answer is complete in memory and leaves in one write. From the head on the body is
fed by callbacks.

Origins are as hostile as clients: heads and framing are read by the same strict code, interim answers are counted,
and bytes that come when nothing was asked, or after the end of an answer, cost the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from interpose.core.body import MAX_PIECE_BYTES, Body
from interpose.core.exchange import Attempt, Exchange
from interpose.core.failure import Failure, Side, bad_response
from interpose.core.message import Request, Response
from interpose.core.stream import Stream
from interpose.engine.pace import Pace
from interpose.engine.request_sender import RequestSender
from interpose.engine.run import Signal
from interpose.protocol import head, writer
from interpose.protocol.collect import collect
from interpose.protocol.framing import CHUNKED, UNTIL_CLOSE, BadFraming, Decoder, decoder_for

MAX_INTERIM = 8
CONTINUE_TIMEOUT_S = 1.0

_EVENT_STREAM = b"text/event-stream"


class UpstreamConnection:
    """A `Receiver` of an origin's bytes and the `Source` of its answers' bodies.

    `on_idle(self)` is called when the connection can carry another exchange, `on_gone(self)` when it is lost while
    idle or busy.
    """

    __slots__ = (
        "_body", "_buffer", "_decoder", "_exchange", "_framing", "_head", "_interim", "_is_event_stream",
        "_keep_alive", "_loop", "_method", "_on_gone", "_on_idle", "_pace", "_parser", "_received", "_request_body",
        "_sender", "_upgrade", "_waits_for_head", "attempt", "idle_since", "is_lost", "sent_at", "served", "stream",
    )  # fmt: skip

    def __init__(
        self,
        stream: Stream,
        parser: head.HeadParser,
        on_idle: Callable[[UpstreamConnection], None],
        on_gone: Callable[[UpstreamConnection], None],
    ) -> None:
        self.stream = stream
        self._loop = asyncio.get_running_loop()  # asking for it anew costs a system call (getpid)
        self._parser = parser
        self._on_idle = on_idle
        self._on_gone = on_gone
        self._buffer: bytes | bytearray = b""
        self._head: Signal | None = None
        self._waits_for_head = False
        self._exchange: Exchange | None = None
        self._method = ""
        self._upgrade: str | None = None
        self._decoder: Decoder | None = None
        self._framing = 0
        self._body: Body | None = None
        self._request_body: Body | None = None
        self._sender: RequestSender | None = None
        self._keep_alive = False
        self._interim = 0
        self._is_event_stream = False
        self._received = 0
        self._pace: Pace | None = None
        self.attempt: Attempt | None = None
        self.idle_since = 0.0
        self.sent_at = 0.0
        self.served = 0
        self.is_lost = False
        stream.attach(self)

    def send(
        self, exchange: Exchange, request: Request, attempt: Attempt, content: bytes, *, absolute: bool = False
    ) -> Signal:
        """Send `request`; the signal gets its final answer, whose body streams on, or a `Failure`.

        `content` is the whole body when it was complete in memory; otherwise `request.body` flows as it comes.
        """
        loop = self._loop
        self._exchange = exchange
        self._method = request.method
        self._upgrade = request.upgrade
        self._keep_alive = False
        self._interim = 0
        self._received = 0
        self._pace = None
        self.attempt = attempt
        self.served += 1
        waiter = self._head = Signal(loop)
        self._waits_for_head = True
        body = request.body
        self.sent_at = loop.time()
        if content or body.ended:
            self._sender = None
            attempt.head = head_bytes = writer.request_head(request, len(content), absolute)
            self.stream.write(head_bytes + content if content else head_bytes)
        else:
            framing = CHUNKED if body.length is None else body.length
            attempt.head = head_bytes = writer.request_head(request, framing, absolute)
            self._request_body = body
            self._sender = RequestSender(self, framing, head_bytes)
            if request.expects_continue:
                self._sender.send_head()
                loop.call_later(CONTINUE_TIMEOUT_S, self._go_on_with_body, self._sender)
            else:
                self._go_on_with_body(self._sender)
        return waiter

    def _go_on_with_body(self, sender: RequestSender) -> None:
        """Let the request's body flow, unless it does already or the exchange is over."""
        body = self._request_body
        if sender is self._sender and body is not None and not sender.has_begun:
            sender.has_begun = True
            body.pipe(sender)
            sender.send_head()

    def request_sent(self) -> None:
        """(sender) The last byte of the request is written."""
        self._sender = None
        self._request_body = None
        if self._waits_for_head:
            self.sent_at = self._loop.time()

    def request_broke(self, failure: Failure) -> None:
        """(sender) The client's body broke off: so does this connection."""
        self._fail(failure)
        self.stream.abort()

    def bytes_received(self, data: bytes) -> None:
        """See `core.stream.Receiver`."""
        self._received += len(data)
        try:
            if self._decoder is not None:
                self._read_body(data)
            elif self._waits_for_head:
                self._read_head(data)
            else:  # nobody asked (THREATS A7)
                self.abort()
        except Failure as failure:
            self._fail(failure)
            self.stream.abort()

    def end_received(self) -> None:
        """The origin sends no more."""
        if self._framing == UNTIL_CLOSE and self._decoder is not None and self._body is not None:
            self._decoder = None
            body, self._body = self._body, None
            self._keep_alive = False
            body.finish()
            self._answer_ended(b"")
            return
        self._fail(self._broken_off())
        self.abort()

    def writable(self) -> None:
        """The origin takes bytes again."""
        if self._sender is not None and self._sender.on_drain is not None:
            self._sender.on_drain()

    def connection_lost(self, failure: Failure | None) -> None:
        """The connection is gone."""
        self.is_lost = True
        self._on_gone(self)
        if failure is not None and failure.kind == "tls_alert_received":  # such as that it wants a certificate of ours
            self._fail(Failure(failure.kind, Side.UPSTREAM, failure.detail, sent=True))
        self._fail(self._broken_off())

    def _read_head(self, data: bytes) -> None:
        while True:
            parser = self._parser
            limit = parser.limits.max_head_bytes
            whole, rest = collect(self._buffer, data, limit, parser.check_open_response, may_begin_empty=False)
            if whole is None:
                self._buffer = rest
                return
            self._buffer = b""
            received = parser.response(whole, self._method)
            response = received[0]
            if response.status >= 200 or response.status == 101:
                break
            self._interim_answer(response)
            if not rest:
                return
            data = bytes(rest)
        if response.status == 101 or (self._method == "CONNECT" and response.status < 300):
            self._switch(response, bytes(rest))
            return
        self._answer(received, bytes(rest))

    def _answer(self, received: head.ReceivedResponse, rest: bytes) -> None:
        """The head of the final answer is here; feed what came of its body before anybody wakes."""
        response, framing, self._keep_alive = received
        self._waits_for_head = False
        if (attempt := self.attempt) is not None:
            attempt.status = response.status
            attempt.first_byte = self._loop.time()
            # Such schemes make the connection somebody's own, against RFC 9110, 11.1: nobody else may have it after.
            if b"egotiate " in attempt.head or b"NTLM " in attempt.head:
                self._keep_alive = False
        waiter = self._head
        if framing == 0:
            self._answer_ended(rest)
            self._set(waiter, response)
        elif framing > 0 and len(rest) == framing:
            response.body = Body(rest)
            self._answer_ended(b"")
            self._set(waiter, response)
        else:
            response.ends_with_connection = framing == UNTIL_CLOSE
            self._framing = framing
            self._decoder = decoder_for(framing, self._parser.field)
            self._body = response.body = Body.streaming(self, framing if framing > 0 else None)
            self._pace = None
            self._is_event_stream = (response.fields.first(b"content-type") or b"").startswith(_EVENT_STREAM)
            if rest:
                self._read_body(rest)  # when this raises, the waiter is told of that and of no answer
            self._set(waiter, response)

    def _read_body(self, data: bytes) -> None:
        assert self._decoder is not None
        assert self._body is not None
        if len(data) > MAX_PIECE_BYTES:
            self.stream.receive_in_pieces()
        try:
            content, rest = self._decoder.decode(data)
        except BadFraming as bad:
            raise bad_response(f"In the answer: {bad.text}", "http_response_transfer_coding") from None
        if content:
            self._body.feed(content)
        if rest is not None and self._decoder is not None:
            decoder, self._decoder = self._decoder, None
            body, self._body = self._body, None
            self.stream.resume()
            body.finish(decoder.trailers)
            self._answer_ended(rest)

    def _answer_ended(self, rest: bytes) -> None:
        """The answer is complete: the connection is free, if both sides left it clean."""
        self._exchange = None
        self._head = None
        self.attempt = None
        self._pace = None
        if rest or not self._keep_alive or self._sender is not None:
            self._keep_alive = False
            self._give_up_request()
            self.close()
        else:
            self._on_idle(self)

    def _interim_answer(self, response: Response) -> None:
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise bad_response(f"The origin sent more than {MAX_INTERIM} interim answers.")
        if response.status == 100:
            if self._sender is not None:
                self._go_on_with_body(self._sender)
        elif self._exchange is not None and self._exchange.on_interim is not None:
            self._exchange.on_interim(response.status, response.fields)

    def _switch(self, response: Response, rest: bytes) -> None:
        """The origin switches protocols: the stream belongs to whoever asked for it."""
        if response.status == 101 and (
            self._upgrade is None or response.upgrade != self._upgrade or self._sender is not None
        ):
            raise bad_response("The origin switched protocols without being asked to.", "http_upgrade_failed")
        if (attempt := self.attempt) is not None:
            attempt.status = response.status
            attempt.first_byte = self._loop.time()
        waiter, self._head = self._head, None
        self._waits_for_head = False
        self._exchange = None
        self.stream.hand_over(rest)
        self.stream.when_lost(lambda failure: self._on_gone(self))
        self._set(waiter, response)

    @staticmethod
    def _set(waiter: Signal | None, response: Response) -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(response)
        else:
            response.body.close()

    def pause(self) -> None:
        """The client is slower than the origin."""
        self.stream.pause()

    def resume(self) -> None:
        """The client takes bytes again."""
        self.stream.resume()

    def cancel(self) -> None:
        """Nobody wants the rest of the answer: an unread answer costs the connection."""
        self._body = None
        self.abort()

    def _broken_off(self) -> Failure:
        if self._waits_for_head:
            begun = bool(self._buffer)
            kind = "http_response_incomplete" if begun else "connection_terminated"
            return Failure(kind, Side.UPSTREAM, "The origin closed the connection before answering.", sent=True)
        return Failure("http_response_incomplete", Side.UPSTREAM, "The origin's answer broke off.", sent=True)

    def _fail(self, failure: Failure) -> None:
        """Tell whoever waits. Does nothing when nobody does."""
        waiter, self._head = self._head, None
        body, self._body = self._body, None
        if self.attempt is not None and self.attempt.failure is None and (self._waits_for_head or body is not None):
            self.attempt.failure = failure
        self._decoder = None
        self._waits_for_head = False
        self._exchange = None
        self._give_up_request()
        if body is not None:
            body.fail(failure)
        if waiter is not None and not waiter.done():
            waiter.set_exception(failure)

    def _give_up_request(self) -> None:
        sender, self._sender = self._sender, None
        body, self._request_body = self._request_body, None
        if sender is not None:
            sender.is_over = True
        if body is not None:
            body.close()

    def close(self) -> None:
        """End a connection without an exchange. What its origin has not taken is not waited for: it may never be."""
        if self.stream.unsent_bytes:
            self.stream.abort()
        else:
            self.stream.close()

    def abort(self) -> None:
        """Break off whatever runs; the connection is lost."""
        self.is_lost = True
        self._fail(self._broken_off())
        self.stream.abort()

    @property
    def has_begun_answering(self) -> bool:
        """Whether any byte of an answer to the present request has come."""
        return self._received > 0

    def tick(self, now: float, answer_timeout_s: float, body_timeout_s: float, stream_timeout_s: float) -> None:
        """Judge the deadlines of a busy connection."""
        exchange = self._exchange
        if exchange is None or exchange.is_waiting:
            return
        if self._waits_for_head:
            if self._sender is not None:
                if self._is_stalled(now, self.stream.written_bytes - self.stream.unsent_bytes, body_timeout_s):
                    if self.stream.unsent_bytes:
                        self._time_out("connection_write_timeout", "The origin stopped reading the request.")
            elif now - self.sent_at >= answer_timeout_s:
                self._time_out("http_response_timeout", f"The origin did not answer within {answer_timeout_s:g} s.")
        elif self._body is not None and self.stream.is_reading:
            limit = stream_timeout_s if self._is_event_stream else body_timeout_s
            if self._is_stalled(now, self._received, limit):
                self._time_out("connection_read_timeout", f"The origin sent nothing for {limit:g} s.")
        else:
            self._pace = None

    def _is_stalled(self, now: float, count: int, limit: float) -> bool:
        if self._pace is None:
            self._pace = Pace(now, count)
            return False
        return self._pace.complaint(now, count, limit, 0) is not None

    def _time_out(self, kind: str, detail: str) -> None:
        self._fail(Failure(kind, Side.UPSTREAM, detail, sent=True))
        self.stream.abort()
