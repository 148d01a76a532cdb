"""Serving HTTP/1 on a stream: requests in, the handler's answers out, one exchange after the other.

The life of a connection is a cycle of four states, told by `_state`:

    HEAD    waiting for a request head; what has come of it is in `_buffer`
    BUSY    an exchange runs, or its answer is written and what is left of its request still arrives
    FULL    the exchange is over, but the client has too much of its answer still to take: no other begins until then
    OVER    no more requests: the stream is a tunnel's, or only what is to be thrown away is still read

Bytes that arrive while an exchange runs belong to its body (`_receiver`) or to the next request (`_buffer`, bounded:
above the bound the client has to wait). An exchange is over when its answer is written *and* its request is read;
then `_next` begins again. What may happen in any order: the client leaves (the handler is cancelled, or the answer's
body closed), the answer is ready before the body has been read (the rest is thrown away, within limits, or the
connection closes), the body breaks off, a deadline passes.
"""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from typing import Final

from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side, bad_request
from interpose.core.fields import Fields
from interpose.core.message import Request, Response
from interpose.core.stream import Stream
from interpose.engine.answer import answer_head, plan_answer, switches
from interpose.engine.client_pace import ClientPace
from interpose.engine.request_receiver import MAX_DRAIN_BYTES, RequestReceiver
from interpose.engine.response_writer import ResponseWriter
from interpose.engine.run import Runs, run_handler
from interpose.engine.serving import Serving
from interpose.protocol import head, writer
from interpose.protocol.collect import collect

log = logging.getLogger("interpose")

MAX_WAITING_BYTES = 65536
DRAIN_TIMEOUT_S = 1.0
HEAD: Final = "head"
BUSY: Final = "busy"
FULL: Final = "full"
OVER: Final = "over"


class ServerConnection:
    """One client connection: the `Receiver` of its bytes."""

    __slots__ = (
        "_buffer", "_client_ended", "_discarded", "_exchange", "_head_since", "_info", "_keep_alive", "_method",
        "_minor", "_pace", "_receiver", "_request", "_response", "_run", "_server", "_state", "_stream",
        "_unread_since", "_writer",
    )  # fmt: skip

    def __init__(self, server: Serving, stream: Stream) -> None:
        self._server = server
        self._stream = stream
        self._info = stream.info
        self._state = HEAD
        self._buffer: bytes | bytearray = b""
        self._head_since = server.loop.time()
        self._keep_alive = True
        self._exchange: Exchange | None = None
        self._request: Request | None = None
        self._method = ""
        self._minor = 1
        self._response: Response | None = None
        self._run: Runs | None = None
        self._receiver: RequestReceiver | None = None
        self._writer: ResponseWriter | None = None
        self._client_ended = False
        self._discarded, self._unread_since = 0, 0.0
        self._pace: ClientPace | None = None

    def bytes_received(self, data: bytes) -> None:
        """See `core.stream.Receiver`."""
        if self._state is HEAD:
            self._read_head(data)
        elif self._state is OVER:
            self._discarded += len(data)
            if self._discarded > MAX_DRAIN_BYTES:
                self._over()
        elif self._receiver is not None:
            self._read_body(data)
        else:
            self._buffer = self._buffer + data if self._buffer else data
            if len(self._buffer) > MAX_WAITING_BYTES:
                self._stream.pause()

    def end_received(self) -> None:
        """The client sends no more: it may still be waiting for its answer (half-close)."""
        if self._state is HEAD or self._state is OVER:
            self._over()
        elif self._receiver is not None:
            self._request_broke(bad_request("The request ended before its body did."))
        self._client_ended = True

    def writable(self) -> None:
        """The client takes bytes again."""
        if self._state is FULL:
            self._state = BUSY
            self._begin_next()
        elif self._writer is not None:
            self._writer.drained()

    def connection_lost(self, failure: Failure | None) -> None:
        """The client is gone, with its answer or without."""
        self._server.connections.discard(self)
        self._state = OVER
        if self._exchange is None:
            return
        gone = Failure("connection_terminated", Side.DOWNSTREAM, "The client left before the end of its answer.")
        receiver, response, run = self._receiver, self._response, self._run
        self._finish_exchange(gone)  # first: what is told of it below may answer at once, and nobody is there any more
        if receiver is not None:
            receiver.broke(gone)
        if response is not None:
            response.body.close()
        if run is not None:
            run.cancel()

    def _read_head(self, data: bytes) -> None:
        """Collect a head; once it is whole, begin its exchange."""
        parser = self._server.parser
        try:
            whole, rest = collect(
                self._buffer, data, parser.limits.max_head_bytes, parser.check_open_request, may_begin_empty=True
            )
            if whole is None:
                self._buffer, self._head_since = rest, self._head_since or self._server.loop.time()
                return
            received = parser.request(whole, "http" if self._info.tls is None else "https")
        except Failure as failure:
            self._refuse(failure)
            return
        self._begin(received, bytes(rest))

    def _begin(self, received: head.ReceivedRequest, rest: bytes) -> None:
        server = self._server
        request, framing, self._keep_alive = received
        exchange = server.new_exchange(self._info, request.target.scheme)
        exchange.on_interim = self._interim
        self._exchange = exchange
        self._request = request
        self._method = request.method  # as the client asked: filters may change the request, its answer belongs to it
        self._minor = request.version
        self._state = BUSY
        self._head_since, self._pace = 0.0, None
        self._buffer = b""
        if framing:
            self._receiver = RequestReceiver(self._stream, framing, server.parser.field, request.expects_continue)
            request.body = self._receiver.body
            if rest:
                self._read_body(rest)
        else:
            self._buffer = rest
        tasks_on = server.loop if server.needs_tasks else None
        self._run = run_handler(server.handler, exchange, request, self._handler_ended, tasks_on)

    def _read_body(self, data: bytes) -> None:
        assert self._receiver is not None
        try:
            rest = self._receiver.take(data)
        except Failure as failure:
            self._request_broke(failure)
            return
        if rest is not None:
            self._receiver = None
            self._buffer = rest
            if len(rest) <= MAX_WAITING_BYTES:
                self._stream.resume()
            if self._exchange is None:
                self._next()
        elif self._exchange is None and self._receiver.discarded > MAX_DRAIN_BYTES:
            self._over()

    def _request_broke(self, failure: Failure) -> None:
        """The body breaks off: whoever reads it learns of it, and the connection is good for the answer only."""
        receiver, self._receiver = self._receiver, None
        self._keep_alive = False
        self._buffer = b""
        assert receiver is not None
        if self._exchange is None:
            self._next()
        else:
            receiver.broke(failure)

    def _handler_ended(self, response: Response | None, error: BaseException | None) -> None:
        self._run = None
        exchange = self._exchange
        if exchange is None:  # the client left meanwhile
            if response is not None:
                response.body.close()
        elif isinstance(error, Failure):
            self._answer_failure(exchange, error)
        elif response is None:
            self._filter_failed(exchange, error)
        else:
            try:
                self._send(exchange, response, None)
            except Exception as broken:
                with contextlib.suppress(Exception):
                    response.body.close()
                self._filter_failed(exchange, broken)

    def _filter_failed(self, exchange: Exchange, error: BaseException | None) -> None:
        """A filter raised, or returned what cannot be sent: 500, or the end of an answer that has begun."""
        log.error("exchange %s", exchange.id, exc_info=error)
        if self._exchange is not exchange or self._writer is not None:
            self._stream.abort()
            return
        self._response = None
        detail = f"{type(error).__name__} in a filter."
        self._answer_failure(exchange, Failure("proxy_internal_error", Side.INTERNAL, detail))

    def _answer_failure(self, exchange: Exchange, failure: Failure) -> None:
        if failure.status:
            self._send(exchange, self._server.answer_to(exchange, self._request, failure), failure)
        else:  # whoever raised it wants no answer
            self._answer_written(failure)

    def _refuse(self, failure: Failure) -> None:
        """Answer what cannot be read as a request, and close."""
        self._keep_alive = False
        self._buffer, self._receiver = b"", None
        server = self._server
        self._method, self._minor = "", 1
        self._unread_since = server.loop.time()
        exchange = self._exchange = server.new_exchange(self._info, "http")
        if server.observe_refused is not None:
            server.observe_refused(exchange)
        self._state = BUSY
        self._answer_failure(exchange, failure)

    def _send(self, exchange: Exchange, response: Response, failure: Failure | None) -> None:
        """Write the answer: at once when it is complete, else its head and what there is, and then as it streams."""
        if response.body.failure is not None and failure is None:  # it broke off before a byte of it was sent
            self._answer_failure(exchange, response.body.failure)
            return
        self._response = response
        if response.then is not None and switches(self._method, response.status):
            self._hand_over(exchange, response)
            return
        request = self._request
        keep_alive = self._keep_alive and not response.must_close and not self._server.is_draining
        if self._receiver is not None:
            keep_alive = keep_alive and self._receiver.may_drain
            self._receiver.too_late()
        if self._buffer and (self._method == "CONNECT" or (request is not None and request.upgrade is not None)):
            keep_alive = False  # bytes for a protocol that was refused are not a request (THREATS A5)
        plan = plan_answer(self._method, self._minor, response, keep_alive)
        self._keep_alive = plan.keep_alive
        head_bytes = answer_head(self._minor, response, plan, self._server.date_line)
        if plan.streams:
            wants_trailers = request is not None and request.wants_trailers
            self._writer = ResponseWriter(
                self._stream, exchange, plan.framing or 0, head_bytes, wants_trailers, self._answer_written
            )
            self._writer.start(response.body)
        else:
            self._stream.write(head_bytes + plan.content if plan.content else head_bytes)
            exchange.bytes_out = len(plan.content)
            self._finish_exchange(failure)

    def _hand_over(self, exchange: Exchange, response: Response) -> None:
        """Write the head of a tunnel's answer and give the stream away; the exchange ends with the stream."""
        assert response.then is not None
        self._state = OVER
        self._server.connections.discard(self)
        self._stream.write(writer.switch_head(response))
        self._exchange = None
        self._stream.hand_over(bytes(self._buffer))
        self._stream.when_lost(partial(self._server.stream_ended, exchange, response.status))
        response.then(self._stream)

    def _interim(self, status: int, fields: Fields) -> None:
        """Pass an interim answer (103, 102) on to a client that understands it."""
        if self._response is None and self._request is not None and self._minor:
            self._stream.write(writer.interim_head(status, fields.lines))

    def _answer_written(self, failure: Failure | None) -> None:
        """The writer is done: with the last byte written, or with the connection to be broken off."""
        self._writer = None
        if failure is not None:
            self._state = OVER
            self._stream.abort()
        self._finish_exchange(failure)
        if failure is not None and self._receiver is not None:
            self._receiver.broke(failure)

    def _finish_exchange(self, failure: Failure | None) -> None:
        exchange, response = self._exchange, self._response
        if exchange is None:
            return
        self._exchange = self._response = None
        status = response.status if response is not None else 0
        exchange.finish(Outcome(status, exchange.bytes_out, failure, self._server.loop.time()))
        if self._state is BUSY:
            self._next()

    def _next(self) -> None:
        """The answer is written. Go on with the next request, finish reading this one, or close."""
        if self._receiver is not None:
            if self._keep_alive and self._receiver.discarded <= MAX_DRAIN_BYTES:
                if not self._unread_since:
                    self._unread_since = self._server.loop.time()
                    self._receiver.body.close()
                return
            self._keep_alive = False  # what is left of the content must not be read as a request (THREATS A4)
        self._request = self._pace = None
        if not self._keep_alive or (self._client_ended and not self._buffer):
            self._close()
        elif self._stream.is_full:
            self._state = FULL
        elif self._buffer:
            # In a new round of the loop, or a long pipeline of quick answers would nest without end.
            self._server.loop.call_soon(self._begin_next)
        else:
            self._begin_next()

    def _begin_next(self) -> None:
        if self._state is not BUSY:
            return
        self._state = HEAD
        self._discarded, self._unread_since, self._head_since = 0, 0.0, 0.0
        data, self._buffer = self._buffer, b""
        if len(data) <= MAX_WAITING_BYTES:
            self._stream.resume()
        if data:
            self._read_head(bytes(data))
            if self._state is HEAD:  # more waited than should, and yet it is not a whole head
                self._stream.resume()
        if self._client_ended:
            self.end_received()

    def _close(self) -> None:
        """Close so that the client can read its answer: a plain close with unread bytes would be a reset."""
        self._state = OVER
        receiver, self._receiver = self._receiver, None
        if receiver is None and not self._unread_since and not self._buffer:
            self._over()
            return
        if receiver is not None:
            receiver.broke(bad_request("The answer came before the end of the request's content."))
        self._buffer = b""
        self._unread_since = self._server.loop.time()
        self._stream.end()
        self._stream.resume()

    def _over(self) -> None:
        self._state = OVER
        self._stream.close()

    @property
    def is_busy(self) -> bool:
        """Whether an exchange runs."""
        return self._exchange is not None

    def close_if_idle(self) -> bool:
        """Close when no request has begun."""
        if self._state is not HEAD or self._buffer:
            return False
        self._over()
        return True

    def shed(self) -> bool:
        """Close when no request has begun since the last one. A new connection is left alone: its request comes."""
        return not self._head_since and self.close_if_idle()

    def cut(self) -> None:
        """Break off whatever runs."""
        self._stream.abort()

    def tick(self, now: float) -> None:
        """Judge the deadlines of this connection."""
        timeouts = self._server.timeouts
        pace = self._pace = self._pace or ClientPace(self._stream)
        if self._state is HEAD:
            if self._head_since and now - self._head_since < timeouts.head_timeout_s:
                return
            if self._buffer:
                self._refuse(bad_request("The head of the request did not arrive in time.", 408))
            elif self._head_since or pace.between_exchanges(now, timeouts.keep_alive_timeout_s, timeouts):
                self.close_if_idle()
        elif self._unread_since and now - self._unread_since >= DRAIN_TIMEOUT_S:
            self._unread_since = 0.0
            self._over()
        elif self._exchange is not None:
            rests, ended = self._exchange.is_waiting, self._client_ended  # ended: it waits for its answer, or is gone
            receiver = self._receiver if self._response is None and self._stream.is_reading else None
            wrong = pace.in_exchange(now, receiver, may_rest=rests, has_ended=ended, timeouts=timeouts)
            if wrong is not None and receiver is not None:
                self._request_broke(bad_request(f"The body of the request stopped arriving: {wrong}.", 408))
            elif wrong is not None:
                self._exchange.notes["why"] = f"the client stopped {'sending' if ended else 'reading'}: {wrong}"
                self._stream.abort()
        elif pace.between_exchanges(now, timeouts.body_timeout_s, timeouts):
            self._stream.abort()
