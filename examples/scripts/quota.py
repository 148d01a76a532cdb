"""Lets each user have so many requests a day; who has had them gets 429 until midnight.

    [[script]]
    file = "quota.py"
    options = { per_day = 1000 }

Each worker counts for itself, and a changed file begins anew. `[[limit]]` counts exactly over all of them.
"""

import time
from collections import Counter
from dataclasses import dataclass

import interpose
from interpose import Exchange, Handler, Request, Response

DAY_S = 86400


@dataclass
class Options:
    per_day: int = 1000


options = interpose.options(Options)
used: Counter[tuple[int, str]] = Counter()


@interpose.filter(phase=interpose.Phase.ADMIT)
async def quota(exchange: Exchange, request: Request, forward: Handler) -> Response:
    now = int(time.time())
    today, who = now // DAY_S, exchange.user or exchange.client.host
    for old in [key for key in used if key[0] != today][:100]:
        del used[old]
    if used[today, who] >= options.per_day:
        refusal = Response.text(429, f"{options.per_day} requests a day are all there is.\n")
        refusal.fields.set("Retry-After", str(DAY_S - now % DAY_S))
        return refusal
    used[today, who] += 1
    return await forward(exchange, request)
