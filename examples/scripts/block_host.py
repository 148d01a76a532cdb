"""Refuses requests to some hosts and everything below them; tunnels to them as well.

    interpose proxy --script examples/scripts/block_host.py

A `Failure` becomes an answer in the form that the client reads, and its sentence a note in the log.
"""

import interpose

BLOCKED = ("ads.example", "tracker.example")


@interpose.filter(phase=interpose.Phase.ADMIT)
async def block_host(
    exchange: interpose.Exchange, request: interpose.Request, forward: interpose.Handler
) -> interpose.Response:
    host = request.target.authority.host
    for blocked in BLOCKED:
        if host == blocked or host.endswith("." + blocked):
            raise interpose.Failure("http_request_denied", interpose.Side.DOWNSTREAM, f"{blocked} is blocked here.")
    return await forward(exchange, request)
