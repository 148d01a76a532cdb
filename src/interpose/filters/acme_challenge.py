"""Answers an ACME authority that looks whether a host is ours (RFC 8555, 8.3: http-01).

The answer is read from the storage when it is asked for, so every worker has it that the client has written down, also
one that was started meanwhile. What is not there passes: a server behind may speak with an authority of its own.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from interpose.core.body import Body
from interpose.core.exchange import Exchange
from interpose.core.fields import Fields
from interpose.core.handler import Answered, Handler
from interpose.core.message import Request, Response

PATH: Final = "/.well-known/acme-challenge/"

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")


class AcmeChallenge:
    """The filter (phase ADMIT, before everything that could refuse). `answer_to` gives what stands under a token, b""
    for one that is not known."""

    def __init__(self, answer_to: Callable[[str], bytes]) -> None:
        self._answer_to = answer_to

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        path = request.target.path
        if path.startswith(PATH) and request.method in ("GET", "HEAD"):
            token = path.removeprefix(PATH)
            if _TOKEN.fullmatch(token) is not None and (answer := self._answer_to(token)):
                fields = Fields([("Content-Type", "application/octet-stream"), ("Cache-Control", "no-store")])
                return Answered(Response(200, fields, Body(answer)))
        return forward(exchange, request)
