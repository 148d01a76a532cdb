"""Tells browsers to use nothing but HTTPS here from now on (RFC 6797)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NamedTuple

from interpose.core.exchange import Exchange
from interpose.core.fields import FieldLine, field_line
from interpose.core.handler import Answered, Handler
from interpose.core.message import Request, Response


class HstsOptions(NamedTuple):
    """What is told."""

    max_age_s: int
    """For how long it holds; each answer begins it anew."""
    subdomains: bool = False
    """Whether it holds for all hosts below this one."""
    preload: bool = False
    """Whether the host may be in the lists that browsers are shipped with."""

    @property
    def value(self) -> str:
        """The field's value."""
        words = [f"max-age={self.max_age_s}"]
        words += ["includeSubDomains"] * self.subdomains + ["preload"] * self.preload
        return "; ".join(words)


class Hsts:
    """The filter (phase ADMIT, outermost). Over plain HTTP nothing is said (RFC 6797, 7.2); what a server behind says
    is replaced, since one of two would be ignored."""

    def __init__(self, options: HstsOptions) -> None:
        self._line = field_line("Strict-Transport-Security", options.value)

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        answering = forward(exchange, request)
        if exchange.tls is None:
            return answering
        if type(answering) is Answered:
            _put(self._line, answering.response)
            return answering
        return _told(self._line, answering)


async def _told(line: FieldLine, answering: Awaitable[Response]) -> Response:
    response = await answering
    _put(line, response)
    return response


def _put(line: FieldLine, response: Response) -> None:
    lines = response.fields.lines
    if any(one[0] == line[0] for one in lines):
        response.fields.lines = lines = [one for one in lines if one[0] != line[0]]
    lines.append(line)
