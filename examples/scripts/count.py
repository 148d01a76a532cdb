"""Counts answers by host and status, and tells when asked.

    interpose proxy --script examples/scripts/count.py
    curl -x http://127.0.0.1:8080 http://count.test/

Each worker counts for itself. A changed file begins anew.
"""

import json
from collections import Counter

import interpose

counts: Counter[tuple[str, int]] = Counter()


@interpose.filter(phase=interpose.Phase.OBSERVE)
async def count(
    exchange: interpose.Exchange, request: interpose.Request, forward: interpose.Handler
) -> interpose.Response:
    host = request.target.authority.host
    exchange.at_end(lambda outcome: counts.update([(host, outcome.status)]))
    return await forward(exchange, request)


@interpose.filter(phase=interpose.Phase.ADMIT)
async def tell(
    exchange: interpose.Exchange, request: interpose.Request, forward: interpose.Handler
) -> interpose.Response:
    if request.target.authority.host != "count.test":
        return await forward(exchange, request)
    table = {f"{host} {status}": number for (host, status), number in sorted(counts.items())}
    return interpose.Response.text(200, json.dumps(table, indent=2) + "\n", "application/json")
