"""What is answered while the process is short of memory: 503 for every new request (THREATS F22)."""

from __future__ import annotations

from interpose.core.exchange import Exchange
from interpose.core.failure import Failure, Side
from interpose.core.message import Request, Response


async def overloaded(exchange: Exchange, request: Request) -> Response:
    """Always `Failure` destination_unavailable."""
    exchange.refused_by("overload", "memory_limit_bytes", "the process is near its memory limit")
    raise Failure("destination_unavailable", Side.INTERNAL, "The proxy is short of memory; try again in a moment.")
