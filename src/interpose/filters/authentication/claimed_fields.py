"""Takes off requests what only a service that was asked may say about them (THREATS A11).

A server behind believes these fields on every route, so they are taken off on every route, also where nobody asks the
service. Names are the same however their words are joined: some servers read `X_Auth_User` as `X-Auth-User`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Final

from interpose.core.exchange import Exchange
from interpose.core.fields import FieldLine
from interpose.core.handler import Handler
from interpose.core.message import Request, Response

CREDENTIALS: Final = frozenset((b"authorization", b"cookie", b"proxy-authorization"))
"""What clients do send: it is taken off where the service has said something in its place, and not before."""


class ClaimedFields:
    """The filter."""

    def __init__(self, names: Iterable[str]) -> None:
        self._keys = keys_of(names) - CREDENTIALS

    def __call__(self, exchange: Exchange, request: Request, forward: Handler) -> Awaitable[Response]:
        """See `core.handler.Filter`."""
        request.fields.lines = without(request.fields.lines, self._keys)
        return forward(exchange, request)


def keys_of(names: Iterable[str]) -> frozenset[bytes]:
    """Names as they are compared here."""
    return frozenset(name.lower().replace("_", "-").encode() for name in names)


def without(lines: list[FieldLine], keys: frozenset[bytes]) -> list[FieldLine]:
    """The lines that have none of these names, in any spelling."""
    return [line for line in lines if line[0].replace(b"_", b"-") not in keys]
