"""One function of a script, as a filter: what it raises, and what it forgets, is its own."""

from __future__ import annotations

import re
from typing import Any

from interpose.core.body import Body
from interpose.core.exchange import Exchange, Outcome
from interpose.core.failure import Failure, Side
from interpose.core.fields import Fields
from interpose.core.handler import Filter, Handler
from interpose.core.message import Request, Response
from interpose.filters.script.troubles import Troubles
from interpose.protocol import fitness
from interpose.storage.script_file import last_line_in

_REASON = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


class Step:
    """One function of a script, as a filter. `passes`: what it raises does not keep an exchange from going on."""

    def __init__(self, name: str, function: Filter, troubles: Troubles, *, passes: bool = False) -> None:
        self.name = name
        self._function = function
        self._troubles = troubles
        self._passes = passes

    async def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Response:
        """Call the function; what it raises, other than a `Failure`, becomes one."""
        if self._troubles.some_are_off and self._troubles.is_off(self.name):
            if self._passes:
                return await forward(exchange, request)
            failure = self._troubles.refusal(self.name)
            self._note(exchange, failure.detail)
            raise failure
        through = Through(forward)
        if self._passes:
            through.before = RequestBefore(request)
        try:
            response = await self._function(exchange, request, through)
            check(response)
        except BaseException as error:
            if error in through.raised or not isinstance(error, Exception | SystemExit):
                through.close_bodies()
                raise
            if isinstance(error, Failure):
                through.close_bodies()
                self._note(exchange, error.detail)
                raise
            detail = self._troubles.blame(exchange, self.name, self._function, error)
            if through.before is not None and (kept := await self._without(exchange, through)) is not None:
                return kept
            through.close_bodies()
            raise Failure("proxy_internal_error", Side.INTERNAL, detail) from error
        if not through.was_called:
            self._note(exchange, f"answered {response.status}")
        elif through.bodies != [response.body]:
            # A body that was not returned may still feed the one that was, through a transform of the script's.
            exchange.at_end(lambda outcome: self._end(exchange, through, outcome))
        return response

    async def _without(self, exchange: Exchange, through: Through) -> Response | None:
        """The answer that there is without the function; None where it has read what would be needed for that."""
        assert through.before is not None
        answer: Response | None = None
        if not through.was_called:
            if (request := through.before.restored()) is not None:
                answer = await through(exchange, request)
        elif through.answered is not None:
            answer = through.answered.restored()
        elif through.raised:
            through.close_bodies()
            raise through.raised[-1]
        if answer is not None:
            exchange.notes["passed"] = f"{self.name} in {self._troubles.path.name} failed"
            for note in ("filter", "rule", "why"):
                exchange.notes.pop(note, None)
            through.close_bodies(but=answer.body)
        return answer

    def _end(self, exchange: Exchange, through: Through, outcome: Outcome) -> None:
        through.close_bodies()
        cause = outcome.failure.__cause__ if outcome.failure is not None else None
        if cause is not None and last_line_in(str(self._troubles.path), cause):
            self._troubles.blame(exchange, self.name, self._function, cause)

    def _note(self, exchange: Exchange, why: str) -> None:
        if "filter" not in exchange.notes:
            exchange.refused_by("script", f"{self.name} in {self._troubles.path.name}", why)


def check(response: Any) -> None:
    """Refuse what cannot be sent: TypeError or ValueError."""
    if not isinstance(response, Response):
        raise TypeError(f"returned {response!r} instead of a response")
    for name, kind in (("status", int), ("fields", Fields), ("body", Body), ("reason", bytes)):
        if not isinstance(getattr(response, name), kind):
            raise TypeError(f"returned a response whose {name} is {getattr(response, name)!r}")
    if not 200 <= response.status <= 999 and response.then is None:
        raise ValueError(f"returned a response with the status {response.status}; it must be from 200 to 999")
    if response.reason and _REASON.fullmatch(response.reason) is None:
        raise ValueError(f"returned a response whose reason {response.reason!r} has control characters")


class Through:
    """What a script's function gets as `forward`. With `before` it remembers what is needed to do without it."""

    __slots__ = ("_forward", "answered", "before", "bodies", "raised", "was_called")

    def __init__(self, forward: Handler) -> None:
        self._forward = forward
        self.bodies: list[Body] = []
        self.raised: list[BaseException] = []
        self.was_called = False
        self.before: RequestBefore | None = None
        self.answered: ResponseBefore | None = None

    async def __call__(self, exchange: Exchange, request: Request) -> Response:
        """Forward, and remember what came of it."""
        fitness.check_request(request)
        self.was_called = True
        try:
            response = await self._forward(exchange, request)
        except Exception as error:
            self.raised.append(error)
            self.answered = None
            raise
        self.bodies.append(response.body)
        if self.before is not None:
            self.answered = ResponseBefore(response)
        return response

    def close_bodies(self, but: Body | None = None) -> None:
        """Close the bodies that have not ended: nobody will read them."""
        for body in self.bodies:
            if body is not but:
                body.close()


class RequestBefore:
    """A request as it was before a function had it."""

    __slots__ = ("_body", "_fields", "_method", "_request", "_target")

    def __init__(self, request: Request) -> None:
        self._request = request
        self._method = request.method
        self._target = request.target
        self._fields = request.fields.copy()
        self._body = Unread(request.body)

    def restored(self) -> Request | None:
        """The request as it was; None where its content has been read."""
        request = self._request
        body = self._body.again()
        if body is None:
            return None
        request.method, request.target, request.fields, request.body = self._method, self._target, self._fields, body
        return request


class ResponseBefore:
    """A response as it was before a function had it."""

    __slots__ = ("_body", "_fields", "_reason", "_response", "_status")

    def __init__(self, response: Response) -> None:
        self._response = response
        self._status = response.status
        self._fields = response.fields.copy()
        self._reason = response.reason
        self._body = Unread(response.body)

    def restored(self) -> Response | None:
        """The response as it was; None where its content has been read."""
        response = self._response
        body = self._body.again()
        if body is None:
            return None
        response.status, response.fields, response.reason, response.body = (
            self._status, self._fields, self._reason, body,
        )  # fmt: skip
        return response


class Unread:
    """A body that may have to be had again."""

    __slots__ = ("_body", "_data")

    def __init__(self, body: Body) -> None:
        self._body = body
        self._data = body.arrived if body.is_complete else None

    def again(self) -> Body | None:
        """The same content from its beginning, None where that is gone."""
        if self._data is None:
            return None if self._body.was_read else self._body
        if self._data == self._body.arrived:
            return self._body
        again = Body(self._data)
        again.trailers = self._body.trailers
        return again
