"""Lets some hosts be reached at some hours only.

interpose proxy --script examples/scripts/office_hours.py
"""

from datetime import datetime, time

import interpose
from interpose import Exchange, Failure, Handler, Request, Response, Side

CLOSED = {"games.example": (time(8), time(18)), "video.example": (time(8), time(12))}
WORKING_DAYS = range(5)


def now() -> datetime:
    return datetime.now()


@interpose.filter(phase=interpose.Phase.ADMIT)
async def office_hours(exchange: Exchange, request: Request, forward: Handler) -> Response:
    host, at = request.target.authority.host, now()
    for name, (begin, end) in CLOSED.items():
        if (host == name or host.endswith(f".{name}")) and at.weekday() in WORKING_DAYS and begin <= at.time() < end:
            why = f"{name} can be reached from {end:%H:%M} on."
            raise Failure("http_request_denied", Side.DOWNSTREAM, why)
    return await forward(exchange, request)
